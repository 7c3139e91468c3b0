"""Penalty on confident output distributions."""

from __future__ import annotations

from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def entropy_penalty(stats: Statistics) -> Float[Tensor, " positions"]:
    """Negative entropy of the predicted distribution: sum_v p_v log p_v.

    Returns (positions,) nats in [-log V, 0]; lower is more uniform. Beside cross_entropy it works like label
    smoothing, without looking at the label. Source: Pereyra et al. 2017, "Regularizing Neural Networks by
    Penalizing Confident Output Distributions".

    >>> import torch
    >>> entropy_penalty(Statistics(expected_log_prob=torch.tensor([-0.6931])))
    tensor([-0.6931])
    """
    value: Tensor = stats.expected_log_prob
    return value


entropy_penalty.kind = "separable"  # type: ignore[attr-defined]
entropy_penalty.needs = ("expected_log_prob",)  # type: ignore[attr-defined]
