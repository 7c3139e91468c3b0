"""The log-normaliser of many positions, from blocks of their logits in any order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.tiles import Tile


@dataclass(frozen=True)
class Normalized:
    """Log-normaliser of each row as a maximum and the log of a sum, kept apart so that neither loses digits."""

    peak: Float[Tensor, " rows"]
    log_sum: Float[Tensor, " rows"]
    mean_log_prob: Float[Tensor, " rows"] | None
    expected_log_prob: Float[Tensor, " rows"] | None

    def log_probs(self, z: Float[Tensor, "*asked"], row: Tensor) -> Float[Tensor, "*asked"]:
        """Log-probabilities of final logits of some rows."""
        return (z - self.peak[row]) - self.log_sum[row]


class Normalizer:
    """Sums over the words seen so far, relative to the largest logit seen so far."""

    def __init__(self, like: Float[Tensor, " rows"], *, entropy: bool, mean: bool) -> None:
        # The lowest number, not -inf: a block of words that are all ruled out must not give nan.
        self.peak = torch.full_like(like, torch.finfo(like.dtype).min)
        self.total = torch.zeros_like(like)
        self._weighted = torch.zeros_like(like) if entropy else None
        self._logits = torch.zeros_like(like) if mean else None
        self._words = 0

    def rise(self, top: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Raise the maximum to that of coming logits; returns what sums relative to the old one shrink by."""
        higher = torch.maximum(self.peak, top)
        shift = self.peak - higher
        shrink = shift.exp()
        if self._weighted is not None:
            moved = torch.where(self.total > 0, shrink * self.total * shift, 0.0)
            self._weighted = shrink * self._weighted + moved
        self.total, self.peak = shrink * self.total, higher
        return shrink

    def add(self, z: Float[Tensor, "rows block"], *, into: Tensor | None = None) -> Float[Tensor, "rows block"]:
        """Add logits, none above the maximum; returns exp(z - maximum), in the memory `into` where given."""
        self._words += z.shape[1]
        if self._logits is not None:
            self._logits = self._logits + z.sum(1)
        centred = torch.sub(z, self.peak[:, None], out=into)
        if self._weighted is None:
            e = centred.exp_()
        else:
            e = centred.exp()
            # At p = 0 the logit may be -inf; 0 log 0 is 0.
            self._weighted = self._weighted + torch.where(e > 0, e * centred, 0.0).sum(1)
            if into is not None:
                e = into.copy_(e)
        self.total = self.total + e.sum(1)
        return e

    def done(self) -> Normalized:
        """The sums as logs."""
        log_sum = self.total.log()
        mean = None if self._logits is None else (self._logits / max(self._words, 1) - self.peak) - log_sum
        expected = None if self._weighted is None else self._weighted / self.total - log_sum
        return Normalized(self.peak, log_sum, mean, expected)


def normalize(tile: Tile, *, entropy: bool, mean: bool) -> Normalized:
    """One walk over a tile of all words, which keeps its logits."""
    sums = Normalizer(tile.logits(slice(0, 0)).new_zeros(tile.raw.shape[0]), entropy=entropy, mean=mean)
    for block in tile.blocks():
        z = tile.logits(block)
        sums.rise(z.amax(1))
        sums.add(z)
    return sums.done()
