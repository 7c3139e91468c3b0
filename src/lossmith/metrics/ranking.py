"""How well scores order records: areas under curves, and reading work saved. A record without a score is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lossmith.metrics.outcomes import Binary, Outcomes
from lossmith.metrics.scores import Ranked

REACHED = 0.95


def roc_auc(binary: Binary) -> Ranked:
    """Chance that a record of the class scores higher than one of another, a tie counting half; 0 to 1, up.

    >>> gold, scores = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.6, 0.1])
    >>> roc_auc(Binary("yes", gold, gold, scores)).value()
    0.625
    """
    return ranked(binary, area_under_roc)


def pr_auc(binary: Binary) -> Ranked:
    """Average precision: precision at each threshold, weighted by the recall that it adds; 0 to 1, up.

    >>> gold, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.6, 0.1])
    >>> round(pr_auc(Binary("yes", gold, gold, scores)).value(), 4)
    0.8333
    """
    return ranked(binary, average_precision)


def wss95(binary: Binary) -> Ranked:
    """Work saved over sampling: (TN + FN) / n - .05 at the smallest set of top scores with recall .95; -.05 to .95, up.

    Records of one score enter the set together.

    >>> gold, scores = np.array([True, False, False, False]), np.array([0.9, 0.8, 0.6, 0.1])
    >>> wss95(Binary("yes", gold, gold, scores)).value()
    0.7
    """
    return ranked(binary, work_saved)


def roc_auc_macro(outcomes: Outcomes) -> Ranked:
    """Mean over classes of roc_auc of the class against the rest; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> three = outcomes(Classes(("a", "b", "c")), gold=[0, 1, 2], said=[0, 1, 2], scores=np.eye(3))
    >>> roc_auc_macro(three).value()
    1.0
    """
    return _macro(outcomes, area_under_roc)


def pr_auc_macro(outcomes: Outcomes) -> Ranked:
    """Mean over classes of pr_auc of the class against the rest; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> three = outcomes(Classes(("a", "b", "c")), gold=[0, 1, 2], said=[0, 1, 2], scores=np.eye(3))
    >>> pr_auc_macro(three).value()
    1.0
    """
    return _macro(outcomes, average_precision)


def roc_auc_micro(outcomes: Outcomes) -> Ranked:
    """roc_auc of all pairs of a record and a class together, ordered by one score; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> scores = np.array([[0.9, 0.4], [0.2, 0.6]])
    >>> both = Classes(("a", "b"), multi_label=True)
    >>> two = outcomes(both, gold=[[1, 0], [1, 1]], said=[[1, 0], [0, 1]], scores=scores)
    >>> roc_auc_micro(two).value()
    0.6666666666666666
    """
    return _micro(outcomes, area_under_roc)


def pr_auc_micro(outcomes: Outcomes) -> Ranked:
    """pr_auc of all pairs of a record and a class together, ordered by one score; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> scores = np.array([[0.9, 0.4], [0.2, 0.6]])
    >>> both = Classes(("a", "b"), multi_label=True)
    >>> two = outcomes(both, gold=[[1, 0], [1, 1]], said=[[1, 0], [0, 1]], scores=scores)
    >>> round(pr_auc_micro(two).value(), 4)
    0.9167
    """
    return _micro(outcomes, average_precision)


Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]


def area_under_roc(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Area (resamples,) of weights (resamples, scores) that records of each score have, from the largest score down."""
    all_positive, all_negative = positive.sum(axis=1), negative.sum(axis=1)
    # Negatives that stand lower, and half of those that stand as high.
    lower = all_negative[:, None] - np.cumsum(negative, axis=1) + negative / 2
    pairs = all_positive * all_negative
    return np.where(pairs > 0, (positive * lower).sum(axis=1) / np.where(pairs > 0, pairs, 1.0), np.nan)


def average_precision(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Average precision (resamples,) of such weights; nan without positives."""
    found = np.cumsum(positive, axis=1)
    taken = found + np.cumsum(negative, axis=1)
    precision = found / np.where(taken > 0, taken, 1.0)
    total = found[:, -1] if found.shape[1] else np.zeros(len(found))
    return np.where(total > 0, (positive * precision).sum(axis=1) / np.where(total > 0, total, 1.0), np.nan)


def work_saved(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Share of records (resamples,) that stand below the smallest set with recall .95, less .05; nan without
    positives.
    """
    found = np.cumsum(positive, axis=1)
    if not found.shape[1]:
        return np.full(len(found), np.nan)
    taken = found + np.cumsum(negative, axis=1)
    total, records = found[:, -1], taken[:, -1]
    # Weights are whole numbers: what is short of .95 is short by more than rounding.
    first = (found >= REACHED * total[:, None] - 1e-9).argmax(axis=1)
    read = np.take_along_axis(taken, first[:, None], axis=1)[:, 0]
    return np.where(total > 0, (records - read) / np.where(records > 0, records, 1.0) - (1 - REACHED), np.nan)


def ranked(binary: Binary, curve: Curve) -> Ranked:
    """A curve's value of one class against the rest, as a function of weights."""

    def weigh(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return curve(*by_score(columns[:, 0], columns[:, 1], weights))

    columns = np.stack([binary.gold, binary.scores], axis=1).astype(np.float64)
    scored = ~np.isnan(binary.scores)
    return Ranked(columns, weigh, notes=binary.take(scored).few(), **_told(scored))


def _macro(outcomes: Outcomes, curve: Curve) -> Ranked:
    width = len(outcomes.classes)

    def of_each(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Values (classes, resamples)."""
        return np.stack([curve(*by_score(columns[:, k], columns[:, width + k], weights)) for k in range(width)])

    def weigh(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        values = of_each(columns, weights)
        defined = ~np.isnan(values)
        count = defined.sum(axis=0)
        return np.where(count > 0, np.where(defined, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)

    columns = _both(outcomes)
    undefined = np.isnan(of_each(columns, np.ones((1, len(columns))))[:, 0])
    names = ", ".join(name for name, missing in zip(outcomes.classes.names, undefined, strict=True) if missing)
    absent = (f"left out, since the records with a score are all of the class, or none is: {names}",) if names else ()
    return Ranked(columns, weigh, notes=(*absent, *outcomes.few()), **_told(outcomes.scored))


def _micro(outcomes: Outcomes, curve: Curve) -> Ranked:
    width = len(outcomes.classes)

    def weigh(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        gold, scores = columns[:, :width].ravel(), columns[:, width:].ravel()
        return curve(*by_score(gold, scores, np.repeat(weights, width, axis=1)))

    return Ranked(_both(outcomes), weigh, notes=outcomes.few(), **_told(outcomes.scored))


def by_score(gold: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (resamples, scores) of positives and of negatives at each distinct score, from the largest down."""
    scored = np.flatnonzero(~np.isnan(scores))
    order = scored[np.argsort(-scores[scored], kind="stable")]
    ranked = scores[order]
    weights = weights[:, order]
    positive, negative = weights * gold[order], weights * (1 - gold[order])
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else np.zeros(0, dtype=int)
    if len(starts) == len(ranked):
        return positive, negative
    return np.add.reduceat(positive, starts, axis=1), np.add.reduceat(negative, starts, axis=1)


def _both(outcomes: Outcomes) -> np.ndarray:
    # A record without one of its scores has none: it is left out of every class alike.
    scores = np.where(outcomes.scored[:, None], outcomes.scores, np.nan)
    return np.concatenate([outcomes.gold, scores], axis=1).astype(np.float64)


def _told(scored: np.ndarray) -> dict[str, Any]:
    if len(scored) and not scored.any():
        return {"scored": scored, "undefined": "no record has a score"}
    return {"scored": None if scored.all() else scored}
