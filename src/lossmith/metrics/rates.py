"""The rates of one confusion table of two classes: figures of its four counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lossmith.metrics.scores import Ratio

# Counts (..., 4) in this order everywhere: true positives, false positives, false negatives, true negatives.
TP, FP, FN, TN = range(4)


def counts_of(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The cell of each record (records, 4), float64, of two masks (records,).

    >>> counts_of(np.array([True, False]), np.array([True, True])).tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    """
    return np.stack([gold & predicted, ~gold & predicted, gold & ~predicted, ~gold & ~predicted], axis=-1).astype(
        np.float64
    )


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean of recall and specificity (...,) of counts (..., 4); 0 to 1, nan without positives or negatives.

    >>> float(balanced_accuracy(np.array([8.0, 30.0, 2.0, 60.0])))
    0.7333333333333334
    """
    return np.asarray((RATES["recall"](counts) + RATES["specificity"](counts)) / 2)


def mcc(counts: np.ndarray) -> np.ndarray:
    """Matthews' correlation (...,) of counts (..., 4); -1 to 1, nan where labels or predictions are all alike.

    >>> round(float(mcc(np.array([8.0, 30.0, 2.0, 60.0]))), 4)
    0.2884
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    # The four roots apart: their product overflows nothing and loses nothing for millions of records.
    bottom = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return np.where(bottom > 0, (tp * tn - fp * fn) / np.where(bottom > 0, bottom, 1.0), np.nan)


RATES: Mapping[str, Ratio] = {
    "accuracy": Ratio(top=(1, 0, 0, 1), bottom=(1, 1, 1, 1)),
    "precision": Ratio(top=(1, 0, 0, 0), bottom=(1, 1, 0, 0)),
    "recall": Ratio(top=(1, 0, 0, 0), bottom=(1, 0, 1, 0)),
    "tpr": Ratio(top=(1, 0, 0, 0), bottom=(1, 0, 1, 0)),
    "fnr": Ratio(top=(0, 0, 1, 0), bottom=(1, 0, 1, 0)),
    "specificity": Ratio(top=(0, 0, 0, 1), bottom=(0, 1, 0, 1)),
    "fpr": Ratio(top=(0, 1, 0, 0), bottom=(0, 1, 0, 1)),
    "selection_rate": Ratio(top=(1, 1, 0, 0), bottom=(1, 1, 1, 1)),
    "f1": Ratio(top=(2, 0, 0, 0), bottom=(2, 1, 1, 0)),
}

# What a threshold can be chosen to make as large as it gets.
MAXIMA: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    **{name: RATES[name] for name in ("f1", "accuracy", "precision", "recall", "specificity")},
    "balanced_accuracy": balanced_accuracy,
    "mcc": mcc,
}
