"""Logits of a few positions at a time: their statistics, and the gradient that replaces them in the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.head import Head, product_dtype, statistic_dtype
from lossmith.losses.shapes import Float, Int

# What the logits of a tile may take: 138 rows of a vocabulary of 152,000 words in fp32.
TILE_BYTES = 80 * 2**20
TILE_ROWS = 1024
# Numbers of one elementwise step. On CPU small enough to stay near the cache between the operations on it, large
# enough that threads waiting for each other after every operation do not cost more than the operation.
BLOCK_NUMBERS = {"cpu": 2**20}
BLOCK_NUMBERS_ELSEWHERE = 2**26


@dataclass(frozen=True)
class Asked:
    """Entries of the gradient that get more than their share of p: at most one for each position and word."""

    row: Int[Tensor, " asked"]
    word: Int[Tensor, " asked"]
    slope: Float[Tensor, " asked"]


@dataclass(frozen=True)
class RowSlopes:
    """Derivatives of the total by the statistics of each row of a tile; None where nothing asks.

    `share` multiplies p: the derivative by log_normalizer less those of all log-probabilities of the row.
    `entropy` belongs to expected_log_prob, `mean` to mean_log_prob, and `cloud` (rows, vocab) holds E g_x.
    """

    share: Float[Tensor, " rows"]
    entropy: Float[Tensor, " rows"] | None = None
    mean: Float[Tensor, " rows"] | None = None
    cloud: Float[Tensor, "rows vocab"] | None = None


@dataclass(frozen=True)
class Normalized:
    """Log-normaliser of each row as a maximum and the log of a sum, kept apart so that neither loses digits."""

    peak: Float[Tensor, " rows"]
    log_sum: Float[Tensor, " rows"]
    mean_log_prob: Float[Tensor, " rows"]
    expected_log_prob: Float[Tensor, " rows"] | None


class Workspace:
    """The buffer that all tiles of a call share, and the head that fills it.

    The buffer is (vocab, rows) on CPU, where z^T = W h^T is faster than z = h W^T, and (rows, vocab) elsewhere; what
    tiles see is always (rows, vocab).
    """

    def __init__(self, head: Head, hidden: Tensor) -> None:
        self.dtype = product_dtype(hidden, head.weight)
        self.statistics = statistic_dtype(self.dtype)
        self.weight = head.weight.detach().to(self.dtype)
        self.bias = None if head.bias is None else head.bias.detach().to(self.statistics)
        self.scale, self.softcap = head.scale, head.softcap
        self.vocab = self.weight.shape[0]
        self.transposed = hidden.device.type == "cpu"
        most = TILE_BYTES // (self.vocab * self.dtype.itemsize)
        self.rows = max(1, min(TILE_ROWS, most, hidden.shape[0]))
        self._buffers: dict[str, Tensor] = {}

    def product(self, matrix: Tensor, rows: Tensor, *, buffer: str = "logits") -> Float[Tensor, "rows vocab"]:
        """Put rows matrix^T into the named buffer: (rows, vocab)."""
        n = rows.shape[0]
        if buffer not in self._buffers:
            self._buffers[buffer] = self.weight.new_empty(self.rows * self.vocab)
        flat = self._buffers[buffer][: n * self.vocab]
        if self.transposed:
            return torch.mm(matrix, rows.t(), out=flat.view(self.vocab, n)).t()
        return torch.mm(rows, matrix.t(), out=flat.view(n, self.vocab))

    def tile(self, hidden: Float[Tensor, "rows width"]) -> Tile:
        """The tile of a few hidden states; it lives until the next one is asked for."""
        return Tile(self, self.product(self.weight, hidden))


class Tile:
    """Products h W^T of a few rows, seen as final logits z block by block of the vocabulary."""

    def __init__(self, workspace: Workspace, raw: Float[Tensor, "rows vocab"]) -> None:
        self.raw, self._of = raw, workspace

    def blocks(self) -> Iterator[slice]:
        """Slices of the vocabulary."""
        numbers = BLOCK_NUMBERS.get(self.raw.device.type, BLOCK_NUMBERS_ELSEWHERE)
        step = max(1, numbers // max(self.raw.shape[0], 1))
        for start in range(0, self._of.vocab, step):
            yield slice(start, min(start + step, self._of.vocab))

    def logits(self, block: slice) -> Float[Tensor, "rows block"]:
        """Final logits of a block, in the dtype of the statistics; not to be written to."""
        z = self.raw[:, block].to(self._of.statistics)
        return self._finish(z, None if self._of.bias is None else self._of.bias[block])

    def logits_at(self, row: Tensor, word: Tensor) -> Float[Tensor, "*asked"]:
        """Final logits of single entries."""
        z = self.raw[row, word].to(self._of.statistics)
        return self._finish(z, None if self._of.bias is None else self._of.bias[word])

    def _finish(self, z: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None:
            z = z + bias
        if self._of.scale != 1.0:
            z = z * self._of.scale
        return z if self._of.softcap is None else torch.tanh(z / self._of.softcap) * self._of.softcap

    def chain(self, gradient: Tensor, z: Tensor) -> Tensor:
        """The gradient by the final logits z made one by the product: the chain of scale and soft-cap."""
        if self._of.softcap is not None:
            gradient = gradient * (1.0 - (z / self._of.softcap).square())
        return gradient if self._of.scale == 1.0 else gradient * self._of.scale

    def log_probs_at(self, norm: Normalized, row: Tensor, word: Tensor) -> Float[Tensor, "*asked"]:
        """Log-probabilities of single entries."""
        return (self.logits_at(row, word) - norm.peak[row]) - norm.log_sum[row]


def normalize(tile: Tile, *, entropy: bool) -> Normalized:
    """One walk over the vocabulary: maximum, log-sum, mean and, where asked, sum_v p_v log p_v."""
    rows = tile.raw.shape[0]
    like = tile.logits(slice(0, 0)).new_zeros(rows)
    # The lowest number, not -inf: a block of words that are all ruled out must not give nan.
    peak = torch.full_like(like, torch.finfo(like.dtype).min)
    total, sums, weighted, words = torch.zeros_like(like), torch.zeros_like(like), torch.zeros_like(like), 0
    for block in tile.blocks():
        z = tile.logits(block)
        words += z.shape[1]
        higher = torch.maximum(peak, z.amax(1))
        centred = z - higher[:, None]
        shift = peak - higher
        shrink = shift.exp()
        sums = sums + z.sum(1)
        if entropy:
            e = centred.exp()
            # At p = 0 the logit may be -inf; 0 log 0 is 0.
            fresh = torch.where(e > 0, e * centred, 0.0).sum(1)
            weighted = shrink * weighted + torch.where(total > 0, shrink * total * shift, 0.0) + fresh
            total = shrink * total + e.sum(1)
        else:
            total = shrink * total + centred.exp_().sum(1)
        peak = higher
    log_sum = total.log()
    return Normalized(
        peak=peak,
        log_sum=log_sum,
        mean_log_prob=(sums / max(words, 1) - peak) - log_sum,
        expected_log_prob=weighted / total - log_sum if entropy else None,
    )


def write_probabilities(tile: Tile, norm: Normalized) -> Float[Tensor, "rows vocab"]:
    """Replace the logits by p, in the dtype of the products."""
    inverse = torch.exp(-norm.log_sum)[:, None]
    for block in tile.blocks():
        tile.raw[:, block] = (tile.logits(block) - norm.peak[:, None]).exp_().mul_(inverse)
    return tile.raw


def write_gradient(tile: Tile, norm: Normalized, slopes: RowSlopes, asked: Asked) -> Float[Tensor, "rows vocab"]:
    """Replace the logits by the gradient of the total by the products.

    dz_v = p_v (share + entropy (log p_v - sum p log p) + (q_v - sum p q)) + mean / V, and at asked entries slope
    more; those are computed by themselves, so that 1 - p survives at confident labels and nothing is rounded before
    it is added.
    """
    inner = None if slopes.cloud is None else _expected_cloud(tile, norm, slopes.cloud)
    at = _gradient_at(tile, norm, slopes, asked=asked, inner=inner)
    scaled = (slopes.share * torch.exp(-norm.log_sum))[:, None]
    for block in tile.blocks():
        z = tile.logits(block)
        if slopes.entropy is None and slopes.cloud is None:
            gradient = (z - norm.peak[:, None]).exp_().mul_(scaled)
        else:
            log_p = (z - norm.peak[:, None]) - norm.log_sum[:, None]
            cloud = None if slopes.cloud is None else slopes.cloud[:, block]
            gradient = _spread(log_p, norm, slopes, cloud=cloud, inner=inner)
        if slopes.mean is not None:
            gradient = gradient + slopes.mean[:, None] / tile.raw.shape[1]
        tile.raw[:, block] = tile.chain(gradient, z)
    tile.raw[asked.row, asked.word] = at.to(tile.raw.dtype)
    return tile.raw


def _spread(
    log_p: Tensor, norm: Normalized, slopes: RowSlopes, *, cloud: Tensor | None, inner: Tensor | None
) -> Tensor:
    """The block of p (share + entropy (log p - sum p log p) + (q - sum p q)), (rows, block)."""
    factor = slopes.share[:, None]
    p = log_p.exp()
    if slopes.entropy is not None and norm.expected_log_prob is not None:
        above = torch.where(p > 0, log_p - norm.expected_log_prob[:, None], 0.0)
        factor = factor + slopes.entropy[:, None] * above
    if cloud is not None and inner is not None:
        factor = factor + (cloud.to(p.dtype) - inner[:, None])
    return p * factor


def _expected_cloud(tile: Tile, norm: Normalized, cloud: Tensor) -> Tensor:
    """sum_v p_v q_v from the very q that is used: a confident position's gradient is a difference of the two."""
    inner = torch.zeros_like(norm.peak)
    for block in tile.blocks():
        p = ((tile.logits(block) - norm.peak[:, None]) - norm.log_sum[:, None]).exp_()
        inner = inner + (p * cloud[:, block]).sum(1)
    return inner


def _gradient_at(tile: Tile, norm: Normalized, slopes: RowSlopes, *, asked: Asked, inner: Tensor | None) -> Tensor:
    """The gradient by the products at the asked entries."""
    row, word = asked.row, asked.word
    z = tile.logits_at(row, word)
    log_p = (z - norm.peak[row]) - norm.log_sum[row]
    p = log_p.exp()
    # slope (1 - p) + p (share + slope): share holds -slope, so the large parts cancel before they meet p.
    gradient = asked.slope * -torch.expm1(log_p) + p * (slopes.share[row] + asked.slope)
    if slopes.entropy is not None and norm.expected_log_prob is not None:
        above = torch.where(p > 0, log_p - norm.expected_log_prob[row], 0.0)
        gradient = gradient + slopes.entropy[row] * p * above
    if slopes.cloud is not None and inner is not None:
        gradient = gradient + p * (slopes.cloud[row, word].to(p.dtype) - inner[row])
    if slopes.mean is not None:
        gradient = gradient + slopes.mean[row] / tile.raw.shape[1]
    return tile.chain(gradient, z)


def merge_asked(rows: list[Tensor], words: list[Tensor], slopes: list[Tensor], *, vocab: int) -> Asked:
    """Add up the slopes that several statistics have at the same entry."""
    keys, place = torch.unique(torch.cat(rows) * vocab + torch.cat(words), return_inverse=True)
    flat = torch.cat(slopes)
    return Asked(keys // vocab, keys % vocab, flat.new_zeros(keys.numel()).index_add(0, place, flat))


def likeliest(tile: Tile, k: int) -> Int[Tensor, "rows k"]:
    """The k likeliest words of each row, or all where the vocabulary is smaller."""
    best: Tensor | None = None
    words: Tensor | None = None
    for block in tile.blocks():
        z = tile.logits(block)
        top, place = z.topk(min(k, z.shape[1]), dim=1)
        place = place + block.start
        if best is not None and words is not None:
            top, place = torch.cat([best, top], 1), torch.cat([words, place], 1)
            top, keep = top.topk(min(k, top.shape[1]), dim=1)
            place = place.gather(1, keep)
        best, words = top, place
    assert words is not None
    return words
