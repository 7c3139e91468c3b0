"""Focal loss over the vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def focal(stats: Statistics, *, gamma: float = 2.0) -> Float[Tensor, " positions"]:
    """Cross-entropy that fades on tokens already predicted well: -(1-p_y)^gamma log p_y.

    Returns (positions,) nats in [0, inf), never above cross_entropy; gamma is 0 or more, and 0 is cross_entropy
    exactly. Source: Lin et al. 2017, "Focal Loss for Dense Object Detection".

    >>> focal(Statistics(label_log_prob=torch.tensor([0.5]).log()), gamma=2.0)
    tensor([0.1733])
    """
    if gamma == 0.0:
        return -stats.label_log_prob
    return -fading(stats.label_log_prob, gamma) * stats.label_log_prob


def fading(log_prob: Float[Tensor, " n"], gamma: float) -> Float[Tensor, " n"]:
    """(1-p)^gamma from log p, with a finite slope at p = 1 too.

    >>> fading(torch.tensor([0.75]).log(), 2.0)
    tensor([0.0625])
    """
    missing = -torch.expm1(log_prob)
    if gamma < 1.0:
        # The slope of x^gamma at 0 is infinite, and infinity times log 1 is nan.
        missing = missing.clamp_min(torch.finfo(missing.dtype).tiny)
    return missing.pow(gamma)


focal.kind = "separable"  # type: ignore[attr-defined]
focal.needs = ("label_log_prob",)  # type: ignore[attr-defined]
