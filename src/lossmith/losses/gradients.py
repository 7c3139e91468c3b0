"""Gradients of the total by the hidden states and the head, as the passes of the engine add to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.shapes import Float, Int
from lossmith.losses.tiles import BLOCK_WORDS, Workspace

# Rows whose entries are gathered at once.
BLOCK_ROWS = 256


@dataclass
class Gradients:
    """Gradients of the total by the hidden rows and the head, at least in fp32; None where they are not wanted.

    `blank` says that the weight's memory was never written to: zeros would be one more walk over it.
    """

    hidden: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    blank: bool = False

    @property
    def wanted(self) -> bool:
        """Whether anything is differentiated at all."""
        return self.hidden is not None or self.of_head

    @property
    def of_head(self) -> bool:
        """Whether the head is trained."""
        return self.weight is not None or self.bias is not None

    def add(
        self, slope: Float[Tensor, "rows words"], *, at: slice, words: slice, hidden: Tensor, space: Workspace
    ) -> None:
        """Add what the gradient by the products of some rows and words gives."""
        if self.hidden is not None:
            for block, part in space.blocks_of(space.weight[words]):
                add_product(self.hidden[at], slope[:, block], part)
        if self.weight is None:
            pass
        elif self.weight.dtype == slope.dtype and self.blank and slope.shape[1] == self.weight.shape[0]:
            torch.mm(slope.t(), hidden[at], out=self.weight)
            self.blank = False
        elif self.weight.dtype == slope.dtype:
            self.fill_blank()
            self.weight[words].addmm_(slope.t(), hidden[at])
        else:
            self.fill_blank()
            # Adding tiles in 16 bits would lose what one dense product keeps.
            for start in range(0, slope.shape[1], BLOCK_WORDS):
                part = slope[:, start : start + BLOCK_WORDS]
                self.weight[words][start : start + BLOCK_WORDS] += part.t() @ hidden[at]
        if self.bias is not None:
            self.bias[words] += slope.sum(0, dtype=self.bias.dtype)

    def fill_blank(self) -> None:
        """Make memory that was never written to zeros."""
        if self.weight is not None and self.blank:
            self.weight.zero_()
        self.blank = False


def add_product(total: Float[Tensor, "rows width"], slope: Float[Tensor, "rows words"], matrix: Tensor) -> None:
    """Add slope x matrix; products of a narrower dtype are added up in that of the total."""
    if total.dtype == slope.dtype:
        total.addmm_(slope, matrix)
    else:
        total.add_(slope @ matrix)


def add_words(
    total: Float[Tensor, "rows width"],
    row: Int[Tensor, " entries"],
    word: Int[Tensor, " entries"],
    slope: Float[Tensor, " entries"],
    weight: Tensor,
) -> None:
    """Add slope times the head's row of a word to the rows of a gradient, entry by entry."""
    for start in range(0, total.shape[0], BLOCK_ROWS):
        rows = total[start : start + BLOCK_ROWS]
        own = ((row >= start) & (row < start + rows.shape[0])).nonzero()[:, 0]
        # One product with the distinct words: gathering a row of the head for every entry would be many times larger.
        words, column = torch.unique(word[own], return_inverse=True)
        slopes = total.new_zeros(rows.shape[0], words.numel()).index_put((row[own] - start, column), slope[own], True)
        rows.addmm_(slopes, weight[words].to(total.dtype))
