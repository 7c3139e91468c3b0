"""How far scores are from being true probabilities. A record without a score is left out, and n says so."""

from __future__ import annotations

import numpy as np

from lossmith.metrics.outcomes import Outcomes
from lossmith.metrics.scores import Scores, mean_of

BINS = 15
SMALLEST = 1e-15


def brier(outcomes: Outcomes) -> Scores:
    """Mean squared distance of scores from the truth, down.

    With a positive class (p - y)^2, 0 to 1; of more classes the sum over them, 0 to 2 (Brier 1950); of labels that
    don't exclude each other the mean over them.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> two = Classes(("no", "yes"), positive="yes")
    >>> round(brier(outcomes(two, gold=[1], said=[1], scores=np.array([[0.3, 0.7]]))).value(), 4)
    0.09
    """
    apart = (outcomes.scores - outcomes.gold) ** 2
    return _mean(outcomes, _of_positive(outcomes, apart, apart.sum(axis=1)))


def log_loss(outcomes: Outcomes) -> Scores:
    """Mean of -log p of the true class, nats, p clipped at 1e-15; 0 to 34.6, down.

    Of labels that don't exclude each other the mean over them of -log of the score, or of 1 less the score.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> two = Classes(("no", "yes"), positive="yes")
    >>> round(log_loss(outcomes(two, gold=[1], said=[1], scores=np.array([[0.5, 0.5]]))).value(), 4)
    0.6931
    """
    # Not 1 less a clipped score, which is rounded near 1.
    if outcomes.classes.multi_label:
        true = np.where(outcomes.gold, outcomes.scores, 1 - outcomes.scores)
        return _mean(outcomes, -np.log(np.clip(true, SMALLEST, 1 - SMALLEST)).mean(axis=1))
    true = np.where(outcomes.gold, outcomes.scores, 0.0).sum(axis=1)
    return _mean(outcomes, -np.log(np.clip(true, SMALLEST, 1 - SMALLEST)))


def ece(outcomes: Outcomes) -> Scores:
    """Expected calibration error: |right - confidence| of 15 equal-width bins of the top score, by their share; 0 to 1,
    down (Guo 2017).

    A bin holds its upper edge. Of labels that don't exclude each other each decision counts by itself, its top score
    being p or 1 - p.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> two = Classes(("no", "yes"), positive="yes")
    >>> round(ece(outcomes(two, gold=[1, 0], said=[1, 1], scores=np.array([[0.3, 0.7], [0.3, 0.7]]))).value(), 4)
    0.2
    """
    scored = outcomes.scored
    confidence, right, bins = _confidences(outcomes)
    stats = np.zeros((len(outcomes), BINS + 1))
    rows = np.repeat(np.flatnonzero(scored), confidence.shape[1])
    np.add.at(stats, (rows, bins.ravel()), (right - confidence).ravel())
    stats[scored, BINS] = confidence.shape[1]

    def reduce(sums: np.ndarray) -> np.ndarray:
        total = sums[..., BINS]
        return np.where(total > 0, np.abs(sums[..., :BINS]).sum(axis=-1) / np.where(total > 0, total, 1.0), np.nan)

    return Scores(stats, reduce, scored=None if scored.all() else scored, undefined=_why(outcomes))


def reliability(outcomes: Outcomes) -> list[dict[str, float | int]]:
    """The bins of `ece` that hold a decision: `low`, `high`, `n`, mean `confidence` and share `right`."""
    confidence, right, bins = _confidences(outcomes)
    return [
        {
            "low": place / BINS,
            "high": (place + 1) / BINS,
            "n": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "right": float(right[inside].mean()),
        }
        for place in range(BINS)
        if (inside := bins == place).any()
    ]


def _confidences(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Top score, whether its class is right, and its bin, of each decision (scored records, decisions)."""
    scores, gold = outcomes.scores[outcomes.scored], outcomes.gold[outcomes.scored]
    if outcomes.classes.multi_label:
        confidence, right = np.maximum(scores, 1 - scores), (scores >= 0.5) == gold
    else:
        top = scores.argmax(axis=1)[:, None] if len(scores) else np.zeros((0, 1), dtype=int)
        if outcomes.classes.positive is not None and len(scores):
            # A tie goes to the positive class, as a threshold of .5 decides it.
            positive = outcomes.classes.index(outcomes.classes.positive)
            top = np.where(scores[:, [positive]] >= scores.max(axis=1, keepdims=True), positive, top)
        confidence, right = np.take_along_axis(scores, top, axis=1), np.take_along_axis(gold, top, axis=1)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return confidence, right.astype(np.float64), bins


def _of_positive(outcomes: Outcomes, values: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    classes = outcomes.classes
    if classes.multi_label:
        return np.asarray(values.mean(axis=1))
    return otherwise if classes.positive is None else values[:, classes.index(classes.positive)]


def _mean(outcomes: Outcomes, values: np.ndarray) -> Scores:
    return mean_of(np.where(outcomes.scored, values, np.nan), undefined=_why(outcomes))


def _why(outcomes: Outcomes) -> str | None:
    return "no record has a score" if len(outcomes) and not outcomes.scored.any() else None
