"""Losses of a regression head on plain float64 numbers: predictions[n][s], targets[n][s], present[n][s]."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Rows = Sequence[Sequence[float]]
Present = Sequence[Sequence[bool]]


def _mean(predictions: Rows, targets: Rows, present: Present, error: Callable[[float, float], float]) -> float:
    errors = []
    for row, truth, there in zip(predictions, targets, present, strict=True):
        for prediction, target, known in zip(row, truth, there, strict=True):
            if known:
                errors.append(error(prediction, target))
    return math.fsum(errors) / len(errors)


def squared_error(predictions: Rows, targets: Rows, present: Present) -> float:
    return _mean(predictions, targets, present, lambda p, t: (p - t) ** 2)


def huber(predictions: Rows, targets: Rows, present: Present, *, delta: float = 1.0) -> float:
    def error(p: float, t: float) -> float:
        d = abs(p - t)
        return d * d / 2 if d <= delta else delta * (d - delta / 2)

    return _mean(predictions, targets, present, error)


def log_quantity(predictions: Rows, targets: Rows, present: Present) -> float:
    return _mean(predictions, targets, present, lambda p, t: (p - math.log(1 + t)) ** 2)
