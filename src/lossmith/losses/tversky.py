"""Tversky loss over the classes present in an example."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def tversky(
    stats: Statistics, *, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1e-5
) -> Float[Tensor, " examples"]:
    """Mean per-class overlap with separate prices for false positives and false negatives.

    1 - mean over present classes of (I_c + s) / (I_c + alpha FP_c + beta FN_c + s), FP_c = S_c - I_c and
    FN_c = n_c - I_c in probability mass; alpha, beta and s = smooth are 0 or more.

    Returns (examples,) without unit in [0, 1]. alpha = beta = 1/2 with smooth 0 is mean per-class Dice; unlike
    generalized_dice every class weighs the same. Source: Salehi et al. 2017, "Tversky loss function for image
    segmentation using 3D fully convolutional deep networks".

    >>> from lossmith.losses.classes import pair_with_present_classes
    >>> pairs = pair_with_present_classes(torch.tensor([4]), torch.tensor([0]), 1)
    >>> stats = Statistics(classes=pairs, class_log_probs=torch.tensor([0.5]).log())
    >>> tversky(stats, smooth=0.0)
    tensor([0.3333])
    """
    classes, p = stats.classes, stats.class_log_probs.exp()
    inside = classes.sum_at_labels(p)
    # Sums of their own, not differences: S_c - I_c of a learnt class would be rounding noise.
    false_positive = classes.sum_by_class(p.index_fill(0, classes.label_pair, 0.0))
    false_negative = classes.sum_at_labels(-torch.expm1(stats.class_log_probs))
    overlap = (inside + smooth) / (inside + alpha * false_positive + beta * false_negative + smooth)
    return 1.0 - classes.mean_by_example(overlap)


tversky.kind = "set"  # type: ignore[attr-defined]
tversky.needs = ("class_log_probs",)  # type: ignore[attr-defined]
