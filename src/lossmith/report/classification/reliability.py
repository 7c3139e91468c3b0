"""The reliability diagram: how often a score of p is right, p by p."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossmith.metrics.intervals import wilson
from lossmith.report.classification.outcomes import Outcomes
from lossmith.report.curves import Line
from lossmith.report.figures import count, interval, number
from lossmith.report.square_chart import Marks, SquareChart, square_chart

BINS = 15  # as `ece` has them


@dataclass(frozen=True)
class Bin:
    """Scores between two bounds: how many, their mean, and the share of them that came true."""

    low: float
    high: float
    n: int
    score: float
    share: float


def reliability(outcomes: Outcomes) -> SquareChart | None:
    """Mean score and observed share in bins of equal width, None where no record has a score.

    Of two classes the scores are those of the positive one, of more the highest of each record (as `ece` reads them),
    of labels that do not exclude each other the scores of all of them together.
    """
    scored = outcomes.scored
    if not scored.any():
        return None
    scores, came_true, what = _read(outcomes, scored)
    bins = binned(scores, came_true)
    line = Line("observed", [(one.score, one.share) for one in bins], 0, sparse=True)
    whiskers = [(one.score, *wilson(round(one.share * one.n), one.n)) for one in bins]
    told = count(len(scores), "score") if outcomes.classes.multi_label else count(len(scores), "record")
    spoken = "; ".join(f"score {number(one.score)}: {number(one.share)} of {one.n}" for one in bins)
    return square_chart(
        "Reliability",
        [line],
        Marks(
            reference=("score = share", (0.0, 0.0), (1.0, 1.0)),
            whiskers=whiskers,
            bars=[(one.low, one.high, one.n) for one in bins],
        ),
        names=(f"score {what}", "share that came true"),
        about=f"{told}; bars below: how many have such a score",
        spoken=f"Reliability of the score {what}: {spoken}",
        table=_table(bins, whiskers),
    )


def binned(scores: np.ndarray, came_true: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Bins of equal width from 0 to 1, those without a score left out.

    >>> one, other = binned(np.array([0.1, 0.3, 0.9]), np.array([False, True, True]), 2)
    >>> (one.n, one.share, other.low, other.share)
    (2, 0.5, 0.5, 1.0)
    """
    places = np.minimum((np.clip(scores, 0.0, 1.0) * bins).astype(int), bins - 1)
    found = []
    for place in np.unique(places):
        inside = places == place
        found.append(
            Bin(
                float(place / bins),
                float((place + 1) / bins),
                int(inside.sum()),
                float(scores[inside].mean()),
                float(came_true[inside].mean()),
            )
        )
    return found


def _read(outcomes: Outcomes, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    classes = outcomes.classes
    scores, truth = outcomes.scores[scored], outcomes.truth[scored]
    if classes.multi_label:
        return scores.ravel(), truth.ravel(), "of a label"
    if classes.positive is not None:
        place = classes.index(classes.positive)
        return scores[:, place], truth[:, place], f"of {classes.positive}"
    top = scores.argmax(axis=1)
    return scores.max(axis=1), truth[np.arange(len(top)), top], "of the likeliest class"


def _table(bins: list[Bin], whiskers: list[tuple[float, float, float]]) -> list[tuple[str, ...]]:
    head = ("scores", "n", "mean score", "share that came true", "95 % interval")
    rows = [
        (
            interval(one.low, one.high, decimals=2),
            f"{one.n:,}",
            number(one.score, decimals=3),
            number(one.share, decimals=3),
            interval(low, high, decimals=3),
        )
        for one, (_, low, high) in zip(bins, whiskers, strict=True)
    ]
    return [head, *rows]
