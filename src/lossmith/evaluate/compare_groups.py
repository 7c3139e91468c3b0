"""Two runs on the records of each group: paired differences of the error rates, with intervals and without tests.

Tests of many groups would make every corrected p value of the metrics that were asked for larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossmith.evaluate.measures import Measure, Resampling, find_measures
from lossmith.evaluate.predictions import Predictions
from lossmith.metrics.paired import difference, paired_bootstrap

COMPARED = ("fpr", "fnr")


def group_differences(first: Predictions, second: Predictions, how: Resampling) -> list[dict[str, Any]]:
    """One entry a rate and group, the second run's less the first's; empty where the records name no groups.

    Both hold the same records in one order. A group under `evaluate.smallest_group` keeps its figures, with `reason`
    saying that it is too small. With more than two classes each class has its rates, as `fpr.CLASS`.
    """
    classes, groups = first.classes, first.groups
    if classes is None or not groups.names:
        return []
    measures = find_measures(COMPARED, classes)
    if classes.positive is None:
        measures = {name: measure for name, measure in measures.items() if name not in COMPARED}
    found = []
    for place, group in enumerate(groups.names):
        rows = np.flatnonzero(groups.members[:, place])
        sides = first.take(rows), second.take(rows)
        few = f"too small: {len(rows)} of at least {groups.smallest} records" if len(rows) < groups.smallest else None
        found += [{"group": group, **entry} for entry in _entries(measures, sides, few, how)]
    return found


def _entries(
    measures: Mapping[str, Measure], sides: tuple[Predictions, Predictions], few: str | None, how: Resampling
) -> list[dict[str, Any]]:
    entries = []
    for name, measure in measures.items():
        first, second = (measure.score(side) for side in sides)
        apart = difference(first, second)
        found = paired_bootstrap(first, second, clusters=sides[0].clusters, resamples=how.resamples, seed=how.seed)
        entries.append(
            {
                "metric": name,
                "direction": measure.direction,
                "values": [first.value(), second.value()],
                "difference": apart,
                "low": found.low,
                "high": found.high,
                "n": len(sides[0]),
                "reason": few or (measure.undefined if apart is None else found.reason),
            }
        )
    return entries
