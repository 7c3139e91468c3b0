"""Losses of a classification head on plain float64 numbers: logits[n][c], and labels[n] or labels[n][c]."""

from __future__ import annotations

import math
from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def _log_softmax(row: Sequence[float]) -> list[float]:
    largest = max(row)
    normalizer = largest + math.log(math.fsum(math.exp(z - largest) for z in row))
    return [z - normalizer for z in row]


def _log_sigmoid(z: float) -> float:
    return min(z, 0.0) - math.log1p(math.exp(-abs(z)))


def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))


def class_cross_entropy(
    logits: Rows,
    labels: Sequence[int],
    *,
    class_weight: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> float:
    top, bottom = [], []
    for row, label in zip(logits, labels, strict=True):
        log_p = _log_softmax(row)
        weight = [1.0] * len(row) if class_weight is None else class_weight
        for c in range(len(row)):
            target = label_smoothing / len(row) + (1.0 - label_smoothing if c == label else 0.0)
            top.append(-weight[c] * target * log_p[c])
        bottom.append(weight[label])
    return math.fsum(top) / math.fsum(bottom)


def class_focal(
    logits: Rows, labels: Sequence[int], *, gamma: float = 2.0, class_weight: Sequence[float] | None = None
) -> float:
    values = []
    for row, label in zip(logits, labels, strict=True):
        log_p = _log_softmax(row)
        others = math.fsum(math.exp(log_p[c]) for c in range(len(row)) if c != label)
        weight = 1.0 if class_weight is None else class_weight[label]
        values.append(-weight * others**gamma * log_p[label])
    return math.fsum(values) / len(values)


def _each(weight: float | Sequence[float], label: int) -> float:
    return weight if isinstance(weight, int | float) else weight[label]


def binary_cross_entropy(logits: Rows, labels: Rows, *, pos_weight: float | Sequence[float] | None = None) -> float:
    values = []
    for row, truth in zip(logits, labels, strict=True):
        own = []
        for c, (z, y) in enumerate(zip(row, truth, strict=True)):
            weight = 1.0 if pos_weight is None else _each(pos_weight, c)
            own.append(-weight * y * _log_sigmoid(z) - (1.0 - y) * _log_sigmoid(-z))
        values.append(math.fsum(own) / len(own))
    return math.fsum(values) / len(values)


def binary_focal(
    logits: Rows, labels: Rows, *, gamma: float = 2.0, alpha: float | Sequence[float] | None = None
) -> float:
    values = []
    for row, truth in zip(logits, labels, strict=True):
        own = []
        for c, (z, y) in enumerate(zip(row, truth, strict=True)):
            positive = 1.0 if alpha is None else _each(alpha, c)
            negative = 1.0 if alpha is None else 1.0 - _each(alpha, c)
            own.append(-positive * y * _sigmoid(-z) ** gamma * _log_sigmoid(z))
            own.append(-negative * (1.0 - y) * _sigmoid(z) ** gamma * _log_sigmoid(-z))
        values.append(math.fsum(own) / len(row))
    return math.fsum(values) / len(values)


def _dice(pairs: Sequence[tuple[float, float]], smooth: float) -> float:
    overlap = math.fsum(p * y for p, y in pairs)
    size = math.fsum(p for p, _ in pairs) + math.fsum(y for _, y in pairs)
    return 1.0 - (2.0 * overlap + smooth) / (size + smooth)


def multilabel_dice(logits: Rows, labels: Rows, *, smooth: float = 1.0, over: str = "labels") -> float:
    pairs = [
        [(_sigmoid(z), y) for z, y in zip(row, truth, strict=True)] for row, truth in zip(logits, labels, strict=True)
    ]
    groups = pairs if over == "labels" else [[row[c] for row in pairs] for c in range(len(pairs[0]))]
    return math.fsum(_dice(group, smooth) for group in groups) / len(groups)


def query_diversity(queries: Rows, *, threshold: float = 0.4) -> float:
    count = len(queries)
    total = []
    for i in range(count):
        for j in range(count):
            if i == j:
                continue
            dot = math.fsum(a * b for a, b in zip(queries[i], queries[j], strict=True))
            lengths = math.sqrt(math.fsum(a * a for a in queries[i])) * math.sqrt(math.fsum(b * b for b in queries[j]))
            total.append(max(0.0, (dot / lengths if lengths else 0.0) - threshold))
    return math.fsum(total) / (count * (count - 1)) if count > 1 else 0.0
