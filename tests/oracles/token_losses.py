"""Losses of single positions: log_p is one position's list of log-probabilities, label its word."""

from __future__ import annotations

import math

from torch import Tensor


def cross_entropy(log_p: list[Tensor], label: int, *, label_smoothing: float = 0.0) -> Tensor:
    words = len(log_p)
    total = log_p[0] * 0.0
    for v in range(words):
        target = label_smoothing / words + (1.0 - label_smoothing if v == label else 0.0)
        total = total - target * log_p[v]
    return total


def focal(log_p: list[Tensor], label: int, *, gamma: float = 2.0) -> Tensor:
    p = log_p[label].exp()
    return -((1.0 - p) ** gamma) * p.log()


def self_adjusting_dice(
    log_p: list[Tensor], label: int, *, alpha: float = 1.0, smooth: float = 1.0, detach: bool = True
) -> Tensor:
    p = log_p[label].exp()
    factor = (1.0 - p) ** alpha
    if detach:
        factor = factor.detach()
    f = factor * p
    return 1.0 - (2.0 * f + smooth) / (f + 1.0 + smooth)


def unlikelihood(log_p: list[Tensor], label: int) -> Tensor:
    p = log_p[label].exp().clamp(max=1.0 - 2.0**-24)
    return -(1.0 - p).log()


def entropy_penalty(log_p: list[Tensor], label: int) -> Tensor:
    total = log_p[label] * 0.0
    for one in log_p:
        if one > -math.inf:
            total = total + one.exp() * one
    return total
