"""The lines at the top: what was found, said so that it can be believed, and what must be known before reading on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.evaluate.class_baselines import CONSTANTS
from lossmith.report.evidence.section import evidence_verdicts
from lossmith.report.figures import count
from lossmith.report.measured import main_metric, plain_name
from lossmith.report.run_files import Run
from lossmith.report.standing import Verdict, held_against, named
from lossmith.runs import dead_terms

FEW = 30  # records under which an interval is not to be relied on


def verdicts(runs: Sequence[Run], failures: Mapping[str, tuple[int, int]]) -> list[Verdict]:
    """Baselines, failures and undefined values of every run; `failures` is (failed, all) by run label."""
    metric = main_metric(runs)
    found: list[Verdict] = []
    for run in runs:
        who = f"{run.label}: " if len(runs) > 1 else ""
        found.extend(
            Verdict(
                "bad",
                f"{who}the term {name} of the objective is dead",
                "It had no share of the gradient: it trained nothing.",
            )
            for name in dead_terms(run.history)
        )
        if run.metrics is None:
            found.append(Verdict("caution", f"{who}nothing is measured yet", _command(run, "metrics.json")))
            continue
        if metric is not None:
            classified = run.classifies
            found.append(_class_baselines(run, metric, who) if classified else _baselines(run, metric, who))
        if (run.metrics.get("n") or FEW) < FEW:
            few = count(run.metrics["n"], "record")
            found.append(
                Verdict("caution", f"{who}only {few} scored", "Intervals of so few records are unsure themselves.")
            )
        failed, of = failures.get(run.label, (0, 0))
        if failed:
            found.append(
                Verdict(
                    "caution",
                    f"{who}{failed:,} of {count(of, 'record')} failed",
                    "Each counts as wrong in every figure; the reasons are under Failed records.",
                )
            )
        found.extend(_undefined(run, who))
        found.extend(evidence_verdicts(run, who))
    return [
        Verdict(one.kind, one.statement[:1].upper() + one.statement[1:], one.detail) if len(runs) == 1 else one
        for one in found
    ]


def _undefined(run: Run, who: str) -> list[Verdict]:
    """The metrics that were asked for and have no value, with why."""
    metrics = run.metrics or {}
    held: Mapping[str, Mapping[str, Any]] = metrics.get("metrics") or {}
    reasons: dict[str, list[str]] = {}
    for name in metrics.get("asked") or held:
        if name in held and held[name].get("value") is None:
            reasons.setdefault(str(held[name].get("reason") or "no reason given"), []).append(name)
    if not reasons:
        return []
    told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    number = sum(len(names) for names in reasons.values())
    return [Verdict("caution", f"{who}{count(number, 'metric')} undefined", f"{told}.")]


def _baselines(run: Run, metric: str, who: str) -> Verdict:
    """Whether the run beats what needs no training: paired differences on the first metric asked."""
    _, found, figures = held_against(run, metric)
    if not found:
        absent = (run.metrics or {}).get("baselines_absent") or {}
        why = "; ".join(f"{plain_name(name)}: {reason}" for name, reason in absent.items())
        return Verdict("caution", f"{who}not held against any baseline", f"{figures}. {why}".strip())
    detail = f"{figures}; {'; '.join(one.difference for one in found)}."
    if worse := named(found, "worse"):
        return Verdict("bad", f"{who}worse than the baseline {worse}", detail)
    if undecided := named(found, "undecided"):
        return Verdict("caution", f"{who}not shown to beat the baseline {undecided}", detail)
    every = "every baseline" if len(found) > 1 else "the baseline"
    return Verdict("good", f"{who}beats {every}: {named(found, 'better')}", detail)


def _class_baselines(run: Run, metric: str, who: str) -> Verdict:
    """Whether a classification beats a constant answer, then the other baselines, in one line."""
    _, found, figures = held_against(run, metric)
    beats = (run.metrics or {}).get("beats_constant")
    if beats is None:
        return _baselines(run, metric, who)
    detail = f"{figures}; {'; '.join(one.difference for one in found)}." if found else f"{figures}."
    others = [one for one in found if one.name not in CONSTANTS]
    worse, undecided, better = (named(others, standing) for standing in ("worse", "undecided", "better"))
    if not beats:
        told = "; ".join(
            f"{word} {names}" for word, names in (("worse than", worse), ("not shown to beat", undecided)) if names
        )
        return Verdict("bad", f"{who}does not beat a constant answer{f'; {told}' if told else ''}", detail)
    if worse:
        return Verdict("bad", f"{who}beats a constant answer, but is worse than {worse}", detail)
    if undecided:
        return Verdict("caution", f"{who}beats a constant answer, but is not shown to beat {undecided}", detail)
    return Verdict("good", f"{who}beats a constant answer{f' and {better}' if better else ''}", detail)


def _command(run: Run, file: str) -> str:
    gap = run.gaps.get(file)
    return f"{gap.sentence}. Make it with: {gap.command}" if gap else ""


def warnings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The warnings of each run, from its manifest and its audit, each once."""
    told = []
    for run in runs:
        stated = [*(run.manifest.get("warnings") or []), *((run.audit or {}).get("warnings") or [])]
        if found := list(dict.fromkeys(str(sentence) for sentence in stated)):
            told.append((run.label, found))
    if len(told) > 1 and len(told) == len(runs) and all(found == told[0][1] for _, found in told):
        return [("of all runs alike", told[0][1])]
    return told
