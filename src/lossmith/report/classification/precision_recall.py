"""Precision over recall as the threshold falls, and where the decision stands on the curve."""

from __future__ import annotations

import numpy as np

from lossmith.report.classification.outcomes import Outcomes
from lossmith.report.curves import Line, thin
from lossmith.report.figures import count, number
from lossmith.report.palette import SERIES
from lossmith.report.square_chart import Marks, Point, SquareChart, square_chart

RECALLS = (0.5, 0.8, 0.9, 0.95, 0.99)


def precision_recall(outcomes: Outcomes) -> SquareChart | None:
    """A curve for the positive class, or one for each class or label against the rest.

    Of many classes those with the most examples are drawn. None where no class drawn has both examples and others
    among the scored records.
    """
    classes, scored = outcomes.classes, outcomes.scored
    truth, scores = outcomes.truth[scored], outcomes.scores[scored]
    places = [classes.index(classes.positive)] if classes.positive is not None else _most(truth)
    drawn = [place for place in places if 0 < truth[:, place].sum() < len(truth)]
    if not drawn:
        return None
    curves = [curve(truth[:, place], scores[:, place]) for place in drawn]
    single = classes.positive is not None
    lines = [
        Line(classes.names[place], _steps(precision, recall), style)
        for style, (place, (precision, recall, _)) in enumerate(zip(drawn, curves, strict=True))
    ]
    points = [
        Point(f"the decision on {classes.names[place]}" if single else f"decisions on {classes.names[place]}", *at, n)
        for n, place in enumerate(drawn)
        if (at := decided(outcomes, place)) is not None
    ]
    prevalence = float(truth[:, drawn[0]].mean())
    left_out = len(places) > len(drawn) or len(classes) > len(places)
    about = count(len(truth), "record")
    about += f", {count(int(truth[:, drawn[0]].sum()), 'positive')}" if single else ", each class against the rest"
    return square_chart(
        "Precision and recall",
        lines,
        Marks(
            reference=("always positive", (0.0, prevalence), (1.0, prevalence)) if single else None,
            points=points if single else points[:SERIES],
        ),
        names=("recall", "precision"),
        about=f"{about}{'; the largest are drawn' if left_out and not single else ''}",
        spoken="Precision by recall: "
        + "; ".join(f"{line.label} {_spoken(held)}" for line, held in zip(lines, curves, strict=True)),
        table=_table([line.label for line in lines], curves),
    )


def curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and threshold at each distinct score from the highest down; all (thresholds,).

    >>> precision, recall, at = curve(np.array([True, False, True]), np.array([0.9, 0.8, 0.3]))
    >>> recall.tolist(), at.tolist()
    ([0.5, 0.5, 1.0], [0.9, 0.8, 0.3])
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    return found[last] / (last + 1), found[last] / truth.sum(), ranked[last]


def decided(outcomes: Outcomes, place: int) -> tuple[float, float] | None:
    """(recall, precision) of the decisions themselves, failed records among the missed; None where one is undefined."""
    truth, said = outcomes.truth[:, place], outcomes.predicted[:, place]
    if not truth.any() or not said.any():
        return None
    hits = (truth & said).sum()
    return float(hits / truth.sum()), float(hits / said.sum())


def _most(truth: np.ndarray) -> list[int]:
    order = np.argsort(-truth.sum(axis=0), kind="stable")[:SERIES]
    return sorted(int(place) for place in order)


def _steps(precision: np.ndarray, recall: np.ndarray) -> list[tuple[float, float | None]]:
    """The curve as average precision adds it up: each precision holds back to the recall before."""
    points: list[tuple[float, float | None]] = []
    before = 0.0
    for height, reached in zip(precision.tolist(), recall.tolist(), strict=True):
        if reached > before:
            points += [(before, height), (reached, height)]
            before = reached
    return thin(points)


def _at(recall: float, held: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Precision and threshold where the recall is first reached."""
    precision, reached, thresholds = held
    place = int(np.argmax(reached >= recall - 1e-12))
    return float(precision[place]), float(thresholds[place])


def _spoken(held: tuple[np.ndarray, np.ndarray, np.ndarray]) -> str:
    return ", ".join(f"{number(_at(recall, held)[0])} at {number(recall)}" for recall in RECALLS)


def _table(names: list[str], curves: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[tuple[str, ...]]:
    head = ("class", "for recall", "precision", "threshold")
    rows = []
    for name, held in zip(names, curves, strict=True):
        for recall in RECALLS:
            precision, threshold = _at(recall, held)
            rows.append((name, number(recall), number(precision, decimals=3), number(threshold)))
    return [head, *rows]
