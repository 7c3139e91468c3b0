"""The audit as plain rows, for a terminal and for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lossmith.data.audit.labels import label_rows
from lossmith.data.records import SPLITS

Row = tuple[str, ...]

# Counts that have a row where they are not all 0.
_COUNTED = (
    ("repeated", "repeated by weight"),
    ("documents", "documents"),
    ("clusters", "clusters"),
    ("respelled", "words in another spelling"),
)
_QUANTILES = "p50 / p90 / p99 / max"


def audit_table(audit: Mapping[str, Any]) -> list[Row]:
    """Rows of (what, train, validation, test), a heading first; a dash where there is nothing to count."""
    splits = [audit["splits"][name] for name in SPLITS]

    def row(what: str, read: Callable[[Mapping[str, Any]], str]) -> Row:
        return (what, *(read(split) for split in splits))

    rows: list[Row] = [
        ("", *SPLITS),
        row("records", lambda split: _count(split["records"])),
        *_units(splits, row),
        row("duplicate texts", lambda split: _count(split["duplicates"])),
    ]
    if audit.get("generates", True):
        rows[3:3] = [row("supervised tokens", lambda split: _shared(split["supervised_tokens"], split["tokens"]))]
        rows[5:5] = [row("end of answer supervised", lambda split: _shared(split["end_supervised"], split["records"]))]
    for key, what in _COUNTED:
        if any(split.get(key) for split in splits):
            rows.append((what, *(_count(split.get(key, 0)) for split in splits)))
    for policy in sorted({policy for split in splits for policy in split["truncation"]}):
        counts = (split["truncation"].get(policy, 0) for split in splits)
        rows += [(policy.replace("_", " "), *map(_count, counts))]
    for name in sorted({name for split in splits for name in split["spans"]}):
        counts = (split["spans"][name]["tokens"] if name in split["spans"] else 0 for split in splits)
        rows += [(f"tokens of '{name}'", *map(_count, counts))]
    rows += label_rows(audit)
    if any(split["straddled_tokens"] for split in splits):
        rows.append(row("tokens across a span's edge", lambda split: _count(split["straddled_tokens"])))
    return rows


def _units(
    splits: Sequence[Mapping[str, Any]], row: Callable[[str, Callable[[Mapping[str, Any]], str]], Row]
) -> list[Row]:
    """What records are made of: tokens, or the chunks of a document."""
    if not any("chunks" in split for split in splits):
        return [
            row("tokens", lambda split: _count(split["tokens"])),
            row(f"length {_QUANTILES}", lambda split: _quantiles(split["length"])),
        ]

    def chunks(read: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
        return lambda split: read(split["chunks"]) if "chunks" in split else "-"

    return [
        row("chunks", chunks(lambda found: _count(found["total"]))),
        row(f"chunks of a record {_QUANTILES}", chunks(lambda found: _quantiles(found["record"]))),
        row(f"characters of a chunk {_QUANTILES}", chunks(lambda found: _quantiles(found["characters"]))),
        row("records without chunks", chunks(lambda found: _count(found["without"]))),
    ]


def overlap_table(audit: Mapping[str, Any]) -> list[Row]:
    """Rows of (splits, what they share), a heading first: texts, prompts and clusters, of a classification also
    texts that are the same up to case and white space, and near-duplicates.
    """
    known = {
        "texts": "texts",
        "prompts": "prompts",
        "same": "same text",
        "near": "near-duplicates",
        "clusters": "clusters",
    }
    shown = {what: name for what, name in known.items() if all(what in shared for shared in audit["overlap"].values())}
    rows: list[Row] = [("in both", *shown.values())]
    for pair, shared in audit["overlap"].items():
        rows.append((pair.replace("/", " and "), *(_count(shared[what]) for what in shown)))
    return rows


def _count(number: int) -> str:
    return f"{number:,}"


def _shared(number: int, total: int) -> str:
    return f"{number:,} ({number / total:.1%})" if total else "-"


def _quantiles(found: Mapping[str, int] | None) -> str:
    return "-" if found is None else " / ".join(str(found[name]) for name in ("p50", "p90", "p99", "max"))
