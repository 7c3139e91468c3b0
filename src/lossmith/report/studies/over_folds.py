"""The page of a cross-validation: each fold, their mean, and the pooled predictions beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.figures import count, interval, number, percent
from lossmith.report.intervals_plot import Dot, Plot, plot
from lossmith.report.measured import DIRECTIONS, direction_of, metric_decimals, metric_range
from lossmith.report.standing import Verdict
from lossmith.report.studies.study_files import Study, shown_value

_LISTED = 20


@dataclass(frozen=True)
class FoldMetric:
    """One metric: its mean over folds with spread and interval, the pooled value, and a picture of them."""

    name: str
    arrow: str
    better: str
    mean: str
    sd: str
    bounds: str
    pooled: str
    pooled_bounds: str
    reason: str
    plot: Plot | None


@dataclass(frozen=True)
class Folds:
    """The table of folds: `heads` are metrics, `rows` (fold, state, time, threshold, values).

    `pairs` are records of two folds with like texts (records, folds, similarity); `searches` what a search inside each
    fold's training part found (fold, value, values of the keys).
    """

    about: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, str, str, str, Sequence[str]]]
    thresholds: bool
    metrics: Sequence[FoldMetric]
    pairs: Sequence[tuple[str, str, str]]
    searches: Sequence[tuple[str, str, Sequence[tuple[str, str]]]]
    search_metric: str


def folds(study: Study) -> Folds:
    """What study.json says of the folds; without metrics while there are no results."""
    results = study.results
    metrics: Mapping[str, Mapping[str, Any]] = results.get("metrics") or {}
    decisions = {str(one.get("run")): one for one in results.get("decisions") or ()}
    thresholds = {name: _threshold(one) for name, one in decisions.items()}
    rows = [
        (
            child.name,
            child.error or child.state,
            child.time,
            thresholds.get(child.name, ""),
            [_value(name, facts, place) for name, facts in metrics.items()],
        )
        for place, child in enumerate(study.children())
    ]
    return Folds(
        _about(study),
        list(metrics),
        rows,
        any(thresholds.values()),
        [_metric(name, facts) for name, facts in metrics.items()],
        _pairs(results.get("leaks") or {}),
        _searches(results),
        str(results.get("search_metric") or ""),
    )


def leak_verdict(study: Study) -> list[Verdict]:
    """The leak check in one line; none while the study says nothing of it."""
    leaks = study.results.get("leaks") or {}
    repeats: Sequence[Mapping[str, Any]] = leaks.get("repeats") or ()
    if not repeats:
        return []
    most = {part: max(int(one.get(part) or 0) for one in repeats) for part in ("exact", "near", "clusters")}
    looked = f"nearly the same: {percent(leaks.get('threshold'))} of their words"
    if not all(one.get("complete", True) for one in repeats):
        looked += "; so many texts are alike in their rare words that comparing stopped early"
    if not any(most.values()):
        return [Verdict("good", "No text and no cluster stands in two folds", f"Compared before training ({looked}).")]
    told = ", ".join(
        one
        for one, held in (
            (count(most["exact"], "repeated text"), most["exact"]),
            (count(most["near"], "pair of nearly the same text", "pairs of nearly the same text"), most["near"]),
            (count(most["clusters"], "cluster"), most["clusters"]),
        )
        if held
    )
    return [Verdict("bad", f"The folds leak: {told} in two folds", f"What is measured here is too good ({looked}).")]


def _about(study: Study) -> str:
    results = study.results
    parts = [
        f"{results.get('kind') or study.setting('cv', 'kind')}, "
        f"{count(int(results.get('folds') or study.setting('cv', 'folds') or 0), 'fold')}"
    ]
    repeats = int(results.get("repeats") or 1)
    if repeats > 1:
        parts.append(f"cut anew {repeats} times")
    if results.get("n"):
        parts.append(count(int(results["n"]), "record"))
    return ", ".join(parts)


def _value(name: str, facts: Mapping[str, Any], place: int) -> str:
    values = facts["over_folds"].get("values") or ()
    return number(values[place], decimals=metric_decimals(name)) if place < len(values) else ""


def _metric(name: str, facts: Mapping[str, Any]) -> FoldMetric:
    decimals = metric_decimals(name)
    mean = facts["over_folds"]
    pooled: Sequence[Mapping[str, Any]] = facts.get("pooled") or ()
    arrow, better = DIRECTIONS.get(direction_of(name, facts), ("", ""))
    single = [value for value in mean.get("values") or () if value is not None]
    dots = [Dot("mean of the folds", mean.get("value"), mean.get("low"), mean.get("high"), 0, single=single)]
    dots += [
        Dot(
            "pooled" if len(pooled) == 1 else f"pooled, repeat {place + 1}",
            one.get("value"),
            one.get("low"),
            one.get("high"),
            1,
        )
        for place, one in enumerate(pooled)
    ]
    floor, ceiling = metric_range(name)
    first: Mapping[str, Any] = pooled[0] if pooled else {}
    return FoldMetric(
        name=name,
        arrow=arrow,
        better=better,
        mean=number(mean.get("value"), decimals=decimals),
        sd=number(mean.get("sd"), decimals=decimals),
        bounds=interval(mean.get("low"), mean.get("high"), decimals=decimals),
        pooled=number(first.get("value"), decimals=decimals),
        pooled_bounds=interval(first.get("low"), first.get("high"), decimals=decimals),
        reason=str(mean.get("reason") or ""),
        plot=plot(dots, decimals=decimals, floor=floor, ceiling=ceiling),
    )


def _threshold(decision: Mapping[str, Any]) -> str:
    held = decision.get("threshold")
    if isinstance(held, Mapping):
        return ", ".join(f"{name} {number(float(value))}" for name, value in held.items())
    return "" if held is None else number(float(held))


def _pairs(leaks: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    held = [pair for one in leaks.get("repeats") or () for pair in one.get("pairs") or ()]
    return [
        (
            f"{one['first']} and {one['second']}",
            f"{one['parts'][0]} and {one['parts'][1]}",
            number(one.get("similarity"), decimals=2),
        )
        for one in held[:_LISTED]
    ]


def _searches(results: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    metric = str(results.get("search_metric") or "")
    return [
        (
            f"fold {one.get('fold')}",
            number(one.get("value"), decimals=metric_decimals(metric)),
            [(str(key), shown_value(value)) for key, value in (one.get("params") or {}).items()],
        )
        for one in results.get("searches") or ()
    ]
