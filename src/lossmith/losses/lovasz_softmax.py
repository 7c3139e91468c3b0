"""Lovász-softmax over the classes present in an example."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmith.losses.classes import ClassPairs
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def lovasz_softmax(stats: Statistics) -> Float[Tensor, " examples"]:
    """Convex surrogate of one minus the Jaccard index, averaged over the classes present.

    For each present class the Lovász extension of the Jaccard loss at the errors |1[y=c] - p_c| of all positions of
    the scope.

    Returns (examples,) without unit in [0, 1], 0 only where every label has probability 1. At ties of errors the
    value is unique and the gradient one subgradient of several. Optimises the ratio that tversky approximates by
    probability mass. Source: Berman et al. 2018, "The Lovász-Softmax loss".

    >>> from lossmith.losses.classes import pair_with_present_classes
    >>> pairs = pair_with_present_classes(torch.tensor([4]), torch.tensor([0]), 1)
    >>> lovasz_softmax(Statistics(classes=pairs, class_log_probs=torch.tensor([0.25]).log()))
    tensor([0.7500])
    """
    classes, log_p = stats.classes, stats.class_log_probs
    errors = torch.where(classes.is_label, -torch.expm1(log_p), log_p.exp())
    order = _by_column_then_falling(errors.detach(), classes)
    slope = _jaccard_steps(classes, order).to(errors.dtype)
    per_pair = errors[order] * slope
    per_class = per_pair.new_zeros(classes.word.numel()).index_add(0, classes.column[order], per_pair)
    return classes.mean_by_example(per_class)


def _by_column_then_falling(errors: Tensor, classes: ClassPairs) -> Tensor:
    # One sort each for all classes: a loop over them is unusable at the size of a vocabulary.
    falling = torch.argsort(errors, descending=True, stable=True)
    return falling[torch.argsort(classes.column[falling], stable=True)]


def _jaccard_steps(classes: ClassPairs, order: Tensor) -> Tensor:
    """Increase of the Jaccard loss as each position joins the errors of its class, worst first; float64."""
    column, truth = classes.column[order], classes.is_label[order].long()
    pairs = torch.arange(order.numel(), device=order.device)
    size = torch.bincount(column, minlength=classes.word.numel())
    first = (size.cumsum(0) - size)[column]
    hits = truth.cumsum(0)
    hits_before = (hits - truth)[first]
    hits = hits - hits_before
    taken = pairs - first + 1
    count = classes.label_count[column]
    loss = 1.0 - (count - hits).double() / (count + taken - hits).double()
    previous = 1.0 - (count - hits + truth).double() / (count + (taken - 1) - (hits - truth)).double()
    return loss - previous


lovasz_softmax.kind = "set"  # type: ignore[attr-defined]
lovasz_softmax.needs = ("class_log_probs",)  # type: ignore[attr-defined]
