"""A model beside its baselines: their figures, the paired differences, and what has to be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lossmith.evaluate.baselines import Baseline
from lossmith.evaluate.class_baselines import CONSTANTS
from lossmith.evaluate.groups import group_figures
from lossmith.evaluate.measures import Measure, Resampling, figure
from lossmith.evaluate.predictions import Predictions
from lossmith.metrics.paired import difference, paired_bootstrap
from lossmith.metrics.scores import AnyScores


def against_baselines(
    measures: Mapping[str, Measure],
    scores: Mapping[str, AnyScores],
    predictions: Predictions,
    given: Mapping[str, Baseline],
    how: Resampling,
) -> dict[str, Any]:
    """The keys of metrics.json that tell of baselines.

    `baselines` and `baseline_groups` hold figures, `against_baselines` the paired difference on the first metric (and
    for a run on each, as `differences`), `beats_constant` whether the interval of the difference to the best constant
    lies on the better side of 0.
    """
    figures: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    against: dict[str, Any] = {}
    first = next(iter(measures))
    for name, baseline in given.items():
        own = {key: measure for key, measure in measures.items() if baseline.has(measure)}
        theirs = {key: measure.score(baseline.predictions) for key, measure in own.items()}
        clusters = predictions.clusters
        figures[name] = {key: figure(measure, theirs[key], clusters, how=how) for key, measure in own.items()}
        if found := group_figures(own, theirs, baseline.predictions, how=how):
            groups[name] = found
        differences = {
            key: _difference(own[key], theirs[key], scores[key], clusters, how)
            for key in own
            if key == first or baseline.own == "all"
        }
        if first in differences:
            against[name] = differences[first] | ({"differences": differences} if baseline.own == "all" else {})
    return {
        "baselines": figures,
        "baseline_groups": groups,
        "against_baselines": against,
        "beats_constant": _beats_constant(measures[first], figures, against),
    }


def best_constant(measure: Measure, figures: Mapping[str, Any]) -> str | None:
    """The constant whose value is best, None where none has a value."""
    values = {name: figures[name][measure.name]["value"] for name in CONSTANTS if measure.name in figures.get(name, {})}
    held = {name: value for name, value in values.items() if value is not None}
    sign = {"up": 1, "down": -1}.get(measure.direction)
    return None if not held or sign is None else max(held, key=lambda name: sign * held[name])


def told_above(
    measures: Mapping[str, Measure], given: Mapping[str, Baseline], result: Mapping[str, Any]
) -> Iterator[str]:
    """Sentences that belong above the figures: that a model does not beat the best constant, or another baseline."""
    first = next(iter(measures.values()))
    constant = best_constant(first, result["baselines"])
    found = result["against_baselines"]
    if constant is None and any(name in found for name in CONSTANTS):
        yield (
            f"Whether the model beats a constant is not known: {first.name} has no value for one. "
            "Name a metric that has first in evaluate.metrics, f1_macro for one."
        )
    for name, one in found.items():
        if one["beats"] is False and (name not in CONSTANTS or name == constant):
            value, theirs = (figures[first.name]["value"] for figures in (result["metrics"], result["baselines"][name]))
            yield (
                f"The model does not beat {given[name].about}: {first.name} {value:.4g} against {theirs:.4g}, "
                f"difference {one['difference']:+.4g} [{one['low']:+.4g}, {one['high']:+.4g}]."
            )


def _beats_constant(first: Measure, figures: Mapping[str, Any], against: Mapping[str, Any]) -> bool | None:
    name = best_constant(first, figures)
    found: bool | None = None if name is None else against[name]["beats"]
    return found


def _difference(
    measure: Measure, theirs: AnyScores, ours: AnyScores, clusters: list[Any] | None, how: Resampling
) -> dict[str, Any]:
    found = paired_bootstrap(theirs, ours, clusters=clusters, resamples=how.resamples, seed=how.seed)
    low, high = found.low, found.high
    beats: bool | None = None
    if low is not None and high is not None and measure.direction in ("up", "down"):
        beats = low > 0 if measure.direction == "up" else high < 0
    return {
        "metric": measure.name,
        "difference": difference(theirs, ours),
        "low": low,
        "high": high,
        "beats": beats,
        "reason": found.reason,
    }
