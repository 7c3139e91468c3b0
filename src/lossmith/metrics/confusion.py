"""Metrics of one confusion table: of one class against the rest, and of all classes together."""

from __future__ import annotations

import numpy as np

from lossmith.metrics.outcomes import Binary, Outcomes
from lossmith.metrics.rates import RATES, counts_of
from lossmith.metrics.scores import Scores, mean_of, without_value

# Of these the trials are the records outside the class.
_OF_NEGATIVES = ("fpr", "specificity")


def precision(binary: Binary) -> Scores:
    """Share of those said to be of the class that are: TP / (TP + FP); 0 to 1, up.

    >>> precision(Binary("yes", *(np.array([1, 0, 1]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "precision")


def recall(binary: Binary) -> Scores:
    """Share of the records of the class that are said to be: TP / (TP + FN); 0 to 1, up.

    >>> recall(Binary("yes", *(np.array([1, 0, 1]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "recall")


def tpr(binary: Binary) -> Scores:
    """True positive rate: recall by its other name, for figures by group; 0 to 1, up.

    >>> tpr(Binary("yes", *(np.array([1, 0, 1]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "tpr")


def fnr(binary: Binary) -> Scores:
    """False negative rate: share of the records of the class that are missed, FN / (TP + FN); 0 to 1, down.

    >>> fnr(Binary("yes", *(np.array([1, 0, 1]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "fnr")


def specificity(binary: Binary) -> Scores:
    """Share of the records of other classes that are said to be: TN / (TN + FP); 0 to 1, up.

    >>> specificity(Binary("yes", *(np.array([1, 0, 0]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "specificity")


def fpr(binary: Binary) -> Scores:
    """False positive rate: share of the records of other classes said to be of this one, FP / (FP + TN); 0 to 1, down.

    >>> fpr(Binary("yes", *(np.array([1, 0, 0]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "fpr")


def selection_rate(binary: Binary) -> Scores:
    """Share of all records said to be of the class; 0 to 1, neither side being better.

    >>> selection_rate(Binary("yes", *(np.array([1, 0]) == 1, np.array([1, 0]) == 1), np.zeros(2))).value()
    0.5
    """
    return _rate(binary, "selection_rate")


def f1(binary: Binary) -> Scores:
    """Harmonic mean of precision and recall, 2TP / (2TP + FP + FN); 0 to 1, up.

    >>> f1(Binary("yes", *(np.array([1, 0, 1]) == 1, np.array([1, 1, 0]) == 1), np.zeros(3))).value()
    0.5
    """
    return _rate(binary, "f1")


def accuracy(outcomes: Outcomes) -> Scores:
    """Share of records whose class, or whose labels all together, are right; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> accuracy(outcomes(Classes(("a", "b", "c")), gold=[0, 1, 2], said=[0, 1, None])).value()
    0.6666666666666666
    """
    return mean_of((outcomes.gold == outcomes.said).all(axis=1))


def balanced_accuracy(outcomes: Outcomes) -> Scores:
    """Mean of the recall of each class that occurs; 0 to 1, up; undefined where only one does.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> balanced_accuracy(outcomes(Classes(("a", "b")), gold=[0, 0, 1], said=[0, 1, 1])).value()
    0.75
    """
    if reason := _not_exclusive(outcomes):
        return without_value(reason, len(outcomes))
    width = len(outcomes.classes)

    def reduce(sums: np.ndarray) -> np.ndarray:
        true, _, right, _ = _split(sums, width)
        occurs = true > 0
        recalls = np.where(occurs, right / np.where(occurs, true, 1.0), 0.0)
        present = occurs.sum(axis=-1)
        return np.where(present > 1, recalls.sum(axis=-1) / np.maximum(present, 1), np.nan)

    absent = _absent(outcomes, np.any(outcomes.gold, axis=0), "in no label")
    return Scores(_columns(outcomes), reduce, notes=(*absent, *outcomes.few()))


def f1_macro(outcomes: Outcomes) -> Scores:
    """Mean F1 of the classes that occur among labels or predictions; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> found = f1_macro(outcomes(Classes(("a", "b", "c")), gold=[0, 0, 1], said=[0, 1, 1]))
    >>> round(found.value(), 4), found.notes[0]
    (0.6667, 'left out, since they occur neither among labels nor among predictions: c')
    """
    width = len(outcomes.classes)

    def reduce(sums: np.ndarray) -> np.ndarray:
        true, told, right, _ = _split(sums, width)
        occurs = true + told > 0
        values = np.where(occurs, 2 * right / np.where(occurs, true + told, 1.0), 0.0)
        present = occurs.sum(axis=-1)
        return np.where(present > 0, values.sum(axis=-1) / np.maximum(present, 1), np.nan)

    occurs = np.any(outcomes.gold | outcomes.said, axis=0)
    absent = _absent(outcomes, occurs, "neither among labels nor among predictions")
    return Scores(_columns(outcomes), reduce, notes=(*absent, *outcomes.few()))


def f1_micro(outcomes: Outcomes) -> Scores:
    """F1 of the counts of all classes added up, 2TP / (2TP + FP + FN); 0 to 1, up.

    For classes that exclude each other and without failures it is accuracy.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> f1_micro(outcomes(Classes(("a", "b"), multi_label=True), gold=[[1, 1], [0, 0]], said=[[1, 0], [0, 0]])).value()
    0.6666666666666666
    """
    counts = counts_of(outcomes.gold, outcomes.said).sum(axis=1)
    return Scores(counts, RATES["f1"], notes=outcomes.few())


def mcc(outcomes: Outcomes) -> Scores:
    """Matthews' correlation of labels and predictions, for several classes by Gorodkin 2004; -1 to 1, up.

    Undefined where labels or predictions are all alike.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> mcc(outcomes(Classes(("a", "b")), gold=[0, 0, 1, 1], said=[0, 1, 1, 1])).value()
    0.5773502691896258
    """
    if reason := _not_exclusive(outcomes):
        return without_value(reason, len(outcomes))
    width = len(outcomes.classes)

    def reduce(sums: np.ndarray) -> np.ndarray:
        true, told, right, failed = _split(sums, width)
        n = true.sum(axis=-1)
        # Failed records are a predicted class of their own, which no label has.
        told = np.concatenate([told, failed[..., None]], axis=-1)
        true = np.concatenate([true, np.zeros_like(failed)[..., None]], axis=-1)
        spread = np.sqrt(n * n - (told**2).sum(axis=-1)) * np.sqrt(n * n - (true**2).sum(axis=-1))
        top = right.sum(axis=-1) * n - (true * told).sum(axis=-1)
        return np.where(spread > 0, top / np.where(spread > 0, spread, 1.0), np.nan)

    return Scores(_columns(outcomes), reduce, notes=outcomes.few())


def _rate(binary: Binary, name: str) -> Scores:
    notes = binary.few_negatives() if name in _OF_NEGATIVES else () if name == "selection_rate" else binary.few()
    return Scores(counts_of(binary.gold, binary.said), RATES[name], notes=notes)


def _columns(outcomes: Outcomes) -> np.ndarray:
    """Of each record its classes, the classes it is said to have, those that are both, and whether it has none."""
    gold, said = outcomes.gold, outcomes.said
    nowhere = ~said.any(axis=1, keepdims=True)
    return np.concatenate([gold, said, gold & said, nowhere], axis=1).astype(np.float64)


def _split(sums: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sums (..., 3 classes + 1) of these columns apart: three of (..., classes), and (...,)."""
    return sums[..., :width], sums[..., width : 2 * width], sums[..., 2 * width : 3 * width], sums[..., -1]


def _absent(outcomes: Outcomes, occurs: np.ndarray, where: str) -> tuple[str, ...]:
    names = [name for name, there in zip(outcomes.classes.names, occurs, strict=True) if not there]
    return (f"left out, since they occur {where}: {', '.join(names)}",) if names else ()


def _not_exclusive(outcomes: Outcomes) -> str | None:
    if outcomes.classes.multi_label:
        return "labels that do not exclude each other have no one confusion table: f1_macro and f1_micro do"
    return None
