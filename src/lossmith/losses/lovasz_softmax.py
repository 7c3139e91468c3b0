"""Lovász-softmax over the classes present in an example."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lossmith.losses.classes import ClassPairs
from lossmith.losses.shapes import Bool, Float
from lossmith.losses.statistics import Statistics

# Errors of one sort, with some arrays of their size beside them.
SORTED_AT_ONCE = {"cpu": 2**20}
SORTED_AT_ONCE_ELSEWHERE = 2**24


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
    classes = stats.classes
    return classes.mean_by_example(_Extension.apply(stats.class_log_probs, classes))


class _Extension(torch.autograd.Function):
    """Value of each class; beside the log-probabilities only the step of each error is kept, negative at labels."""

    @staticmethod
    def forward(ctx: Any, log_p: Tensor, classes: ClassPairs) -> Tensor:
        values = [log_p[:0]]
        steps = torch.empty_like(log_p)
        labels = classes.label_column.split([positions for positions, _ in classes.shapes])
        first = 0
        for own, block, into in zip(labels, classes.blocks(log_p), classes.blocks(steps), strict=True):
            width = max(1, SORTED_AT_ONCE.get(log_p.device.type, SORTED_AT_ONCE_ELSEWHERE) // max(1, len(block)))
            for start in range(0, block.shape[1], width):
                some = slice(start, start + width)
                column = torch.arange(first, first + block.shape[1], device=own.device)[some]
                value, step = _extend(block[:, some].t(), own == column[:, None])
                values.append(value)
                into[:, some] = step.t()
            first += block.shape[1]
        ctx.save_for_backward(log_p, steps)
        ctx.classes = classes
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, by_class: Tensor) -> tuple[Tensor, None]:
        log_p, steps = ctx.saved_tensors
        slope = log_p.exp() * steps
        by_example = by_class.split([classes for _, classes in ctx.classes.shapes])
        blocks = zip(ctx.classes.blocks(slope), by_example, strict=True)
        return torch.cat([slope[:0], *((block * own).flatten() for block, own in blocks)]), None


def _extend(
    log_p: Float[Tensor, "classes positions"], is_label: Bool[Tensor, "classes positions"]
) -> tuple[Float[Tensor, " classes"], Float[Tensor, "classes positions"]]:
    """The extension of each class, and the increase of its Jaccard loss as each error joins those above it."""
    errors = torch.where(is_label, -torch.expm1(log_p), log_p.exp())
    # One sort for all classes: a loop over them is unusable at the size of a vocabulary.
    errors, order = errors.sort(dim=1, descending=True)
    hit = is_label.gather(1, order)
    positives = is_label.sum(1, keepdim=True)
    hits = hit.cumsum(1, dtype=errors.dtype)
    # Positives and the false ones so far. In closed form, since a difference of losses would lose its digits.
    union = torch.arange(1, errors.shape[1] + 1, device=errors.device) - hits + positives
    step = torch.where(hit, -1.0 / union, (positives - hits) / (union * (union - 1.0)))
    value = (errors * step.abs()).sum(1)
    return value, torch.empty_like(step).scatter_(1, order, step)


lovasz_softmax.kind = "set"  # type: ignore[attr-defined]
lovasz_softmax.needs = ("class_log_probs",)  # type: ignore[attr-defined]
