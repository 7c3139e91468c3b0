"""One walk over the vocabulary for many positions at once, which leaves their statistics and one product.

Where the gradient of a position by its logits is a multiple of p but for a few entries, its gradient by the hidden
state is that multiple of sum_v p_v W_v but for a few rows of W. The sum needs no normaliser while it is made: each
block of words adds exp(z - maximum so far) W, and what is there shrinks when the maximum rises. So the words' part of
the head is read once for its logits and its share of the sum, and nothing is computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.entries import Entries
from lossmith.losses.gradients import add_product
from lossmith.losses.normalizer import Normalized, Normalizer
from lossmith.losses.shapes import Float, Int
from lossmith.losses.tiles import Tile, Workspace, highest, likeliest


@dataclass(frozen=True)
class Wanted:
    """What a sweep has to find besides the normaliser and the entries.

    `matrix` (vocab, any width): sum_v p_v M_v; with `fold` it is the head's own, weighted by the chain of scale and
    soft-cap and without the entries, which are rounded apart.
    """

    entropy: bool = False
    mean: bool = False
    top: int = 0
    matrix: Tensor | None = None
    fold: bool = False


@dataclass(frozen=True)
class Swept:
    """What is known of each row: the normaliser, log-probabilities of the entries and of the likeliest words."""

    norm: Normalized
    entries: Float[Tensor, " entries"]
    product: Float[Tensor, "rows width"] | None
    top: Float[Tensor, "rows k"] | None
    words: Int[Tensor, "rows k"] | None


def sweep(space: Workspace, hidden: Float[Tensor, "rows width"], entries: Entries, wanted: Wanted) -> Swept:
    """Statistics of all rows, block of words by block of words."""
    rows = hidden.shape[0]
    zero = hidden.new_zeros(rows, dtype=space.statistics)
    norm = Normalizer(zero, entropy=wanted.entropy, mean=wanted.mean)
    product = None if wanted.matrix is None else zero.new_zeros(rows, wanted.matrix.shape[1])
    at_entries = zero.new_empty(entries.row.numel())
    top: tuple[Tensor, Tensor] | None = None
    blocks = list(space.blocks_of_words(rows))
    starts = torch.tensor([block.start for block in blocks] + [space.vocab], device=hidden.device)
    edges = torch.searchsorted(entries.word, starts).tolist()
    for number, words in enumerate(blocks):
        tile = space.tile(hidden, words)
        own = slice(edges[number], edges[number + 1])
        row, word = entries.row[own], entries.word[own]
        at_entries[own] = tile.logits_at(row, word)
        if wanted.top:
            top = highest(top, likeliest(tile, wanted.top), wanted.top)
        shrink = _exponentials(tile, norm, chain=wanted.fold)
        if product is not None and wanted.matrix is not None:
            if wanted.fold:
                tile.raw[row, word - words.start] = 0.0
            add_product(product.mul_(shrink[:, None]), tile.raw, wanted.matrix[words].to(space.dtype))
    found = norm.done()
    if product is not None:
        product.mul_(torch.exp(-found.log_sum)[:, None])
    every = torch.arange(rows, device=hidden.device)[:, None]
    return Swept(
        norm=found,
        entries=found.log_probs(at_entries, entries.row),
        product=product,
        top=None if top is None else found.log_probs(top[0], every.expand_as(top[0])),
        words=None if top is None else top[1],
    )


def _exponentials(tile: Tile, norm: Normalizer, *, chain: bool) -> Float[Tensor, " rows"]:
    """Replace the logits by exp(z - maximum so far); returns what earlier sums shrink by."""
    shrink = norm.rise(torch.stack([tile.logits(block).amax(1) for block in tile.blocks()]).amax(0))
    for block in tile.blocks():
        z = tile.logits(block)
        if not tile.finished:
            e = norm.add(z)
            tile.raw[:, block] = tile.of.chain(e, z) if chain else e
        else:
            norm.add(z, into=z)
    return shrink
