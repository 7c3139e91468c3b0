"""The page of a cross-validation: each fold, their mean, and the pooled predictions beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.figures import count, interval, number
from lossmith.report.intervals_plot import Dot, Plot, plot
from lossmith.report.measured import DIRECTIONS, direction_of, metric_decimals, metric_range
from lossmith.report.studies.study_files import Study


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
    """The table of folds: `heads` are metrics, `rows` (fold, state, time, threshold, values)."""

    about: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, str, str, str, Sequence[str]]]
    thresholds: bool
    metrics: Sequence[FoldMetric]


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
    )


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
