"""Generalized Dice over the classes present in an example."""

from __future__ import annotations

from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def generalized_dice(stats: Statistics, *, smooth: float = 1e-5) -> Float[Tensor, " examples"]:
    """Overlap of predicted and true tokens over a text, each class weighted by 1 / n_c^2.

    1 - (2 sum_c w_c I_c + s) / (sum_c w_c (S_c + n_c) + s) over the classes c present among the labels of the
    scope: n_c their counts, I_c the probability of c summed where c is the label, S_c summed everywhere, s = smooth
    of 0 or more.

    Returns (examples,) without unit in [0, 1); one class per position gives 0 only in the limit of certainty.
    Absent classes have no part: a weight of 1/(0+eps)^2 each would drown the gradient. tversky weighs classes
    alike. Source: Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function".

    >>> import torch
    >>> from lossmith.losses.classes import pair_with_present_classes
    >>> pairs = pair_with_present_classes(torch.tensor([4]), torch.tensor([0]), 1)
    >>> stats = Statistics(classes=pairs, class_log_probs=torch.tensor([0.5]).log())
    >>> generalized_dice(stats, smooth=0.0)
    tensor([0.3333])
    """
    classes, p = stats.classes, stats.class_log_probs.exp()
    inside = classes.sum_at_labels(p)
    everywhere = classes.sum_by_class(p)
    count = classes.label_count.to(p.dtype)
    weight = count.pow(-2)
    overlap = classes.sum_by_example(weight * inside)
    size = classes.sum_by_example(weight * (everywhere + count))
    return 1.0 - (2.0 * overlap + smooth) / (size + smooth)


generalized_dice.kind = "set"  # type: ignore[attr-defined]
generalized_dice.needs = ("class_log_probs",)  # type: ignore[attr-defined]
