"""What an objective holds while it is computed: it is, on made-up states, over fewer words and narrower states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossmith.doctor.plan.live import LiveBytes
from lossmith.losses import Head, Objective
from lossmith.losses.tiles import TILE_BYTES, TILE_ROWS

# Widths between which growth is measured: it is linear, since all arrays are positions x width or without width.
NARROW = (64, 128)
# Words of the dense path, whose arrays are all positions x words.
FEW_WORDS = (4096, 8192)


def objective_bytes(
    objective: Objective,
    batch: Mapping[str, Any],
    head: Tensor,
    *,
    dense: bool,
    dtype: torch.dtype,
    device: torch.device,
    training: bool = True,
) -> int:
    """The highest point of an objective on the positions of a batch, in bytes beside inputs and the head's gradient.

    `head` is the output layer's matrix (vocab, width), of which the shape, the number format and whether it trains are
    asked; `dtype` is that of the states. Labels stand for others where words are left out.
    """
    vocab, width = head.shape
    if not batch["labels"].numel():
        return 0

    states = _States(objective, batch, head, dense, dtype, device)
    with torch.set_grad_enabled(training):
        if dense:
            return extended(lambda words: states.held(words, width), FEW_WORDS, vocab)
        rows = min(batch["labels"].numel(), TILE_ROWS)
        # As many words as fill the buffers: with more they are swept block by block.
        words = min(vocab, -(-TILE_BYTES // (4 * rows)))
        return extended(lambda wide: states.held(words, wide), NARROW, width)


def extended(held: Callable[[int], int], sizes: tuple[int, int], size: int) -> int:
    """Bytes at a size, on the line through those at two smaller ones; at a size up to the second as they are.

    >>> extended(lambda size: 10 + 3 * size, (1, 2), 100)
    310
    """
    low, high = sizes
    if size <= high:
        return held(size)
    first, second = held(low), held(high)
    return second + (second - first) * (size - high) // (high - low)


@dataclass(frozen=True)
class _States:
    """Made-up states of the positions of a batch, under the objective."""

    objective: Objective
    batch: Mapping[str, Any]
    head: Tensor
    dense: bool
    dtype: torch.dtype
    device: torch.device

    def held(self, words: int, width: int) -> int:
        """The highest point over so many words, with states of this width."""
        labels = (self.batch["labels"] % words).to(self.device)
        keywords: dict[str, Any] = {
            "spans": {name: span.to(self.device) for name, span in self.batch["spans"].items()},
            "examples": self.batch["examples"].to(self.device),
        }
        training = torch.is_grad_enabled()
        trains = self.head.requires_grad and training
        draw = torch.Generator().manual_seed(0)
        hidden = torch.randn(labels.numel(), width, generator=draw).to(self.device, self.dtype)
        hidden.requires_grad_(training)
        weight = torch.randn(words, width, generator=draw).div_(width**0.5).to(self.device, self.head.dtype)
        weight.requires_grad_(trains)
        if self.objective.needs_embeddings:
            keywords["embeddings"] = (weight.detach(), 1.0)
        call = self.objective.dense if self.dense else self.objective
        with LiveBytes() as live:
            value = call(hidden, Head(weight), labels, **keywords)
            if training:
                value.total.backward()
        return live.peak - (weight.numel() * torch.float32.itemsize if trains else 0)
