"""Metrics inside each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lossmith.evaluate.measures import Measure, Resampling, figure, find_measure, find_measures
from lossmith.evaluate.predictions import Predictions
from lossmith.metrics.scores import AnyScores, Scores
from lossmith.names import METRICS

# By group, whatever is asked for.
RATES = ("fpr", "fnr", "tpr", "selection_rate")
AREAS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
TOO_SMALL = "too small"


def group_figures(
    measures: Mapping[str, Measure], scores: Mapping[str, AnyScores], predictions: Predictions, *, how: Resampling
) -> dict[str, dict[str, Any]]:
    """Figures by group, then by metric, groups in alphabetical order; empty where the file names no groups.

    A classification has n, positives, error rates and areas of each group beside what is asked. Records without a group
    are in none. A group under `evaluate.smallest_group` keeps its figures, with `reason` saying that it is too small;
    it meets no gate.
    """
    groups = predictions.groups
    if predictions.classes is not None:
        measures = {**find_measures(RATES, predictions.classes), **measures}
    inside = {name: measure for name, measure in measures.items() if not measure.across}
    found: dict[str, dict[str, Any]] = {}
    for place, group in enumerate(groups.names):
        mask = groups.members[:, place]
        part = _Part(predictions, np.flatnonzero(mask), how)
        found[group] = {} if predictions.classes is None else part.counts()
        found[group].update({name: part.figure(one, scores.get(name)) for name, one in inside.items()})
        if predictions.classes is not None and predictions.outcomes.scored.any():
            found[group].update(_areas(predictions, mask, part))
    return found


@dataclass(frozen=True)
class _Part:
    """The records of one group, by `rows` of all."""

    predictions: Predictions
    rows: np.ndarray
    how: Resampling

    @cached_property
    def own(self) -> Predictions:
        """The predictions of these records alone."""
        return self.predictions.take(self.rows)

    def figure(self, measure: Measure, scores: AnyScores | None) -> dict[str, Any]:
        """One metric; `scores` of all records are used where a part of them is those of the part."""
        summed = measure.reads != "outcomes" and isinstance(scores, Scores) and scores.parts == "sums"
        inside = scores.of(self.rows) if summed and isinstance(scores, Scores) else measure.score(self.own)
        entry = figure(measure, inside, self.own.clusters, how=self.how)
        for name in ("signature", "notes") if measure.reads != "outcomes" else ():
            entry.pop(name, None)
        return self.judged(entry)

    def counts(self) -> dict[str, dict[str, Any]]:
        """Records and positives; without a positive class the records of each."""
        outcomes = self.own.outcomes
        names = outcomes.classes.names if outcomes.classes.positive is None else (outcomes.classes.positive,)
        found = {"n": len(self.rows)}
        for name in names:
            key = "positives" if outcomes.classes.positive else f"positives.{name}"
            found[key] = int(outcomes.against_rest(name).gold.sum())
        entry = {"low": None, "high": None, "n": len(self.rows), "direction": "none", "reason": "a count"}
        return {key: self.judged({"value": value, **entry}) for key, value in found.items()}

    def judged(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The figure, saying so where the group is too small for it."""
        smallest = self.predictions.smallest_group
        if len(self.rows) < smallest and entry["value"] is not None:
            entry["reason"] = f"{TOO_SMALL}: {len(self.rows)} of at least {smallest} records"
        return entry


def _areas(predictions: Predictions, mask: np.ndarray, part: _Part) -> dict[str, dict[str, Any]]:
    """How the scores order the group's records among themselves and against the others."""
    outcomes = predictions.outcomes
    positive = outcomes.classes.positive
    found = {}
    for name in AREAS:
        row = METRICS[name]
        for one in outcomes.classes.names if positive is None else (positive,):
            key = name if positive is not None else f"{name}.{one}"
            scores = row.load()(outcomes.against_rest(one), mask)
            entry = figure(replace(find_measure(name), name=key), scores, predictions.clusters, how=part.how)
            found[key] = part.judged(entry)
    return found
