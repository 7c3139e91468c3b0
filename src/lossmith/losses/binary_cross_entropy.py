"""Binary cross-entropy over labels that do not exclude each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossmith.losses.labels import one_for_each, truth_of_each_label
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def binary_cross_entropy(
    stats: Statistics, *, pos_weight: float | Sequence[float] | None = None
) -> Float[Tensor, " examples"]:
    """Negative log-likelihood of every label's truth by itself, averaged over the labels of an example.

    mean_l -(w_l y_l log p_l + (1-y_l) log(1-p_l)), p = sigmoid of the logits (examples, labels), y in [0, 1] of the
    same shape, w = pos_weight of 0 or more: one number, one for each label, or `auto`, counted on the training
    split; 1 when not given. A single yes or no is one label.

    Returns (examples,) nats in [0, inf); finite for all finite logits. As
    torch.nn.functional.binary_cross_entropy_with_logits. binary_focal fades on labels already learnt;
    multilabel_dice looks at the overlap of labels instead; class_cross_entropy is for classes that exclude each other.

    >>> stats = Statistics(logits=torch.zeros(1, 2), labels=torch.tensor([[1.0, 0.0]]))
    >>> binary_cross_entropy(stats), binary_cross_entropy(stats, pos_weight=3.0)
    (tensor([0.6931]), tensor([1.3863]))
    """
    logits, truth = truth_of_each_label(stats)
    weight = None if pos_weight is None else one_for_each(pos_weight, logits, parameter="pos_weight")
    return torch.nn.functional.binary_cross_entropy_with_logits(
        logits, truth, pos_weight=weight, reduction="none"
    ).mean(1)


binary_cross_entropy.kind = "separable"  # type: ignore[attr-defined]
binary_cross_entropy.needs = ("logits", "labels")  # type: ignore[attr-defined]
