"""Debiased entropic optimal transport between point clouds, many pairs of clouds at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lossmith.losses.shapes import Bool, Float

# Steps at the final temperature that `tolerance` may add; rounding can keep the error above any tolerance.
MOST_EXTRA_STEPS = 2000


@dataclass(frozen=True)
class Clouds:
    """One cloud of equally weighted points per example, padded to the longest.

    points (examples, length, width); present (examples, length) is False at padding, which has no weight. Every
    cloud holds one point or more.
    """

    points: Float[Tensor, "examples length width"]
    present: Bool[Tensor, "examples length"]

    @property
    def log_weights(self) -> Tensor:
        """(examples, length): -log of the number of points, -inf at padding."""
        count = self.present.sum(1, keepdim=True).to(self.points.dtype)
        return (-count.log()).expand(self.present.shape).masked_fill(~self.present, -math.inf)


class Potentials(NamedTuple):
    """Dual potentials: of a and b towards each other, and of each towards itself."""

    a_to_b: Tensor
    b_to_a: Tensor
    a_to_a: Tensor
    b_to_b: Tensor


class _Problem(NamedTuple):
    """Costs (examples, rows, columns) and log weights of the three transport problems."""

    ab: Tensor
    aa: Tensor
    bb: Tensor
    log_a: Tensor
    log_b: Tensor

    def detach(self) -> _Problem:
        return _Problem(*(t.detach() for t in self))


def sinkhorn_divergence(
    a: Clouds, b: Clouds, *, p: float, blur: float, scaling: float, tolerance: float | None = None
) -> tuple[Float[Tensor, " examples"], Float[Tensor, " examples"]]:
    """OT(a,b) - OT(a,a)/2 - OT(b,b)/2 of each pair of clouds, with ground cost |x-y|^p / p and eps = blur^p.

    The temperature falls from diameter^p to blur^p by scaling^p a step, with symmetric log-domain updates; schedule
    and diameter are each example's own, and an example is frozen when its schedule is done. `tolerance` adds steps
    at blur until the marginal error of every problem is below it. Only a's points carry gradient, each potential
    differentiated in its own cloud at the final potentials.

    Returns the divergences (examples,), 0 or more up to the error of the schedule, and the marginal errors
    (examples,), the largest L1 distance between a marginal of the plans and the weights.
    Source: Feydy et al. 2019, "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences".

    >>> a = Clouds(torch.tensor([[[0.0], [1.0]]]), torch.ones(1, 2, dtype=torch.bool))
    >>> b = Clouds(torch.tensor([[[1.0], [0.0]]]), torch.ones(1, 2, dtype=torch.bool))
    >>> divergence, error = sinkhorn_divergence(a, b, p=2.0, blur=0.2, scaling=0.5)
    >>> bool(divergence.abs() < 1e-6)
    True
    """
    problem = _problem(a, b, p)
    frozen = problem.detach()
    with torch.no_grad():
        schedule, length = _schedule(_diameter(a, b), p=p, blur=blur, scaling=scaling)
        now = _anneal(frozen, schedule.to(a.points.dtype), length)
        final = blur**p
        if tolerance is not None:
            now = _settle(frozen, now, eps=final, tolerance=tolerance)
        after = _sweep(frozen, now, torch.full_like(frozen.log_a[:, 0], final))
        error = _marginal_error(frozen, now, after, final)
    # The envelope theorem: one more update, differentiated through the costs with the other side held fixed.
    eps = a.points.new_full((a.points.shape[0],), final)
    a_to_b = _soft_minimum(eps, problem.ab, problem.log_b + now.b_to_a / final)
    a_to_a = _soft_minimum(eps, problem.aa, problem.log_a + now.a_to_a / final)
    value = _weighted(a_to_b - a_to_a, problem.log_a) + _weighted(after.b_to_a - after.b_to_b, problem.log_b)
    return value, error


def _problem(a: Clouds, b: Clouds, p: float) -> _Problem:
    # Costs do not change under a common shift, and small coordinates lose less in the products.
    fixed = b.points.detach()
    count = b.present.sum(1)[:, None, None]
    centre = (fixed * b.present[..., None]).sum(1, keepdim=True) / count
    x = torch.where(a.present[..., None], a.points - centre, 0.0)
    y = torch.where(b.present[..., None], fixed - centre, 0.0)
    return _Problem(
        ab=_cost(x, y, p),
        aa=_cost(x, x.detach(), p),
        bb=_cost(y, y, p),
        log_a=a.log_weights,
        log_b=b.log_weights,
    )


def _cost(x: Tensor, y: Tensor, p: float) -> Tensor:
    """(examples, rows, columns) |x-y|^p / p."""
    if p == 2.0:
        squares = x.square().sum(2)[:, :, None] + y.square().sum(2)[:, None, :]
        return (squares / 2 - x @ y.transpose(1, 2)).clamp_min(0.0)
    # Below p = 2 the root makes rounding of a small square large: differences, not products.
    distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return distance.pow(p) / p


def _diameter(a: Clouds, b: Clouds) -> Tensor:
    """(examples,) diagonal of the box around both clouds, in float64."""

    def corner(clouds: Clouds, sign: float) -> Tensor:
        points = (sign * clouds.points.detach()).masked_fill(~clouds.present[..., None], -math.inf)
        return sign * points.amax(1)

    low = torch.minimum(corner(a, -1.0), corner(b, -1.0))
    high = torch.maximum(corner(a, 1.0), corner(b, 1.0))
    return (high - low).double().norm(dim=1)


def _schedule(diameter: Tensor, *, p: float, blur: float, scaling: float) -> tuple[Tensor, Tensor]:
    """Temperatures (examples, steps) and how many of them each example takes: the start, the descent, the end."""
    # All points in one place have diameter 0; there any start far below blur does.
    start = p * diameter.clamp_min(1e-3 * blur).log()
    step = p * math.log(scaling)
    descent = ((p * math.log(blur) - start) / step).ceil().clamp_min(0.0)
    length = descent.long() + 2
    index = torch.arange(int(length.max()), device=diameter.device)
    eps = (start[:, None] + (index - 1).clamp_min(0) * step).exp()
    return torch.where(index < length[:, None] - 1, eps, blur**p), length


def _anneal(problem: _Problem, schedule: Tensor, length: Tensor) -> Potentials:
    zero = Potentials(*(torch.zeros_like(problem.log_a) for _ in range(4)))
    zero = zero._replace(b_to_a=torch.zeros_like(problem.log_b), b_to_b=torch.zeros_like(problem.log_b))
    now = _sweep(problem, zero, schedule[:, 0])
    for step in range(schedule.shape[1]):
        after = _sweep(problem, now, schedule[:, step])
        now = _halfway(now, after, (step < length)[:, None])
    return now


def _settle(problem: _Problem, now: Potentials, *, eps: float, tolerance: float) -> Potentials:
    temperatures = torch.full_like(problem.log_a[:, 0], eps)
    for _ in range(MOST_EXTRA_STEPS):
        after = _sweep(problem, now, temperatures)
        active = _marginal_error(problem, now, after, eps) > tolerance
        if not bool(active.any()):
            break
        now = _halfway(now, after, active[:, None])
    return now


def _sweep(problem: _Problem, now: Potentials, eps: Tensor) -> Potentials:
    """One soft minimum for each potential, all from the same previous ones."""
    e = eps[:, None]
    return Potentials(
        a_to_b=_soft_minimum(eps, problem.ab, problem.log_b + now.b_to_a / e),
        b_to_a=_soft_minimum(eps, problem.ab.transpose(1, 2), problem.log_a + now.a_to_b / e),
        a_to_a=_soft_minimum(eps, problem.aa, problem.log_a + now.a_to_a / e),
        b_to_b=_soft_minimum(eps, problem.bb, problem.log_b + now.b_to_b / e),
    )


def _halfway(now: Potentials, after: Potentials, active: Tensor) -> Potentials:
    pairs = zip(now, after, strict=True)
    return Potentials(*(torch.where(active, (old + new) / 2, old) for old, new in pairs))


def _soft_minimum(eps: Tensor, cost: Tensor, log_mass: Tensor) -> Tensor:
    e = eps[:, None]
    return -e * torch.logsumexp(log_mass[:, None, :] - cost / e[..., None], dim=2)


def _weighted(values: Tensor, log_weights: Tensor) -> Tensor:
    return (values * log_weights.exp()).sum(1)


def _marginal_error(problem: _Problem, now: Potentials, after: Potentials, eps: float) -> Tensor:
    """A marginal of the plan of `now` is the weight times exp((now - after) / eps), by definition of the update."""
    logs = (problem.log_a, problem.log_b, problem.log_a, problem.log_b)
    errors = [
        _weighted(torch.expm1((old - new) / eps).abs(), log) for old, new, log in zip(now, after, logs, strict=True)
    ]
    return torch.stack(errors).amax(0)
