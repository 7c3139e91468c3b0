"""Sinkhorn divergence between the predicted and the gold points of a span."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.annealing import Clouds
from lossmith.losses.shapes import Float, Int
from lossmith.losses.statistics import Statistics
from lossmith.losses.transport import sinkhorn_divergence


def sinkhorn(
    stats: Statistics,
    *,
    p: float = 2.0,
    blur: float = 0.2,
    scaling: float = 0.5,
    points: Literal["tokens", "items"] = "tokens",
    normalize: bool = True,
    tolerance: float | None = None,
) -> Float[Tensor, " examples"]:
    """How far the predicted points of a span lie from the gold ones, whatever their order.

    Predicted points sum_v p_v E_v, gold points E_y, uniform weights; OT(a,b) - OT(a,a)/2 - OT(b,b)/2 with ground
    cost |x-y|^p / p and blur in units of the points. `points` tokens: one point per position; items: one per item
    of the span, the mean of its positions. `normalize` divides both clouds by embedding_scale. Only p carries
    gradient; E, the gold points and the scale are constants. `tolerance` adds steps until the plans' marginals
    are that near; their error is left in stats.notes["marginal_error"], (examples,).

    Returns (examples,) without unit in [0, inf), up to 1e-4 below 0. At blur .2 and scaling .5 the gradient is 4 %
    from the converged one, at blur .05 it is 42 % or more. With random embeddings all words are equidistant and
    this is a permutation-tolerant match of tokens, not of meanings. Source: Feydy et al. 2019.

    Raises InputError for `points` items where the span is given as a mask without item numbers.

    >>> gold = torch.eye(2)
    >>> stats = Statistics(
    ...     expected_embedding=gold.flip(0), label_embedding=gold, embedding_scale=1.0,
    ...     example=torch.tensor([0, 0]), examples=1, item=None, notes={},
    ... )
    >>> bool(sinkhorn(stats).abs() < 1e-6)
    True
    """
    x, y, example = stats.expected_embedding, stats.label_embedding, stats.example
    if normalize:
        x, y = x / stats.embedding_scale, y / stats.embedding_scale
    if points == "items":
        if stats.item is None:
            raise InputError(
                "points: items needs item numbers, and the span is a mask",
                got="a boolean mask",
                expected="int64 item numbers with -1 outside, of a span tag",
                fix="use points: tokens, or a span of the template with one tag per item",
            )
        x, y, example = _mean_by_item(x, y, example=example, item=stats.item)
    value, error = sinkhorn_divergence(
        Clouds(x, example), Clouds(y, example), p=p, blur=blur, scaling=scaling, tolerance=tolerance
    )
    stats.notes["marginal_error"] = error
    return value


def _mean_by_item(
    x: Tensor, y: Tensor, *, example: Int[Tensor, " positions"], item: Int[Tensor, " positions"]
) -> tuple[Tensor, Tensor, Tensor]:
    items = int(item.amax()) + 1 if item.numel() else 1
    keys, point, size = torch.unique(example * items + item, sorted=True, return_inverse=True, return_counts=True)

    def mean(values: Tensor) -> Tensor:
        sums = values.new_zeros(keys.numel(), values.shape[1]).index_add(0, point, values)
        return sums / size[:, None]

    return mean(x), mean(y), keys // items


sinkhorn.kind = "set"  # type: ignore[attr-defined]
sinkhorn.needs = ("expected_embedding",)  # type: ignore[attr-defined]
# Short of convergence the gradient is that of the last potentials, not of the schedule that led to them.
sinkhorn.exact_with = {"blur": 1.0, "tolerance": 1e-10}  # type: ignore[attr-defined]
