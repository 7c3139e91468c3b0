"""Logits of some positions over some words, in memory that all of them share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from lossmith.losses.head import Head, engine_dtype, statistic_dtype
from lossmith.losses.shapes import Float, Int

# What the logits of a few positions over the whole vocabulary may take, and how many positions are worth it.
TILE_BYTES = 80 * 2**20
TILE_ROWS = 1024
# What the logits of many positions over a few words may take. On CPU they stay in the cache between the product that
# makes them and the product that uses them; the words' rows of the head are then read once for both.
SWEEP_BYTES = {"cpu": 8 * 2**20}
SWEEP_BYTES_ELSEWHERE = 256 * 2**20
SWEEP_ROWS = 2048
# Numbers of one elementwise step. On CPU small enough to stay near the core between the operations on it, large
# enough that threads waiting for each other after every operation do not cost more than the operation.
BLOCK_NUMBERS = {"cpu": 2**18}
BLOCK_NUMBERS_ELSEWHERE = 2**25

# Words whose rows of the head are converted at once, where they have another dtype than the products.
BLOCK_WORDS = 4096
# Products of 171 rows take longer than of 176: kernels work on whole vectors.
ALIGNED = 16


class Workspace:
    """The buffers that all tiles of a call share, and the head that fills them.

    A buffer is (words, rows) on CPU, where z^T = W h^T is faster than z = h W^T, and (rows, words) elsewhere; what
    tiles see is always (rows, words). `tile_bytes` bounds the logits held at once; by default it follows from the
    device, its free memory, the vocabulary and the dtype.
    """

    def __init__(self, head: Head, hidden: Tensor, *, tile_bytes: int | None = None) -> None:
        self.dtype = engine_dtype(hidden, head.weight)
        self.statistics = statistic_dtype(self.dtype)
        self.weight = head.weight.detach()
        self.bias = None if head.bias is None else head.bias.detach().to(self.statistics)
        self.scale, self.softcap = head.scale, head.softcap
        self.vocab = self.weight.shape[0]
        self.device = hidden.device.type
        self.transposed = self.device == "cpu"
        self._given = tile_bytes
        self._buffers: dict[str, Tensor] = {}

    def ranges(self, start: int, end: int, *, buffers: int = 1) -> Iterator[slice]:
        """Even slices of rows whose logits over all words fit; `buffers` arrays of that size share the room."""
        room = self._given or min(TILE_BYTES, max(free_bytes(self.weight.device) // 4, 2**20))
        most = max(1, min(TILE_ROWS, room // (buffers * self.vocab * self.dtype.itemsize)))
        yield from even_slices(start, end, most)

    def sweeps(self, *edges: int) -> Iterator[slice]:
        """Even slices of rows that are swept together, none across an edge."""
        for start, end in pairwise(edges):
            yield from even_slices(start, end, SWEEP_ROWS)

    def blocks_of_words(self, rows: int) -> Iterator[slice]:
        """Slices of words whose logits at so many rows fit."""
        room = SWEEP_BYTES.get(self.device, SWEEP_BYTES_ELSEWHERE)
        room = min(room, self._given or max(free_bytes(self.weight.device) // 4, 2**20))
        yield from even_slices(0, self.vocab, max(1, room // (max(rows, 1) * self.dtype.itemsize)))

    def chain(self, gradient: Tensor, z: Tensor) -> Tensor:
        """The gradient by the final logits z made one by the products: the chain of scale and soft-cap."""
        if self.softcap is not None:
            gradient = gradient * (1.0 - (z / self.softcap).square())
        return gradient if self.scale == 1.0 else gradient * self.scale

    def product(self, matrix: Tensor, rows: Tensor, *, buffer: str = "logits") -> Float[Tensor, "rows words"]:
        """Put rows matrix^T into the named buffer: (rows, words)."""
        n, words = rows.shape[0], matrix.shape[0]
        if buffer not in self._buffers or self._buffers[buffer].numel() < n * words:
            self._buffers.pop(buffer, None)  # given back first: the two together would be the peak
            self._buffers[buffer] = self.weight.new_empty(n * words, dtype=self.dtype)
        flat = self._buffers[buffer][: n * words]
        product = flat.view(words, n).t() if self.transposed else flat.view(n, words)
        for block, part in self.blocks_of(matrix):
            if self.transposed:
                torch.mm(part, rows.t(), out=product.t()[block])
            else:
                torch.mm(rows, part.t(), out=product[:, block])
        return product

    def blocks_of(self, matrix: Float[Tensor, "words width"]) -> Iterator[tuple[slice, Float[Tensor, "some width"]]]:
        """Rows of a matrix in the dtype of the products: all at once where they are in it, else converted by blocks."""
        most = matrix.shape[0] if matrix.dtype == self.dtype else BLOCK_WORDS
        for block in even_slices(0, matrix.shape[0], max(1, most)):
            yield block, matrix[block].to(self.dtype)

    def tile(self, hidden: Float[Tensor, "rows width"], words: slice | None = None) -> Tile:
        """The tile of some hidden states and words, all where none are given; it lives until the next one."""
        words = words or slice(0, self.vocab)
        return Tile(self, self.product(self.weight[words], hidden), words)


class Tile:
    """Products h W^T of some rows and words, seen as final logits z block by block."""

    def __init__(self, workspace: Workspace, raw: Float[Tensor, "rows words"], words: slice) -> None:
        self.raw, self.words, self.of = raw, words, workspace

    @property
    def finished(self) -> bool:
        """Whether the products are the final logits already, in the dtype of the statistics."""
        plain = self.of.bias is None and self.of.scale == 1.0 and self.of.softcap is None
        return plain and self.of.dtype == self.of.statistics

    def blocks(self) -> Iterator[slice]:
        """Slices of the tile's words for one elementwise step each."""
        numbers = BLOCK_NUMBERS.get(self.of.device, BLOCK_NUMBERS_ELSEWHERE)
        step = max(1, numbers // max(self.raw.shape[0], 1))
        for start in range(0, self.raw.shape[1], step):
            yield slice(start, min(start + step, self.raw.shape[1]))

    def logits(self, block: slice) -> Float[Tensor, "rows block"]:
        """Final logits of a block, in the dtype of the statistics; the products themselves where nothing follows."""
        z = self.raw[:, block].to(self.of.statistics)
        return self._finish(z, None if self.of.bias is None else self.of.bias[self.words][block])

    def logits_at(self, row: Tensor, word: Tensor) -> Float[Tensor, "*asked"]:
        """Final logits of single entries; words are those of the vocabulary."""
        z = self.raw[row, word - self.words.start].to(self.of.statistics)
        return self._finish(z, None if self.of.bias is None else self.of.bias[word])

    def _finish(self, z: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None:
            z = z + bias
        if self.of.scale != 1.0:
            z = z * self.of.scale
        return z if self.of.softcap is None else torch.tanh(z / self.of.softcap) * self.of.softcap


def even_slices(start: int, end: int, most: int) -> Iterator[slice]:
    """Slices of nearly equal length, none longer than `most`; long ones are multiples of 16, as products like it.

    >>> [(s.start, s.stop) for s in even_slices(0, 10, 4)]
    [(0, 4), (4, 8), (8, 10)]
    >>> [s.stop - s.start for s in even_slices(0, 500, 180)]
    [176, 176, 148]
    """
    if end <= start:
        return
    most = most - most % ALIGNED if most >= ALIGNED else most
    pieces = -(-(end - start) // most)
    step = -(-(end - start) // pieces)
    step = min(most, step + -step % ALIGNED) if most >= ALIGNED else step
    for low in range(start, end, step):
        yield slice(low, min(low + step, end))


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on a device, as it says itself."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not told on this system
        return 2**33


def likeliest(tile: Tile, k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
    """The k highest final logits of each row, falling, and their words; all where the tile has fewer."""
    found = None
    for block in tile.blocks():
        z = tile.logits(block)
        top, place = z.topk(min(k, z.shape[1]), dim=1)
        found = highest(found, (top, place + (block.start + tile.words.start)), k)
    assert found is not None
    return found


def highest(
    one: tuple[Tensor, Tensor] | None, other: tuple[Tensor, Tensor], k: int
) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
    """The k highest of two lists of logits with their words."""
    if one is None:
        return other
    top, words = torch.cat([one[0], other[0]], 1), torch.cat([one[1], other[1]], 1)
    top, keep = top.topk(min(k, top.shape[1]), dim=1)
    return top, words.gather(1, keep)
