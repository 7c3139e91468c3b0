"""Squared error of predicted numbers."""

from __future__ import annotations

from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.slots import count_present, present_slots
from lossmith.losses.statistics import Statistics


def squared_error(stats: Statistics) -> Float[Tensor, " examples"]:
    """Squared distance of each predicted number from its target, over the slots that are present.

    sum over present slots of (prediction - target)^2 for an example; predictions, targets and present (bool) are
    (examples, slots), or (examples,) for one slot. Targets are standardised by mean and deviation of the training
    split, so a head that always predicts the mean has 1. The denominator is the present slots of the window.

    Returns (examples,) in squared deviations, [0, inf); 0 for an example without a present slot. huber grows only
    linearly with large errors; log_quantity compares amounts of unlike size.

    >>> import torch
    >>> squared_error(Statistics(
    ...     predictions=torch.tensor([1.0, 0.0]), targets=torch.tensor([3.0, torch.nan]),
    ...     present=torch.tensor([True, False]),
    ... ))
    tensor([4., 0.])
    """
    slots = present_slots(stats)
    return slots.sum_by_example((slots.predicted - slots.target).square())


squared_error.kind = "separable"  # type: ignore[attr-defined]
squared_error.needs = ("predictions", "targets", "present")  # type: ignore[attr-defined]
squared_error.count = count_present  # type: ignore[attr-defined]
