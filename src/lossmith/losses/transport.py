"""Debiased entropic optimal transport between point clouds, many pairs of clouds at a time.

The three problems of a pair (a to b, a to a, b to b) are blocks of one: its points lie side by side, a's then b's, and
one matrix holds the costs between any two of them. A potential has the shape (pairs, 2, length, 2): of which cloud,
its point, towards which cloud. Nothing of the solution is kept for the backward pass but the gradient by the points.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lossmith.losses.annealing import Annealing, Clouds, Group, groups_of
from lossmith.losses.shapes import Float

# Steps at the final temperature that `tolerance` may add; rounding can keep the error above any tolerance.
MOST_EXTRA_STEPS = 2000
# Where p is not 2, shorter distances count as this and have no slope: |x-y| has none at 0. The number is geomloss's.
SHORTEST = 1e-4


def sinkhorn_divergence(
    a: Clouds, b: Clouds, *, p: float, blur: float, scaling: float, tolerance: float | None = None
) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """OT(a,b) - OT(a,a)/2 - OT(b,b)/2 of each pair of clouds, with ground cost |x-y|^p / p and eps = blur^p.

    The temperature falls from diameter^p to blur^p by scaling^p a step, with symmetric log-domain updates; schedule
    and diameter are each pair's own. `tolerance` adds steps at blur, 2,000 at most, until the marginal error of every
    problem is below it. Only a's points carry gradient, each potential differentiated in its own cloud at the final
    potentials, and once. 16-bit points are worked on in fp32; all points in float64 where p is not 2, and distances
    below 1e-4 count as 1e-4 there.

    Returns the divergences (pairs,), 0 or more up to the error of the schedule, and the marginal errors (pairs,), the
    largest L1 distance between a marginal of the plans and the weights. No pair's figures depend on other pairs.
    Raises InputError where a and b have not the same clouds.
    Source: Feydy et al. 2019, "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences".

    >>> one = torch.tensor([0, 0])
    >>> a, b = Clouds(torch.tensor([[0.0], [1.0]]), one), Clouds(torch.tensor([[1.0], [0.0]]), one)
    >>> divergence, error = sinkhorn_divergence(a, b, p=2.0, blur=0.2, scaling=0.5)
    >>> bool(divergence.abs() < 1e-6)
    True
    """
    return _Divergence.apply(a.points, a, b, Annealing(p, blur, scaling, tolerance))


class _Divergence(torch.autograd.Function):
    """The envelope theorem as a node of the graph: the gradient of the last update, made together with the value."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, a: Clouds, b: Clouds, how: Annealing) -> tuple[Tensor, Tensor]:
        dtype = _working_dtype(points, how.p)
        x, y = points.detach().to(dtype), b.points.detach().to(dtype)
        values, errors, order = [x.new_empty(0)], [x.new_empty(0)], [a.cloud[:0]]
        slope = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        with torch.autocast(points.device.type, enabled=False):
            for group in groups_of(Clouds(x, a.cloud), Clouds(y, b.cloud), how=how):
                problem = _Problem(x, y, group, how)
                value, error = problem.solve()
                if slope is not None:
                    slope.index_copy_(0, group.own, problem.slope())
                values, errors, order = [*values, value], [*errors, error], [*order, group.pairs]
        place = torch.cat(order).argsort()
        statistics = torch.promote_types(points.dtype, torch.float32)
        value, error = (torch.cat(each)[place].to(statistics) for each in (values, errors))
        ctx.dtype = points.dtype
        if slope is not None:
            ctx.save_for_backward(slope, a.cloud)
        ctx.mark_non_differentiable(error)
        return value, error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_value: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        slope, cloud = ctx.saved_tensors
        return (slope * by_value[cloud][:, None]).to(ctx.dtype), None, None, None


class _Problem:
    """The transport problems of a group, and their potentials; every update writes into one buffer."""

    def __init__(self, x: Float[Tensor, "a width"], y: Float[Tensor, "b width"], group: Group, how: Annealing) -> None:
        self.group, self.how = group, how
        self.weights = group.log_weights.exp2()
        pairs, _, length = self.weights.shape
        sides = (x.index_select(0, group.of_a.flatten()), y.index_select(0, group.of_b.flatten()))
        self.points = torch.cat([side.view(pairs, length, -1) for side in sides], 1)
        # Costs do not change under a common shift, and small coordinates lose less in the products.
        self.points -= torch.bmm(self.weights[:, 1:], self.points[:, length:])
        self.cost = _cost(self.points, how.p).view(pairs, 2, length, 2, length)
        self.buffer = torch.empty_like(self.cost)
        self.sums = self.cost.new_empty(pairs, 2, length, 2)

    def solve(self) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
        """Divergences and marginal errors; the buffer is left with the plans of the last update, before division."""
        now = self._anneal()
        if self.how.tolerance is not None:
            now = self._settle(now, self.how.tolerance)
        after = self._update(self.cost, self.group.log_weights, now, self.group.temperatures[-1, : len(now)])
        of_a, of_b = after[:, 0, :, 1] - after[:, 0, :, 0], after[:, 1, :, 0] - after[:, 1, :, 1]
        value = (self.weights[:, 0] * of_a).sum(1) + (self.weights[:, 1] * of_b).sum(1)
        return value, self._marginal_error(now, after, self.weights)

    def slope(self) -> Float[Tensor, "points width"]:
        """The gradient by a's points: each is drawn to its images in b and pushed from those in its own cloud."""
        share = self.weights[:, 0, :, None] / self.sums[:, 0]
        share[..., 0].neg_()
        pull = self.buffer[:, 0].mul_(share[..., None]).flatten(2)
        if self.how.p == 2.0:
            # Both plans' rows have the same sum, so x_i falls out of the difference of sum_j plan_ij (x_i - z_j).
            slope = -torch.bmm(pull, self.points)
        else:
            distance = (self.how.p * self.cost[:, 0].flatten(2)).pow(1.0 / self.how.p)
            steep = torch.where(distance > 1.001 * SHORTEST, distance.pow(self.how.p - 2.0), 0.0)
            pull = pull.mul_(steep)
            slope = pull.sum(2, keepdim=True) * self.points[:, : pull.shape[1]] - torch.bmm(pull, self.points)
        return slope.flatten(0, 1).index_select(0, self.group.place)

    def _anneal(self) -> Tensor:
        now = torch.zeros_like(self.sums)
        before = 0
        for eps, running in zip(self.group.temperatures, self.group.running, strict=True):
            fresh = self._update(self.cost[:running], self.group.log_weights[:running], now[:running], eps[:running])
            now[:before].add_(fresh[:before]).mul_(0.5)
            # A pair's first update has none before it to be averaged with.
            now[before:running] = fresh[before:]
            before = running
        return now

    def _settle(self, now: Tensor, tolerance: float) -> Tensor:
        """Further updates at the final temperature; pairs that are within the tolerance leave."""
        settled = torch.empty_like(now)
        left = torch.arange(len(now), device=now.device)
        cost, log_weights, weights = self.cost, self.group.log_weights, self.weights
        for _ in range(MOST_EXTRA_STEPS):
            fresh = self._update(cost, log_weights, now, self.group.temperatures[-1, : len(now)])
            going = self._marginal_error(now, fresh, weights) > tolerance
            if not bool(going.all()):
                settled[left[~going]] = now[~going]
                left, now, fresh = left[going], now[going], fresh[going]
                cost, log_weights, weights = cost[going], log_weights[going], weights[going]
            if not len(now):
                break
            now = (now + fresh) / 2
        settled[left] = now
        return settled

    def _update(self, cost: Tensor, log_weights: Tensor, now: Tensor, eps: Tensor) -> Tensor:
        """One soft minimum for each potential, all from the same previous ones; eps (pairs, 1, 1, 1).

        The potential of cloud r towards c reads that of c towards r: -eps log sum_j exp(log w_j + (g_j - C_ij) / eps),
        in powers of two, which come at a third of the time of those of e.
        """
        exponents, sums = self.buffer[: len(cost)], self.sums[: len(cost)]
        rate = (1.0 / math.log(2.0)) / eps
        mass = torch.addcmul(log_weights[:, None], now.permute(0, 3, 1, 2), rate)
        torch.addcmul(mass[:, :, None], cost, rate[..., None], value=-1.0, out=exponents)
        peak = exponents.amax(4)
        torch.sum(exponents.sub_(peak[..., None]).exp2_(), 4, out=sums)
        return sums.log2().add_(peak).div_(rate).neg_()

    def _marginal_error(self, now: Tensor, after: Tensor, weights: Tensor) -> Tensor:
        """A marginal of the plan of `now` is the weight times exp((now - after) / eps), by definition of the update."""
        off = torch.expm1((now - after) / self.how.eps).abs()
        weights = weights[..., None]
        return torch.where(weights > 0, weights * off, 0.0).sum(2).flatten(1).amax(1)


def _working_dtype(points: Tensor, p: float) -> torch.dtype:
    """fp32 or more; float64, where there is one, for other p than 2."""
    if p == 2.0 or points.device.type == "mps":
        return torch.promote_types(points.dtype, torch.float32)
    # The root makes the rounding of a small square large, and slopes between near points are steep.
    return torch.float64


def _cost(points: Float[Tensor, "pairs points width"], p: float) -> Float[Tensor, "pairs points points"]:
    """|x-y|^p / p between all points of a pair."""
    products = torch.bmm(points, points.mT)
    half_squares = products.diagonal(dim1=1, dim2=2) / 2
    squares = torch.sub(half_squares[:, None], products, out=products).add_(half_squares[..., None])
    if p == 2.0:
        return squares.clamp_min_(0.0)
    return squares.mul_(2.0).clamp_min_(SHORTEST**2).pow_(p / 2).div_(p)
