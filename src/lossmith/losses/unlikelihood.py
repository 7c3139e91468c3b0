"""Unlikelihood of marked tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics

# log of the greatest probability below 1 in fp32: -log(1-p) stays finite.
LARGEST_LOG_PROB = math.log1p(-(2.0**-24))


def unlikelihood(stats: Statistics) -> Float[Tensor, " positions"]:
    """Pushes the model away from tokens that it must not say: -log(1 - p_y), with p_y at most 1 - 2^-24.

    Returns (positions,) nats in [0, 16.64]. The counterpart of cross_entropy; it has no default span, since on the
    whole answer it would unlearn the answer. Source: Welleck et al. 2020, "Neural Text Generation with
    Unlikelihood Training".

    >>> unlikelihood(Statistics(label_log_prob=torch.tensor([0.5]).log()))
    tensor([0.6931])
    """
    return -torch.log(-torch.expm1(stats.label_log_prob.clamp_max(LARGEST_LOG_PROB)))


unlikelihood.kind = "separable"  # type: ignore[attr-defined]
unlikelihood.needs = ("label_log_prob",)  # type: ignore[attr-defined]
