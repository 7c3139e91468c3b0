"""Focal loss over labels that do not exclude each other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import logsigmoid

from lossmith.losses.labels import one_for_each, truth_of_each_label
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def binary_focal(
    stats: Statistics, *, gamma: float = 2.0, alpha: float | Sequence[float] | None = None
) -> Float[Tensor, " examples"]:
    """Binary cross-entropy that fades on labels already predicted well, averaged over the labels of an example.

    mean_l -(a_l y_l (1-p_l)^gamma log p_l + (1-a_l) (1-y_l) p_l^gamma log(1-p_l)), p = sigmoid of the logits
    (examples, labels), y in [0, 1] of the same shape, gamma 0 or more. a = alpha in [0, 1] weighs positives, 1-alpha
    negatives: one number, one for each label, or counted on the training split by `inverse`, the share of negatives,
    which gives rare positives the large weight (`prevalence`, the share of positives, does the opposite). When it is
    not given both weigh 1. Lin's best with gamma 2 is .25.

    Returns (examples,) nats in [0, inf); finite for all finite logits. With gamma 0 and no alpha it is
    binary_cross_entropy, with gamma 0 and alpha 1/2 half of it. class_focal is for classes that exclude each other.
    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection".

    >>> import torch
    >>> stats = Statistics(logits=torch.zeros(1, 2), labels=torch.tensor([[1.0, 0.0]]))
    >>> binary_focal(stats), binary_focal(stats, alpha=0.25)
    (tensor([0.1733]), tensor([0.0866]))
    """
    logits, truth = truth_of_each_label(stats)
    log_p, log_not_p = logsigmoid(logits), logsigmoid(-logits)
    # (1-p)^gamma as a power of e: its slope is finite for every gamma, also where p is 1.
    positive = -truth * (gamma * log_not_p).exp() * log_p
    negative = -(1.0 - truth) * (gamma * log_p).exp() * log_not_p
    if alpha is None:
        return (positive + negative).mean(1)
    share = one_for_each(alpha, logits, parameter="alpha")
    return (share * positive + (1.0 - share) * negative).mean(1)


binary_focal.kind = "separable"  # type: ignore[attr-defined]
binary_focal.needs = ("logits", "labels")  # type: ignore[attr-defined]
