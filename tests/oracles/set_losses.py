"""Losses of a set of positions: log_p[n][v], labels[n]; one number for the whole set."""

from __future__ import annotations

from torch import Tensor

LogProbs = list[list[Tensor]]


def _mass(log_p: LogProbs, labels: list[int], word: int) -> tuple[Tensor, Tensor, int]:
    """Probability of a word where it is the label, everywhere, and how often it is the label."""
    inside = everywhere = log_p[0][0] * 0.0
    count = 0
    for row, label in zip(log_p, labels, strict=True):
        everywhere = everywhere + row[word].exp()
        if label == word:
            inside = inside + row[word].exp()
            count += 1
    return inside, everywhere, count


def generalized_dice(log_p: LogProbs, labels: list[int], *, smooth: float = 1e-5) -> Tensor:
    top = bottom = log_p[0][0] * 0.0
    for word in set(labels):
        inside, everywhere, count = _mass(log_p, labels, word)
        top = top + inside / count**2
        bottom = bottom + (everywhere + count) / count**2
    return 1.0 - (2.0 * top + smooth) / (bottom + smooth)


def tversky(
    log_p: LogProbs, labels: list[int], *, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1e-5
) -> Tensor:
    total = log_p[0][0] * 0.0
    for word in set(labels):
        inside, everywhere, count = _mass(log_p, labels, word)
        false_positive, false_negative = everywhere - inside, count - inside
        total = total + (inside + smooth) / (inside + alpha * false_positive + beta * false_negative + smooth)
    return 1.0 - total / len(set(labels))


def jaccard_loss(wrong: set[int], positive: set[int]) -> float:
    """Jaccard loss of a class when the positions in `wrong` are mispredicted: |wrong| / |positive or wrong|."""
    union = positive | wrong
    return len(wrong) / len(union) if union else 0.0


def lovasz_softmax(log_p: LogProbs, labels: list[int]) -> Tensor:
    total = log_p[0][0] * 0.0
    for word in set(labels):
        positive = {n for n, label in enumerate(labels) if label == word}
        errors = []
        for n, row in enumerate(log_p):
            p = row[word].exp()
            errors.append((1.0 - p) if n in positive else p)
        order = sorted(range(len(errors)), key=lambda n: -float(errors[n].detach()))
        wrong: set[int] = set()
        for n in order:
            before = jaccard_loss(wrong, positive)
            wrong.add(n)
            total = total + errors[n] * (jaccard_loss(wrong, positive) - before)
    return total / len(set(labels))
