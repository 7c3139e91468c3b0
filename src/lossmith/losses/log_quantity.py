"""Squared error of quantities on a logarithmic scale."""

from __future__ import annotations

from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.shapes import Float
from lossmith.losses.slots import count_present, present_slots
from lossmith.losses.statistics import Statistics


def log_quantity(stats: Statistics) -> Float[Tensor, " examples"]:
    """Squared error of log(1 + quantity), over the slots that are present.

    sum over present slots of (prediction - log(1 + quantity))^2 for an example. Targets are quantities of 0 or more in
    the canonical unit of their slot (g, ml, pieces); the head predicts their logarithm log(1 + quantity) itself, so
    that every output of it is a quantity, exp(prediction) - 1. Shapes and denominator as in squared_error.

    Returns (examples,) without unit in [0, inf); 0 for an example without a present slot. An error of .1 is 10 % of
    a large quantity, where squared_error would see grams of flour alone and no salt. Raises InputError for a negative
    quantity.

    >>> import math, torch
    >>> log_quantity(Statistics(
    ...     predictions=torch.tensor([math.log(501), 0.0]), targets=torch.tensor([500.0, math.e - 1]),
    ...     present=torch.tensor([True, True]),
    ... ))
    tensor([0., 1.])
    """
    slots = present_slots(stats)
    if slots.target.numel() and float(slots.target.amin()) < 0:
        raise InputError(
            "a quantity is negative",
            got=float(slots.target.amin()),
            expected="0 or more, in the canonical unit of the slot; targets of log_quantity are not standardised",
        )
    return slots.sum_by_example((slots.predicted - slots.target.log1p()).square())


log_quantity.kind = "separable"  # type: ignore[attr-defined]
log_quantity.needs = ("predictions", "targets", "present")  # type: ignore[attr-defined]
log_quantity.count = count_present  # type: ignore[attr-defined]
