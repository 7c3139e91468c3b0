"""The gradient of the total by the products of a tile, written over its logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.normalizer import Normalized
from lossmith.losses.shapes import Float, Int
from lossmith.losses.tiles import Tile


@dataclass(frozen=True)
class Asked:
    """Entries of the gradient that get more than their share of p: at most one for each position and word."""

    row: Int[Tensor, " asked"]
    word: Int[Tensor, " asked"]
    slope: Float[Tensor, " asked"]

    def and_more(self, row: Tensor, word: Tensor, slope: Tensor, *, vocab: int) -> Asked:
        """These and other entries, slopes at the same entry added up."""
        keys, place = torch.unique(torch.cat([self.row * vocab + self.word, row * vocab + word]), return_inverse=True)
        flat = torch.cat([self.slope, slope])
        return Asked(keys // vocab, keys % vocab, flat.new_zeros(keys.numel()).index_add(0, place, flat))

    def within(self, words: slice) -> Asked:
        """Those of some words."""
        place = ((self.word >= words.start) & (self.word < words.stop)).nonzero()[:, 0]
        return Asked(self.row[place], self.word[place], self.slope[place])


@dataclass(frozen=True)
class RowSlopes:
    """Derivatives of the total by the statistics of each row of a tile; None where nothing asks.

    `share` multiplies p: the derivative by log_normalizer less those of all log-probabilities of the row.
    `entropy` belongs to expected_log_prob and `mean` to mean_log_prob. For the expected embedding x, `cloud` holds
    q = E g_x of the tile's words, and `inner` <x, g_x> = sum_v p_v q_v over all words.
    """

    share: Float[Tensor, " rows"]
    entropy: Float[Tensor, " rows"] | None = None
    mean: Float[Tensor, " rows"] | None = None
    cloud: Float[Tensor, "rows words"] | None = None
    inner: Float[Tensor, " rows"] | None = None


def at_asked(slope: Tensor, share: Tensor, log_p: Tensor) -> Float[Tensor, " asked"]:
    """The sum slope + p share at entries, by way of slope (1 - p) + p (share + slope).

    share holds -slope, so the large parts cancel before they meet p, and 1 - p survives at confident labels.
    """
    return slope * -torch.expm1(log_p) + log_p.exp() * (share + slope)


def write_gradient(tile: Tile, norm: Normalized, slopes: RowSlopes, asked: Asked) -> Float[Tensor, "rows words"]:
    """Replace the logits by the gradient of the total by the products.

    dz_v = p_v (share + entropy (log p_v - sum p log p) + (q_v - sum p q)) + mean / V, and at asked entries slope
    more; those are computed by themselves, and nothing is rounded before it is added.
    """
    asked = asked.within(tile.words)
    at = _gradient_at(tile, norm, slopes, asked)
    scaled = (slopes.share * torch.exp(-norm.log_sum))[:, None]
    for block in tile.blocks():
        z = tile.logits(block)
        if slopes.entropy is None and slopes.cloud is None:
            gradient = (z - norm.peak[:, None]).exp_().mul_(scaled)
        else:
            log_p = (z - norm.peak[:, None]) - norm.log_sum[:, None]
            gradient = _spread(log_p, norm, slopes, None if slopes.cloud is None else slopes.cloud[:, block])
        if slopes.mean is not None:
            gradient = gradient + slopes.mean[:, None] / tile.of.vocab
        tile.raw[:, block] = tile.of.chain(gradient, z)
    tile.raw[asked.row, asked.word - tile.words.start] = at.to(tile.raw.dtype)
    return tile.raw


def _spread(
    log_p: Float[Tensor, "rows block"], norm: Normalized, slopes: RowSlopes, cloud: Tensor | None
) -> Float[Tensor, "rows block"]:
    """The block of p (share + entropy (log p - sum p log p) + (q - sum p q))."""
    factor = slopes.share[:, None]
    p = log_p.exp()
    if slopes.entropy is not None and norm.expected_log_prob is not None:
        above = torch.where(p > 0, log_p - norm.expected_log_prob[:, None], 0.0)
        factor = factor + slopes.entropy[:, None] * above
    if cloud is not None and slopes.inner is not None:
        factor = factor + (cloud.to(p.dtype) - slopes.inner[:, None])
    return p.mul_(factor)


def expected_cloud(tile: Tile, norm: Normalized, cloud: Float[Tensor, "rows vocab"]) -> Float[Tensor, " rows"]:
    """sum_v p_v q_v from the very q that is used: a confident position's gradient is a difference of the two."""
    inner = torch.zeros_like(norm.peak)
    for block in tile.blocks():
        p = ((tile.logits(block) - norm.peak[:, None]) - norm.log_sum[:, None]).exp_()
        inner = inner + (p * cloud[:, block]).sum(1)
    return inner


def _gradient_at(tile: Tile, norm: Normalized, slopes: RowSlopes, asked: Asked) -> Float[Tensor, " asked"]:
    """The gradient by the products at the asked entries."""
    row, word = asked.row, asked.word
    z = tile.logits_at(row, word)
    log_p = norm.log_probs(z, row)
    p = log_p.exp()
    gradient = at_asked(asked.slope, slopes.share[row], log_p)
    if slopes.entropy is not None and norm.expected_log_prob is not None:
        above = torch.where(p > 0, log_p - norm.expected_log_prob[row], 0.0)
        gradient = gradient + slopes.entropy[row] * p * above
    if slopes.cloud is not None and slopes.inner is not None:
        gradient = gradient + p * (slopes.cloud[row, word - tile.words.start].to(p.dtype) - slopes.inner[row])
    if slopes.mean is not None:
        gradient = gradient + slopes.mean[row] / tile.of.vocab
    return tile.of.chain(gradient, z)
