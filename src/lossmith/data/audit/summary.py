"""The audit as one dict: counts by split, overlap between splits, and warnings in sentences with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lossmith.data.audit.labels import label_counts, label_warnings
from lossmith.data.audit.overlap import add_near_duplicates, overlap_warnings, overlaps
from lossmith.data.audit.tally import Tally
from lossmith.data.normalize import UK_SPELLING
from lossmith.data.plan import Plan
from lossmith.data.records import SPLITS
from lossmith.data.rejected import Rejections
from lossmith.labels import Classes

SCHEMA = 1
TRUNCATION_SHARE = 0.10

_DONE = {
    "cut_prompt": "had their prompt cut",
    "cut_answer": "had their answer cut",
    "cut_both": "had their prompt and their answer cut",
    "dropped": "were dropped",
    "prompt_too_long": "have a prompt of which nothing fits",
}


def summarise(
    tallies: Mapping[str, Tally],
    plan: Plan,
    rejections: Rejections,
    *,
    span_names: Collection[str],
    generates: bool = True,
    classes: Classes | None = None,
    doubts: Sequence[str] = (),
) -> dict[str, Any]:
    """The audit of a preparation; `span_names` are those that the template or data.spans can mark.

    `generates` says that answers are written, token by token; where a head answers, no token is supervised. A
    classification has `classes`. `doubts` are further sentences to warn with.
    """
    splits = {name: tallies[name].summary(span_names) for name in SPLITS}
    audit: dict[str, Any] = {
        "schema": SCHEMA,
        "read": rejections.read,
        "rejected": {
            "total": rejections.total,
            "share": rejections.total / rejections.read if rejections.read else None,
            "reasons": dict(rejections.reasons.most_common()),
        },
        "left_out": {"limit": plan.beyond_limit, "weight": plan.unweighted, **_set_aside(plan)},
        "max_length": plan.data.max_length,
        "limits": plan.data.limits,
        "truncation": plan.data.truncation,
        "generates": generates,
        "splits": splits,
        "overlap": overlaps(tallies),
    }
    if plan.data.assemble is not None:
        audit["assembled"] = {key: plan.scan.assembled.get(key, 0) for key in ("rows", "documents", "tied")}
    if UK_SPELLING in plan.data.normalize:
        audit["respelled"] = _respelled(tallies)
    if plan.labelling is not None and classes is not None:
        audit["labels"] = label_counts(tallies, plan.labelling, classes.names)
        add_near_duplicates(audit, tallies)
    audit["warnings"] = [
        *doubts,
        *plan.doubts,
        *_assembly_warnings(audit),
        *_split_warnings(audit),
        *_span_warnings(audit, span_names),
        *(label_warnings(audit, classes.positive) if classes is not None else []),
        *overlap_warnings(audit),
    ]
    return audit


def _respelled(tallies: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """Every word that was spelled otherwise, what it became and how often, the most frequent first."""
    counts = sum((tally.respelled for tally in tallies.values()), Counter[tuple[str, str]]())
    return [{"from": was, "to": became, "times": times} for (was, became), times in counts.most_common()]


def _set_aside(plan: Plan) -> dict[str, int]:
    return {"folds": int(plan.set_aside.sum())} if plan.data.split.folds else {}


def _split_warnings(audit: Mapping[str, Any]) -> list[str]:
    warnings = []
    rejected = audit["rejected"]
    if rejected["total"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected["reasons"].items())
        warnings.append(f"{rejected['total']} of {audit['read']} records were rejected ({reasons}); see rejected.jsonl")
    for name, split in audit["splits"].items():
        count = split["records"]
        met = count + split["truncation"].get("dropped", 0)
        for policy, done in split["truncation"].items():
            if done > TRUNCATION_SHARE * met:
                # A head reads a text; a prompt is what an answer follows.
                what = _DONE[policy] if audit["generates"] else _DONE[policy].replace("prompt", "text")
                warnings.append(
                    f"{done} of {met} {name} records ({done / met:.0%}) {what}: longer than {audit['limits']} tokens"
                )
        if not count:
            warnings.append(f"the {name} split has no records{_why_empty(audit)}")
            continue
        if without := split.get("chunks", {}).get("without"):
            warnings.append(f"{without} of {count} {name} records have no chunk, so nothing can be found in them")
        if not audit["generates"]:
            continue
        if not split["supervised_tokens"]:
            warnings.append(f"none of the {split['tokens']} tokens of the {name} split is supervised")
        elif name == "train" and split["end_supervised"] < count:
            missing = count - split["end_supervised"]
            warnings.append(
                f"the end of the answer is not supervised in {missing} of {count} train records: "
                "a model does not learn there to stop"
            )
    return warnings


def _why_empty(audit: Mapping[str, Any]) -> str:
    clusters = sum(split["clusters"] for split in audit["splits"].values())
    if not 0 < clusters < len(SPLITS):
        return ""
    held = "all are of one cluster" if clusters == 1 else f"they are of {clusters} clusters"
    return f": {held}, and a cluster never crosses splits"


def _assembly_warnings(audit: Mapping[str, Any]) -> list[str]:
    tied = audit.get("assembled", {}).get("tied", 0)
    if not tied:
        return []
    return [
        f"{tied} of {audit['assembled']['rows']} rows have the place of the row before them in data.assemble.order, "
        "so they stay in the order of the files"
    ]


def _span_warnings(audit: Mapping[str, Any], span_names: Collection[str]) -> list[str]:
    train = audit["splits"]["train"]
    count = train["records"]
    absent = [name for name in sorted(span_names) if count and not train["spans"][name]["tokens"]]
    told = [f"the span '{name}' occurs in none of the {count} training records" for name in absent]
    for split, found in audit["splits"].items():
        for name, span in found["spans"].items():
            if unaligned := span.get("unaligned"):
                told.append(
                    f"the tokens of the span '{name}' do not stand in their field in this order in {unaligned} of "
                    f"{found['records']} {split} records, which have no such span"
                )
    return told
