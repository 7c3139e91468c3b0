"""What metrics.json tells of a classification beside figures: decision, confusion table, calibration, criteria."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossmith.config.evaluate import EvaluateConfig
from lossmith.evaluate.measures import Measure, Resampling, figure
from lossmith.evaluate.predictions import Predictions
from lossmith.labels import CRITERION
from lossmith.metrics.outcomes import Outcomes
from lossmith.metrics.probabilities import reliability

FAILED = "failed"


def class_facts(predictions: Predictions, measures: Mapping[str, Measure], how: Resampling) -> dict[str, Any]:
    """`classes`, `positive`, `threshold`, `temperature`, `confusion`, `calibration`, and where records name one
    `criteria`, beside the thresholds of those that have one of their own, `criterion_thresholds`.
    """
    outcomes = predictions.outcomes
    classes = outcomes.classes
    return {
        "classes": list(classes.names),
        "multi_label": classes.multi_label,
        "positive": classes.positive,
        "threshold": predictions.facts.get("threshold"),
        "criterion_thresholds": predictions.facts.get("by_criterion", {}),
        "temperature": predictions.facts.get("temperature"),
        "confusion": _confusion(outcomes),
        "calibration": reliability(outcomes),
        "criteria": _criteria(predictions, measures, how),
    }


def decided_otherwise(predictions: Predictions, asked: EvaluateConfig) -> list[str]:
    """A sentence where the file's decisions were made by another threshold than the configuration now names."""
    own = predictions.facts.get("threshold")
    if isinstance(own, float | int) and isinstance(asked.threshold, float | int) and own != asked.threshold:
        return [
            f"The predictions were made with threshold {own:g}, not {asked.threshold:g}: predict again to decide anew."
        ]
    return []


def _confusion(outcomes: Outcomes) -> dict[str, Any]:
    """Counts by true class (rows) and predicted class (columns, the last for failures outside all classes); of labels
    that do not exclude each other TP, FP, FN and TN of each.
    """
    classes = outcomes.classes
    if classes.multi_label:
        gold, said = outcomes.gold, outcomes.said
        cells = {"tp": gold & said, "fp": ~gold & said, "fn": gold & ~said, "tn": ~gold & ~said}
        return {
            name: {cell: int(mask[:, place].sum()) for cell, mask in cells.items()}
            for place, name in enumerate(classes.names)
        }
    table = outcomes.gold.T.astype(int) @ outcomes.said.astype(int)
    if len(classes) == 2:
        return {"rows": list(classes.names), "columns": list(classes.names), "counts": table.tolist()}
    nowhere = outcomes.gold.T.astype(int) @ outcomes.failed.astype(int)
    return {
        "rows": list(classes.names),
        "columns": [*classes.names, FAILED],
        "counts": np.column_stack([table, nowhere]).tolist(),
    }


def _criteria(predictions: Predictions, measures: Mapping[str, Measure], how: Resampling) -> dict[str, Any]:
    """Figures of the records of each criterion, as of each group."""
    if CRITERION not in predictions.table.column_names:
        return {}
    named = np.array([str(one) for one in predictions.table[CRITERION].to_pylist()])
    found: dict[str, Any] = {}
    for criterion in np.unique(named):
        own = predictions.take(np.flatnonzero(named == criterion))
        found[str(criterion)] = {
            name: figure(measure, measure.score(own), own.clusters, how=how)
            for name, measure in measures.items()
            if measure.reads == "outcomes" and not measure.across
        }
    return found
