"""Self-adjusting Dice over the labels of single tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def self_adjusting_dice(
    stats: Statistics, *, alpha: float = 1.0, smooth: float = 1.0, detach: bool = True
) -> Float[Tensor, " positions"]:
    """Dice of one token with a factor that fades as the token is learnt.

    1 - (2f+s) / (f+1+s) with f = (1-p_y)^alpha p_y and s = smooth, both 0 or more.

    Returns (positions,) without unit in [0, 1]. With alpha 1 and smooth 1 it is 1/2 at p_y = 0 and at p_y = 1 and
    1/3 at p_y = 1/2, so the value is no measure of progress and selects no checkpoint. `detach` holds the factor
    fixed in the gradient: descent then leads to p_y = 1 everywhere, where Li's own form pushes confident tokens
    back to 1/2. Unlike generalized_dice it looks at one token at a time.
    Source: Li et al. 2020, "Dice Loss for Data-imbalanced NLP Tasks"; detaching is our departure.

    >>> self_adjusting_dice(Statistics(label_log_prob=torch.tensor([0.5, 1.0]).log()))
    tensor([0.3333, 0.5000])
    """
    missing = -torch.expm1(stats.label_log_prob)
    if detach:
        missing = missing.detach()
    elif alpha < 1.0:
        # The slope of x^alpha at 0 is infinite.
        missing = missing.clamp_min(torch.finfo(missing.dtype).tiny)
    f = missing.pow(alpha) * stats.label_log_prob.exp()
    return 1.0 - (2.0 * f + smooth) / (f + 1.0 + smooth)


self_adjusting_dice.kind = "separable"  # type: ignore[attr-defined]
self_adjusting_dice.needs = ("label_log_prob",)  # type: ignore[attr-defined]
# The detached factor is left out of the gradient on purpose.
self_adjusting_dice.exact_with = {"detach": False}  # type: ignore[attr-defined]
