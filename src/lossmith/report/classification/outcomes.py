"""Labels, decisions and scores of a predictions file as arrays, for the counts and curves of a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmith.errors import LossmithError
from lossmith.evaluate.predictions import Predictions
from lossmith.labels import Classes

METADATA = b"lossmith"


@dataclass(frozen=True)
class Outcomes:
    """What was true and what was said of each record.

    `truth` and `predicted` are (records, classes) masks; of classes that exclude each other a row holds one True, and a
    `failed` row of `predicted` none. `scores` is (records, classes), nan where a record has none. `threshold` is what
    the score of the positive class or of a label had to reach; of more classes that exclude each other the highest
    score decides.
    """

    classes: Classes
    truth: np.ndarray
    predicted: np.ndarray
    failed: np.ndarray
    scores: np.ndarray
    threshold: float | Mapping[str, float] | None
    temperature: float

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def scored(self) -> np.ndarray:
        """Mask (records,) of those with a score for every class."""
        return ~np.isnan(self.scores).any(axis=1)

    @property
    def wrong(self) -> np.ndarray:
        """Mask (records,) of those with another decision than their label; failed ones among them."""
        return (self.truth != self.predicted).any(axis=1) | self.failed


def read_outcomes(predictions: Predictions) -> Outcomes | None:
    """The outcomes of a classification's file, None where the file is not of a classification.

    Raises LossmithError where it says that it is one and lacks a column.
    """
    held = (predictions.table.schema.metadata or {}).get(METADATA)
    facts = json.loads(held) if held else {}
    if not facts.get("classes"):
        return None
    classes = Classes.from_json(facts["classes"])
    if classes.multi_label:
        truth, predicted = (_flags(predictions, classes, side) for side in ("label", "predicted"))
    else:
        truth, predicted = (_one_of(predictions, classes, side) for side in ("label", "predicted"))
    failed = predictions.failed if classes.multi_label else predictions.failed | ~predicted.any(axis=1)
    predicted = predicted & ~failed[:, None]
    scores = np.stack([_numbers(predictions, name) for name in classes.score_columns], axis=1)
    temperature = facts.get("temperature")
    return Outcomes(
        classes, truth, predicted, failed, scores, facts.get("threshold"), 1.0 if temperature is None else temperature
    )


def _flags(predictions: Predictions, classes: Classes, side: str) -> np.ndarray:
    columns = [_numbers(predictions, f"{side}.{name}") for name in classes.names]
    return np.stack(columns, axis=1) == 1


def _one_of(predictions: Predictions, classes: Classes, side: str) -> np.ndarray:
    held = np.asarray(_column(predictions, side), dtype=object)
    return np.stack([held == name for name in classes.names], axis=1).astype(bool)


def _numbers(predictions: Predictions, name: str) -> np.ndarray:
    values = [np.nan if value is None else value for value in _column(predictions, name)]
    return np.asarray(values, dtype=np.float64)


def _column(predictions: Predictions, name: str) -> list[Any]:
    if name not in predictions.table.column_names:
        raise LossmithError(f"{predictions.where} has no column '{name}'", got="a classification without it")
    return list(predictions.table[name].to_pylist())
