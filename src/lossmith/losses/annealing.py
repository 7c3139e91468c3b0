"""Which pairs of clouds are solved together, and at which temperatures: all decided before the first update."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.shapes import Float, Int

# Costs of one group: near the cache on CPU, enough for a launch elsewhere.
GROUP_NUMBERS = {"cpu": 2**18}
GROUP_NUMBERS_ELSEWHERE = 2**26


@dataclass(frozen=True)
class Clouds:
    """Clouds of equally weighted points: points (points, width), and the number of the cloud that each belongs to.

    Numbers run from 0 without a gap, in any order.
    """

    points: Float[Tensor, "points width"]
    cloud: Int[Tensor, " points"]


@dataclass(frozen=True)
class Annealing:
    """How the temperature falls: from diameter^p to eps = blur^p by scaling^p a step, then on until `tolerance`."""

    p: float
    blur: float
    scaling: float
    tolerance: float | None = None

    @property
    def eps(self) -> float:
        """The final temperature."""
        return self.blur**self.p

    def temperatures(self, diameter: Float[Tensor, " pairs"]) -> tuple[Float[Tensor, "steps pairs"], Tensor]:
        """Temperatures of the updates of each pair, and how many it has; (steps, pairs) so that all end together.

        The first update has no potentials before it; then come the start, the descent from it, and the end.

        >>> eps, steps = Annealing(p=1.0, blur=1.0, scaling=0.5).temperatures(torch.tensor([4.0, 0.5]))
        >>> eps.T.tolist(), steps.tolist()
        ([[4.0, 4.0, 4.0, 2.0, 1.0], [0.5, 0.5, 0.5, 0.5, 1.0]], [5, 3])
        """
        # All points in one place have diameter 0; there any start far below blur does. Of points that are no numbers
        # nothing is asked but to come out as such.
        known = diameter.double().nan_to_num(posinf=0.0).clamp_min(1e-3 * self.blur)
        start, step = self.p * known.log(), self.p * math.log(self.scaling)
        descent = ((self.p * math.log(self.blur) - start) / step).ceil().clamp_min(0.0)
        steps = descent.long() + 3
        most = int(steps.max())
        taken = torch.arange(most, dtype=torch.float64)[:, None] - (most - steps)
        eps = (start + (taken - 2).clamp_min(0) * step).exp()
        return torch.where(taken < steps - 1, eps, self.eps), steps


@dataclass(frozen=True)
class Group:
    """Pairs of like sizes, padded to one length; those with the most updates first.

    pairs (pairs,) are their numbers. of_a and of_b (pairs, length) are indices of their points; padding repeats the
    last one with weight 0, so that every cost is one between points. log_weights (pairs, 2, length) are to base 2, a's
    then b's, -inf at padding. own (points,) are the indices of a's points without padding, and place (points,) where
    they stand in (pairs, length). temperatures (steps, pairs, 1, 1, 1), and running (steps,) how many pairs have begun.
    """

    pairs: Int[Tensor, " pairs"]
    of_a: Int[Tensor, "pairs length"]
    of_b: Int[Tensor, "pairs length"]
    log_weights: Float[Tensor, "pairs 2 length"]
    own: Int[Tensor, " points"]
    place: Int[Tensor, " points"]
    temperatures: Float[Tensor, "steps pairs 1 1 1"]
    running: list[int]


def padded_length(points: int) -> int:
    """The length that a cloud is padded to, by its own size alone, so that no other cloud changes its sums.

    >>> [padded_length(points) for points in (1, 8, 9, 64, 65, 130, 400)]
    [8, 8, 16, 64, 72, 144, 416]
    """
    step = max(8, 2 ** (points.bit_length() - 4))
    return -(-points // step) * step


def groups_of(a: Clouds, b: Clouds, *, how: Annealing) -> Iterator[Group]:
    """The pairs in groups that are solved one after another.

    Raises InputError where a and b have not the same clouds.
    """
    sides = [_Side(clouds.cloud.cpu()) for clouds in (a, b)]
    if sides[0].size.numel() != sides[1].size.numel() or any((side.size == 0).any() for side in sides):
        raise InputError(
            "the clouds come in pairs of one point or more each",
            got=f"{sides[0].size.tolist()} and {sides[1].size.tolist()} points",
            expected="the same clouds on both sides, numbered from 0 without a gap",
        )
    if not sides[0].size.numel():
        return
    eps, steps = how.temperatures(_diameter(a, b, sides[0].size.numel()).cpu())
    lengths = [padded_length(size) for size in torch.maximum(sides[0].size, sides[1].size).tolist()]
    numbers = GROUP_NUMBERS.get(a.points.device.type, GROUP_NUMBERS_ELSEWHERE)
    for length in sorted(set(lengths)):
        alike = torch.tensor([pair for pair, own in enumerate(lengths) if own == length])
        alike = alike[steps[alike].argsort(descending=True, stable=True)]
        for pairs in alike.split(max(1, numbers // (2 * length) ** 2)):
            most = int(steps[pairs[0]])
            yield _group(pairs, sides, length, eps=eps[-most:, pairs], steps=steps[pairs], like=a.points)


class _Side:
    """One side's clouds as runs of an order of its points; on the host."""

    def __init__(self, cloud: Int[Tensor, " points"]) -> None:
        self.order = torch.argsort(cloud, stable=True)
        self.size = torch.bincount(cloud)
        self.first = self.size.cumsum(0) - self.size

    def padded(self, pairs: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Indices of the clouds' points (pairs, length), the last repeated, and which are present."""
        place = torch.arange(length)
        size = self.size[pairs][:, None]
        index = self.order[self.first[pairs][:, None] + torch.minimum(place, size - 1)]
        return index, place < size


def _group(pairs: Tensor, sides: list[_Side], length: int, *, eps: Tensor, steps: Tensor, like: Tensor) -> Group:
    (own, in_a), (gold, in_b) = (side.padded(pairs, length) for side in sides)
    present = torch.stack([in_a, in_b], 1)
    weights = present.double() / present.sum(2, keepdim=True)
    device = like.device
    return Group(
        pairs=pairs.to(device),
        of_a=own.to(device),
        of_b=gold.to(device),
        log_weights=weights.log2().to(like),
        own=own[in_a].to(device),
        place=in_a.flatten().nonzero()[:, 0].to(device),
        temperatures=eps.to(like)[..., None, None, None],
        running=(steps >= torch.arange(len(eps), 0, -1)[:, None]).sum(1).tolist(),
    )


def _diameter(a: Clouds, b: Clouds, pairs: int) -> Float[Tensor, " pairs"]:
    """Diagonal of the box around both clouds of each pair."""
    low = a.points.new_full((pairs, a.points.shape[1]), math.inf)
    high = -low
    for clouds in (a, b):
        index = clouds.cloud[:, None].expand_as(clouds.points)
        low.scatter_reduce_(0, index, clouds.points, "amin")
        high.scatter_reduce_(0, index, clouds.points, "amax")
    return (high - low).norm(dim=1)
