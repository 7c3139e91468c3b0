"""Focal loss over the classes of a classification head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossmith.losses.focal import fading
from lossmith.losses.labels import class_of_each, one_for_each
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def class_focal(
    stats: Statistics, *, gamma: float = 2.0, class_weight: Sequence[float] | None = None
) -> Float[Tensor, " examples"]:
    """Cross-entropy that fades on examples already classified well: -w_y (1-p_y)^gamma log p_y.

    For logits (examples, classes) and labels (examples,); gamma is 0 or more, w = class_weight as in
    class_cross_entropy. Averaged over examples, not over their weights: unlike there, scaling all weights scales
    the value.

    Returns (examples,) nats in [0, inf), never above w_y times the cross-entropy, and equal to it with gamma 0.
    binary_focal is for labels that do not exclude each other; focal is the same over a vocabulary.
    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection".

    >>> stats = Statistics(logits=torch.zeros(2, 2), labels=torch.tensor([0, 1]))
    >>> class_focal(stats, class_weight=[1.0, 3.0])
    tensor([0.1733, 0.5199])
    """
    logits, labels = class_of_each(stats)
    log_p = torch.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
    value = -fading(log_p, gamma) * log_p
    if class_weight is None:
        return value
    return one_for_each(class_weight, logits, parameter="class_weight")[labels] * value


class_focal.kind = "separable"  # type: ignore[attr-defined]
class_focal.needs = ("logits", "labels")  # type: ignore[attr-defined]
