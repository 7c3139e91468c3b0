"""Runs on the same records: the paired differences as a table, plots and plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.errors import InputError
from lossmith.report.figures import count, interval, number, p_value
from lossmith.report.intervals_plot import Dot, Plot, plot
from lossmith.report.measured import DIRECTIONS, direction_of, metric_decimals
from lossmith.report.standing import Kind, Verdict

LEVEL = 0.05
WORDS: Mapping[Kind, str] = {"good": "better", "bad": "worse", "caution": "not decided", "plain": "no difference found"}


@dataclass(frozen=True)
class Difference:
    """One metric of one pair as text, and what the test says of it."""

    metric: str
    arrow: str
    better: str
    difference: str
    bounds: str
    p: str
    p_holm: str
    n: str
    kind: Kind
    word: str
    sentence: str
    plot: Plot | None


@dataclass(frozen=True)
class Pair:
    """A run against the reference; `groups` are pictures of a rate's differences by group: (rate, about, plot)."""

    run: str
    reference: str
    differences: tuple[Difference, ...]
    groups: tuple[tuple[str, str, Plot], ...] = ()


def pairs(comparison: Mapping[str, Any], labels: Sequence[str]) -> list[Pair]:
    """The pairs of what `compare_runs` returned, in the labels of the report (its runs in the same order).

    Raises InputError where the comparison is not of these runs.
    """
    names = [str(name) for name in comparison.get("runs") or ()]
    entries = comparison.get("comparisons")
    if len(names) != len(labels) or not isinstance(entries, Sequence):
        raise InputError(
            "the comparison is not one of these runs",
            got=", ".join(names) or "no runs",
            expected=f"what compare returns for {', '.join(labels)}",
            fix="lossmith compare with the same runs in the same order",
        )
    known = dict(zip(names, labels, strict=True))
    held: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in entries:
        held.setdefault((str(entry["run"]), str(entry["against"])), []).append(entry)
    tests = int(comparison.get("tests") or 0)
    found = []
    for (run, reference), facts in held.items():
        sides = known.get(run, run), known.get(reference, reference)
        told = {"clusters": comparison.get("clusters"), "tests": tests}
        of_groups = [one for one in comparison.get("groups") or () if (one["run"], one["against"]) == (run, reference)]
        differences = tuple(_difference(told | dict(one), *sides) for one in facts)
        found.append(Pair(*sides, differences, tuple(_by_group(of_groups))))
    return found


def _by_group(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, Plot]]:
    """A picture for each rate: the groups by the size of their difference, the largest rise first."""
    for name in dict.fromkeys(str(one["metric"]) for one in entries):
        held = [one for one in entries if one["metric"] == name]
        order = sorted(held, key=lambda one: (one["difference"] is None, -(one["difference"] or 0.0)))
        dots = [
            Dot(
                f"{one['group']} ({one['n']:,})",
                one["difference"],
                one["low"],
                one["high"],
                0,
                faint="too small" in str(one.get("reason") or ""),
                note="too small" if "too small" in str(one.get("reason") or "") else "",
            )
            for one in order
        ]
        drawn = plot(dots, decimals=metric_decimals(name), line=0.0, sign=True)
        if drawn is not None:
            yield name, DIRECTIONS.get(direction_of(name, held[0]), ("", ""))[1], drawn


def verdict_lines(found: Sequence[Pair], metric: str | None) -> list[Verdict]:
    """One line a pair, on the main metric, and how the other metrics came out."""
    lines = []
    for pair in found:
        main = next((d for d in pair.differences if d.metric == metric), next(iter(pair.differences), None))
        if main is None:
            continue
        others = [d for d in pair.differences if d is not main]
        told = [
            f"{label} on {', '.join(d.metric for d in others if d.kind == kind)}"
            for kind, label in WORDS.items()
            if any(d.kind == kind for d in others)
        ]
        rest = f" Other metrics: {'; '.join(told)}." if told else ""
        statement = {
            "good": f"{pair.run} is better than {pair.reference} on {main.metric}",
            "bad": f"{pair.run} is worse than {pair.reference} on {main.metric}",
            "caution": f"It is not decided whether {pair.run} and {pair.reference} differ on {main.metric}",
            "plain": f"{pair.run} is not shown to be better or worse than {pair.reference} on {main.metric}",
        }[main.kind]
        lines.append(Verdict(main.kind, statement, main.sentence + rest))
    return lines


def _difference(facts: Mapping[str, Any], run: str, reference: str) -> Difference:
    name = str(facts["metric"])
    decimals = metric_decimals(name)
    direction = direction_of(name, facts)
    arrow, better = DIRECTIONS.get(direction, ("", direction))
    kind, sentence = _judge(facts, run, reference)
    value, low, high, n, clusters = (facts.get(part) for part in ("difference", "low", "high", "n", "clusters"))
    dots = [Dot(f"{run} less {reference}", value, low, high, 0)]
    return Difference(
        metric=name,
        arrow=arrow,
        better=better,
        difference=number(value, decimals=decimals, sign=True),
        bounds=interval(low, high, decimals=decimals, sign=True),
        p=p_value(facts.get("p")),
        p_holm=p_value(facts.get("p_holm")),
        n="" if n is None else count(n, "record") + (f" in {count(clusters, 'cluster')}" if clusters else ""),
        kind=kind,
        word=WORDS[kind],
        sentence=sentence,
        plot=plot(dots, decimals=decimals, line=0.0, sign=True),
    )


def _judge(facts: Mapping[str, Any], run: str, reference: str) -> tuple[Kind, str]:
    """What the test says, in one sentence; "not shown to differ" is never turned into "equal"."""
    value, low, high, p = (facts.get(part) for part in ("difference", "low", "high", "p_holm"))
    name = str(facts["metric"])
    if value is None:
        return "caution", f"There is no difference to test: {facts.get('reason') or 'a value is undefined'}."
    decimals = metric_decimals(name)
    bounds = interval(low, high, decimals=decimals, sign=True)
    size = number(abs(value), decimals=decimals)
    relation = f"{run} scores {size} {'higher' if value > 0 else 'lower'} than {reference}"
    lead = relation if value else f"{run} and {reference} have the same value"
    within = f"{lead} (95 % interval of the difference {bounds})" if bounds else lead
    if p is None:
        return "caution", f"{within}; there is no p value: {facts.get('reason') or 'this metric cannot be permuted'}."
    tests = facts.get("tests") or 1
    holm = f" after Holm's correction over {count(tests, 'test')}" if tests > 1 else ""
    figures = f"p {p_value(p) if p < 0.001 else '= ' + p_value(p)}{holm}"
    apart = low is not None and high is not None and (low > 0 or high < 0)
    if p >= LEVEL:
        if apart:
            return "caution", f"{within}; the interval leaves out 0, but the test does not rule out chance ({figures})."
        if value == low == high == 0:
            return "plain", f"{lead}, in every resample too: no record tells them apart on this metric."
        equal = "That does not show that the two are equal: any difference inside the interval fits the data."
        return "plain", f"{within}; the test finds no difference ({figures}). {equal}"
    direction = direction_of(name, facts)
    if direction == "one" or not apart:
        return "caution", f"{within}; the two differ ({figures}), which alone does not say which is better."
    good = (value > 0) == (direction == "up")
    return ("good" if good else "bad"), f"{within}, which is {'better' if good else 'worse'} ({figures})."
