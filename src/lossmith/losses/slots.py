"""Predicted and true numbers of the slots that are present; the others are dropped before a loss sees them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.shapes import Float, Int
from lossmith.losses.statistics import Statistics


@dataclass(frozen=True)
class Slots:
    """Present slots of all examples, as flat arrays; a slot is one number that a regression head predicts."""

    predicted: Float[Tensor, " slots"]
    target: Float[Tensor, " slots"]
    example: Int[Tensor, " slots"]
    examples: int

    def sum_by_example(self, values: Float[Tensor, " slots"]) -> Float[Tensor, " examples"]:
        """Sum over the present slots of each example, 0 where it has none."""
        return values.new_zeros(self.examples).index_add(0, self.example, values)


def present_slots(stats: Statistics) -> Slots:
    """The slots whose target is known, of predictions and targets (examples, slots), or (examples,) for one slot.

    What stands in the targets of absent slots is never read. Raises InputError where shapes do not fit.

    >>> import torch
    >>> slots = present_slots(Statistics(
    ...     predictions=torch.tensor([[1.0, 2.0]]), targets=torch.tensor([[3.0, torch.nan]]),
    ...     present=torch.tensor([[True, False]]),
    ... ))
    >>> slots.target
    tensor([3.])
    """
    predictions, targets, present = stats.predictions, stats.targets, stats.present
    if predictions.ndim not in (1, 2) or not predictions.shape == targets.shape == present.shape:
        raise InputError(
            "predictions, targets and present do not fit",
            got=f"{tuple(predictions.shape)}, {tuple(targets.shape)} and {tuple(present.shape)}",
            expected="all (examples, slots), or all (examples,)",
        )
    return Slots(
        predicted=predictions[present],
        target=targets[present].to(predictions.dtype),
        example=present.nonzero()[:, 0],
        examples=len(predictions),
    )


def count_present(stats: Statistics, **_: object) -> float:
    """The denominator of the losses over slots: how many are present."""
    return float(stats.present.sum())
