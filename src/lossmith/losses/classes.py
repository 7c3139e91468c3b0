"""Pairs of a position and a class, for the classes present among the labels of the position's scope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.shapes import Bool, Float, Int


@dataclass(frozen=True)
class ClassPairs:
    """Every position of a scope paired with every class present in that scope.

    A column is one class of one example; columns are sorted by example, then by class. Pairs run example by example,
    there position by position, there class by class: values of the pairs are one block (positions, classes) for each
    example. Size: sum over examples of positions x classes; nothing of that size is kept here.

    order (positions,) are the positions in the order of the blocks' rows; label_pair and label_column (positions,) are
    the pair and the column of each of them with its own label. shapes holds (positions, classes) of each example.
    """

    order: Int[Tensor, " positions"]
    label_pair: Int[Tensor, " positions"]
    label_column: Int[Tensor, " positions"]
    word: Int[Tensor, " columns"]
    column_example: Int[Tensor, " columns"]
    label_count: Int[Tensor, " columns"]
    shapes: tuple[tuple[int, int], ...]

    @property
    def position(self) -> Int[Tensor, " pairs"]:
        """The position of each pair."""
        rows = self.order.split([positions for positions, _ in self.shapes])
        of_example = [row.repeat_interleave(classes) for row, (_, classes) in zip(rows, self.shapes, strict=True)]
        return torch.cat([self.order[:0], *of_example])

    @property
    def column(self) -> Int[Tensor, " pairs"]:
        """The column of each pair."""
        columns = torch.arange(self.word.numel(), device=self.word.device).split([k for _, k in self.shapes])
        of_example = [own.repeat(positions) for own, (positions, _) in zip(columns, self.shapes, strict=True)]
        return torch.cat([self.order[:0], *of_example])

    @property
    def is_label(self) -> Bool[Tensor, " pairs"]:
        """Whether the class of a pair is the label of its position."""
        pairs = sum(positions * classes for positions, classes in self.shapes)
        return torch.zeros(pairs, dtype=torch.bool, device=self.word.device).index_fill_(0, self.label_pair, True)

    def blocks(self, values: Float[Tensor, " pairs"]) -> list[Float[Tensor, "positions classes"]]:
        """Values of the pairs as one view for each example."""
        flat = values.split([positions * classes for positions, classes in self.shapes])
        return [own.view(shape) for own, shape in zip(flat, self.shapes, strict=True)]

    def sum_by_class(self, values: Float[Tensor, " pairs"]) -> Float[Tensor, " columns"]:
        """Sum over the positions of each column."""
        return torch.cat([values[:0], *(block.sum(0) for block in self.blocks(values))])

    def sum_at_labels(self, values: Float[Tensor, " pairs"]) -> Float[Tensor, " columns"]:
        """Sum over the positions of each column that have its class as their label."""
        return values.new_zeros(self.word.numel()).index_add(0, self.label_column, values[self.label_pair])

    def sum_by_example(self, values: Float[Tensor, " columns"]) -> Float[Tensor, " examples"]:
        """Sum over the classes of each example."""
        return values.new_zeros(len(self.shapes)).index_add(0, self.column_example, values)

    def mean_by_example(self, values: Float[Tensor, " columns"]) -> Float[Tensor, " examples"]:
        """Mean over the classes of each example."""
        return self.sum_by_example(values) / self.sum_by_example(torch.ones_like(values))


def pair_with_present_classes(
    labels: Int[Tensor, " positions"], example: Int[Tensor, " positions"], examples: int
) -> ClassPairs:
    """Pair each position with the classes among the labels of its example; example numbers run from 0.

    >>> pairs = pair_with_present_classes(torch.tensor([7, 7, 3]), torch.tensor([0, 0, 0]), 1)
    >>> pairs.word.tolist(), pairs.label_count.tolist(), pairs.shapes
    ([3, 7], [1, 2], ((3, 2),))
    >>> pairs.position.tolist(), pairs.is_label.int().tolist()
    ([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 1, 0])
    """
    words = int(labels.amax()) + 1 if labels.numel() else 1
    order = torch.argsort(example, stable=True)
    keys, label_column, label_count = torch.unique(
        example[order] * words + labels[order], sorted=True, return_inverse=True, return_counts=True
    )
    column_example = keys // words
    sizes = torch.stack(
        [torch.bincount(example, minlength=examples), torch.bincount(column_example, minlength=examples)]
    )
    positions, classes = sizes
    first_position, first_column = sizes.cumsum(1) - sizes
    pairs = positions * classes
    of = example[order]
    row = torch.arange(order.numel(), device=order.device) - first_position[of]
    return ClassPairs(
        order=order,
        label_pair=(pairs.cumsum(0) - pairs)[of] + row * classes[of] + label_column - first_column[of],
        label_column=label_column,
        word=keys % words,
        column_example=column_example,
        label_count=label_count,
        shapes=tuple((n, k) for n, k in zip(*sizes.tolist(), strict=True)),
    )
