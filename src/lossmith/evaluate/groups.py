"""Metrics inside each group."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from lossmith.evaluate.measures import Measure, Resampling, figure
from lossmith.evaluate.predictions import Predictions
from lossmith.metrics.scores import Scores

SMALLEST_GROUP = 10


def group_figures(
    measures: Mapping[str, Measure], scores: Mapping[str, Scores], predictions: Predictions, *, how: Resampling
) -> dict[str, dict[str, Any]]:
    """Figures by group, then by metric, groups in alphabetical order; empty where the file names no groups.

    Records without a group are in none. A group of fewer than 10 records keeps its figures, with `reason`
    saying that it is too small; it meets no gate.
    """
    groups = predictions.groups
    if groups is None:
        return {}
    return {
        str(group): {
            name: _figure(measure, scores[name], predictions, rows_of(groups, group), how)
            for name, measure in measures.items()
        }
        for group in sorted({one for one in groups if one is not None}, key=str)
    }


def rows_of(groups: list[Any], group: Hashable) -> np.ndarray:
    """Positions of the records of a group."""
    return np.flatnonzero([one == group for one in groups])


def _figure(
    measure: Measure, scores: Scores, predictions: Predictions, rows: np.ndarray, how: Resampling
) -> dict[str, Any]:
    inside = scores.of(rows) if scores.parts == "sums" else measure.score(predictions.take(rows))
    clusters = predictions.clusters
    entry = figure(measure, inside, None if clusters is None else [clusters[row] for row in rows], how=how)
    for name in ("signature", "notes"):
        entry.pop(name, None)
    if len(rows) < SMALLEST_GROUP and entry["value"] is not None:
        entry["reason"] = f"too small: {len(rows)} of at least {SMALLEST_GROUP} records"
    return entry
