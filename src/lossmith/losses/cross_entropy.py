"""Cross-entropy over the vocabulary."""

from __future__ import annotations

from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def cross_entropy(stats: Statistics, *, label_smoothing: float = 0.0) -> Float[Tensor, " positions"]:
    """Negative log-likelihood of the label, optionally against a smoothed target.

    -(1-e) log p_y - e mean_v log p_v with e = label_smoothing, as torch.nn.functional.cross_entropy.

    Returns (positions,) nats in [0, inf); undefined nowhere. label_smoothing lies in [0, 1].
    Focal with gamma 0 is cross_entropy with e = 0.

    >>> import torch
    >>> cross_entropy(Statistics(label_log_prob=torch.tensor([-0.5, 0.0])))
    tensor([0.5000, -0.0000])
    """
    if label_smoothing == 0.0:
        return -stats.label_log_prob
    return -(1.0 - label_smoothing) * stats.label_log_prob - label_smoothing * stats.mean_log_prob


def _needs(*, label_smoothing: float) -> tuple[str, ...]:
    return ("label_log_prob", "mean_log_prob") if label_smoothing else ("label_log_prob",)


cross_entropy.kind = "separable"  # type: ignore[attr-defined]
cross_entropy.needs = _needs  # type: ignore[attr-defined]
