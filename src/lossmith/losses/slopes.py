"""From gradients by the statistics to gradients by the logits of a tile, and which entries of it are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lossmith.losses.reading import Reading
from lossmith.losses.tiles import Asked, RowSlopes, merge_asked


class Entries(NamedTuple):
    """Rows of a tile, words, and the slope of the log-probability there; entries may repeat."""

    row: Tensor
    word: Tensor
    slope: Tensor


def row_slopes(
    by_name: Mapping[str, Tensor], labels: Tensor, *, more: Sequence[Entries], vocab: int, like: Tensor
) -> tuple[Asked, RowSlopes]:
    """Gradients by the statistics of a tile's rows, sorted by how they enter the gradient by the logits."""
    rows = torch.arange(labels.numel(), device=labels.device)
    label, mean = by_name.get("label_log_prob"), by_name.get("mean_log_prob")
    entries = [*more] if label is None else [Entries(rows, labels, label), *more]
    share = like.new_zeros(labels.numel())
    for entry in entries:
        share = share.index_add(0, entry.row, entry.slope, alpha=-1)
    if mean is not None:
        share = share - mean
    if (normalizer := by_name.get("log_normalizer")) is not None:
        share = share + normalizer
    if more:
        asked = merge_asked(
            [e.row for e in entries], [e.word for e in entries], [e.slope for e in entries], vocab=vocab
        )
    else:
        asked = Asked(*entries[0]) if entries else Asked(rows[:0], labels[:0], share[:0])
    return asked, RowSlopes(share, by_name.get("expected_log_prob"), mean)


def slopes_of(total: Tensor | None, leaves: list[Tensor]) -> list[Tensor]:
    """Gradients of the total by the leaves, zeros where it does not depend on one."""
    if total is None or not total.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))


def bounds(rows: Tensor, at: slice) -> tuple[int, int]:
    """Where ascending rows enter and leave a range."""
    edges = torch.tensor([at.start, at.stop], device=rows.device)
    low, high = torch.searchsorted(rows, edges).tolist()
    return low, high


def pairs_within(reading: Reading, at: slice) -> tuple[slice, Tensor, Tensor]:
    """The class pairs of a tile's positions: which they are, their rows in the tile, their words."""
    classes = reading.classes
    assert classes is not None
    # Pairs run position by position, so the pairs of a range of positions are a range.
    first, last = bounds(classes.position, slice(*bounds(reading.rows, at)))
    pairs = slice(first, last)
    return pairs, reading.rows[classes.position[pairs]] - at.start, classes.word[classes.column[pairs]]
