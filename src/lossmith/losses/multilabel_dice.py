"""Dice loss over labels that do not exclude each other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lossmith.losses.labels import truth_of_each_label
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def multilabel_dice(
    stats: Statistics, *, smooth: float = 1.0, over: Literal["labels", "examples"] = "labels"
) -> Float[Tensor, " examples"] | Float[Tensor, ""]:
    """Overlap of predicted and true labels.

    1 - (2 sum p y + s) / (sum p + sum y + s), p = sigmoid of the logits (examples, labels), y in [0, 1] of the same
    shape, s = smooth of 0 or more. `over` labels: the sums run over the labels of one example, one value for each
    example. `over` examples: they run over the examples of the micro-batch, one value for each label, averaged over
    all labels; such a value depends on the micro-batch (scope batch) and is no sum over examples.

    Returns (examples,), or one number with `over` examples; without unit in [0, 1]. With s = 0, where nothing is true
    and nothing predicted, it is 1, its limit. Unlike binary_cross_entropy it hardly sees the many true negatives;
    generalized_dice and tversky are its siblings over tokens. Source: Milletari et al. 2016, "V-Net".

    >>> stats = Statistics(logits=torch.zeros(2, 2), labels=torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    >>> multilabel_dice(stats, smooth=0.0)
    tensor([0.5000, 0.3333])
    >>> multilabel_dice(stats, smooth=0.0, over="examples")
    tensor(0.4167)
    """
    logits, truth = truth_of_each_label(stats)
    p = torch.sigmoid(logits)
    along = 1 if over == "labels" else 0
    overlap = 2.0 * (p * truth).sum(along) + smooth
    size = p.sum(along) + truth.sum(along) + smooth
    value = 1.0 - overlap / size.clamp_min(torch.finfo(size.dtype).tiny)
    return value if over == "labels" else value.mean()


multilabel_dice.kind = "separable"  # type: ignore[attr-defined]
multilabel_dice.needs = ("logits", "labels")  # type: ignore[attr-defined]
