"""Huber loss of predicted numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.slots import count_present, present_slots
from lossmith.losses.statistics import Statistics


def huber(stats: Statistics, *, delta: float = 1.0) -> Float[Tensor, " examples"]:
    """Half the squared error of small errors, linear in large ones, over the slots that are present.

    sum over present slots of d^2/2 where |d| <= delta, else delta (|d| - delta/2), d = prediction - target and delta
    above 0, in deviations of the standardised targets; shapes and denominator as in squared_error.

    Returns (examples,) in squared deviations, [0, inf); 0 for an example without a present slot. With a large delta
    it is half of squared_error; the slope never exceeds delta, so one odd target cannot drive the step.
    As torch.nn.functional.huber_loss. Source: Huber 1964, "Robust Estimation of a Location Parameter".

    >>> huber(Statistics(
    ...     predictions=torch.tensor([0.5, 3.0]), targets=torch.zeros(2), present=torch.tensor([True, True]),
    ... ))
    tensor([0.1250, 2.5000])
    """
    slots = present_slots(stats)
    return slots.sum_by_example(
        torch.nn.functional.huber_loss(slots.predicted, slots.target, reduction="none", delta=delta)
    )


huber.kind = "separable"  # type: ignore[attr-defined]
huber.needs = ("predictions", "targets", "present")  # type: ignore[attr-defined]
huber.count = count_present  # type: ignore[attr-defined]
