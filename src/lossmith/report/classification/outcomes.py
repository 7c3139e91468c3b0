"""Labels, decisions and scores of a predictions file as arrays, for the counts and curves of a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lossmith.evaluate.predictions import Predictions
from lossmith.labels import Classes


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

    Raises LossmithError where it says that it is one and cannot be read as one.
    """
    if predictions.classes is None:
        return None
    found, facts = predictions.outcomes, predictions.facts
    # Metrics turn a failed record into a wrong one; here it is told by itself.
    predicted = found.said & ~found.failed[:, None]
    temperature = facts.get("temperature")
    return Outcomes(
        found.classes,
        found.gold,
        predicted,
        found.failed,
        found.scores,
        facts.get("threshold"),
        1.0 if temperature is None else float(temperature),
    )
