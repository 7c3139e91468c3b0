"""Pairs of a position and a class, for the classes present among the labels of the position's scope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.shapes import Bool, Float, Int


@dataclass(frozen=True)
class ClassPairs:
    """Every position of a scope paired with every class present in that scope, as flat arrays.

    A column is one class of one example; columns are sorted by example, then by class. Pairs run position by
    position, so those of a tile of positions are one slice. Size: sum over examples of positions x classes.
    """

    position: Int[Tensor, " pairs"]
    column: Int[Tensor, " pairs"]
    is_label: Bool[Tensor, " pairs"]
    word: Int[Tensor, " columns"]
    column_example: Int[Tensor, " columns"]
    label_count: Int[Tensor, " columns"]
    examples: int

    def sum_by_class(self, values: Float[Tensor, " pairs"]) -> Float[Tensor, " columns"]:
        """Sum over the positions of each column."""
        return values.new_zeros(self.word.numel()).index_add(0, self.column, values)

    def sum_by_example(self, values: Float[Tensor, " columns"]) -> Float[Tensor, " examples"]:
        """Sum over the classes of each example."""
        return values.new_zeros(self.examples).index_add(0, self.column_example, values)

    def mean_by_example(self, values: Float[Tensor, " columns"]) -> Float[Tensor, " examples"]:
        """Mean over the classes of each example."""
        return self.sum_by_example(values) / self.sum_by_example(torch.ones_like(values))


def pair_with_present_classes(
    labels: Int[Tensor, " positions"], example: Int[Tensor, " positions"], examples: int
) -> ClassPairs:
    """Pair each position with the classes among the labels of its example; example numbers run from 0.

    >>> pairs = pair_with_present_classes(torch.tensor([7, 7, 3]), torch.tensor([0, 0, 0]), 1)
    >>> pairs.word.tolist(), pairs.label_count.tolist()
    ([3, 7], [1, 2])
    >>> pairs.position.tolist()
    [0, 0, 1, 1, 2, 2]
    """
    words = int(labels.amax()) + 1 if labels.numel() else 1
    keys, own_column, label_count = torch.unique(
        example * words + labels, sorted=True, return_inverse=True, return_counts=True
    )
    column_example, word = keys // words, keys % words
    classes_of_example = torch.bincount(column_example, minlength=examples)
    first_column = classes_of_example.cumsum(0) - classes_of_example
    width = classes_of_example[example]
    position = torch.repeat_interleave(torch.arange(labels.numel(), device=labels.device), width)
    first_pair = width.cumsum(0) - width
    offset = torch.arange(position.numel(), device=labels.device) - first_pair[position]
    column = first_column[example[position]] + offset
    return ClassPairs(
        position=position,
        column=column,
        is_label=column == own_column[position],
        word=word,
        column_example=column_example,
        label_count=label_count,
        examples=examples,
    )
