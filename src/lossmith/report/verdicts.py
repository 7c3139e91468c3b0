"""The lines at the top: what was found, said so that it can be believed, and what must be known before reading on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.report.figures import count, interval, number
from lossmith.report.measured import direction_of, main_metric, metric_decimals, plain_name
from lossmith.report.run_files import Run
from lossmith.runs import dead_terms

FEW = 30  # records under which an interval is not to be relied on
Kind = Literal["good", "bad", "caution", "plain"]


@dataclass(frozen=True)
class Verdict:
    """One line: its kind (never told by colour alone), a short statement, and the figures behind it."""

    kind: Kind
    statement: str
    detail: str = ""


def verdicts(runs: Sequence[Run], failures: Mapping[str, tuple[int, int]]) -> list[Verdict]:
    """Baselines, gates, failures and undefined values of every run; `failures` is (failed, all) by run label."""
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
            found.append(_baselines(run, metric, who))
        found.extend(_constant(run, who))
        if (run.metrics.get("n") or FEW) < FEW:
            few = count(run.metrics["n"], "record")
            found.append(
                Verdict("caution", f"{who}only {few} scored", "Intervals of so few records are unsure themselves.")
            )
        found.extend(_gates(run, who))
        failed, of = failures.get(run.label, (0, 0))
        if failed:
            found.append(
                Verdict(
                    "caution",
                    f"{who}{failed:,} of {count(of, 'record')} failed",
                    "Each counts as wrong in every figure; the reasons are under Failed records.",
                )
            )
        undefined = [name for name, facts in run.metrics.get("metrics", {}).items() if facts.get("value") is None]
        if undefined:
            reasons = "; ".join(
                f"{name}: {run.metrics['metrics'][name].get('reason') or 'no reason given'}" for name in undefined
            )
            found.append(Verdict("caution", f"{who}{count(len(undefined), 'metric')} undefined", f"{reasons}."))
    return [
        Verdict(one.kind, one.statement[:1].upper() + one.statement[1:], one.detail) if len(runs) == 1 else one
        for one in found
    ]


def _baselines(run: Run, metric: str, who: str) -> Verdict:
    """Whether the run beats what needs no training: paired differences on the first metric asked."""
    metrics = run.metrics or {}
    against: Mapping[str, Mapping[str, Any]] = metrics.get("against_baselines") or {}
    metric = next((str(facts["metric"]) for facts in against.values() if facts.get("metric")), metric)
    own = metrics.get("metrics", {}).get(metric) or {}
    figures = f"{metric} {_figures(metric, own)}"
    if not against:
        absent = metrics.get("baselines_absent") or {}
        why = "; ".join(f"{plain_name(name)}: {reason}" for name, reason in absent.items())
        return Verdict("caution", f"{who}not held against any baseline", f"{figures}. {why}".strip())
    standing = {name: _standing(facts, direction_of(metric, own)) for name, facts in against.items()}
    told = "; ".join(f"difference to {plain_name(name)} {_change(metric, facts)}" for name, facts in against.items())
    detail = f"{figures}; {told}."
    named = {
        word: " and ".join(f"“{plain_name(name)}”" for name, held in standing.items() if held == word)
        for word in ("worse", "undecided", "better")
    }
    if named["worse"]:
        return Verdict("bad", f"{who}worse than the baseline {named['worse']}", detail)
    if named["undecided"]:
        return Verdict("caution", f"{who}not shown to beat the baseline {named['undecided']}", detail)
    return Verdict(
        "good", f"{who}beats {'every baseline' if len(against) > 1 else 'the baseline'}: {named['better']}", detail
    )


def _standing(facts: Mapping[str, Any], direction: str) -> Literal["better", "worse", "undecided"]:
    low, high = facts.get("low"), facts.get("high")
    if low is None or high is None or direction not in ("up", "down"):
        return "undecided"
    if direction == "down":
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _change(metric: str, facts: Mapping[str, Any]) -> str:
    decimals = metric_decimals(metric)
    if facts.get("difference") is None:
        return f"undefined ({facts.get('reason') or 'no reason given'})"
    bounds = interval(facts.get("low"), facts.get("high"), decimals=decimals, sign=True)
    return number(facts["difference"], decimals=decimals, sign=True) + (f" ({bounds})" if bounds else "")


def _constant(run: Run, who: str) -> list[Verdict]:
    """The line on a constant answer, where there is one (classification)."""
    beats = (run.metrics or {}).get("beats_constant")
    if beats is None:
        return []
    return [
        Verdict("good", f"{who}beats a constant answer")
        if beats
        else Verdict("bad", f"{who}does not beat a constant answer")
    ]


def _gates(run: Run, who: str) -> list[Verdict]:
    gates = (run.metrics or {}).get("gates") or []
    missed = [gate for gate in gates if not gate.get("passed")]
    found = []
    if gates and not missed:
        found.append(Verdict("good", f"{who}passes {'its gate' if len(gates) == 1 else f'all {len(gates)} gates'}", ""))
    for gate in missed:
        value = number(gate["value"]) if gate.get("value") is not None else "undefined"
        why = f"{gate['reason']}." if gate.get("reason") else f"The value is {value}."
        found.append(Verdict("bad", f"{who}misses the gate {gate.get('rule')}", why))
    return found


def _figures(metric: str, facts: Mapping[str, Any]) -> str:
    decimals = metric_decimals(metric)
    bounds = interval(facts.get("low"), facts.get("high"), decimals=decimals)
    value = number(facts.get("value"), decimals=decimals)
    return f"{value} ({bounds})" if bounds else value


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
