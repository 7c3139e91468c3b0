"""What every loss must hold, tried on made-up inputs: the same laws for the losses of the table and for one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from lossmith.errors import LossmithError
from lossmith.losses.terms import Term, read_terms
from lossmith.losses.trials import SPAN, Trial, as_tried, make_trial, try_once
from lossmith.names import LOSSES, find_loss

EXACT = 1e-9  # relative, in float64
RANGE_SLACK = 1e-4
DEAD_SHARE = 1e-4
SPREADS = (0.01, 1.0, 30.0, 300.0)  # of what a model gives: undecided to certain


@dataclass(frozen=True)
class Verdict:
    """What became of one law; `passed` is None where the loss does not promise it."""

    law: str
    passed: bool | None
    reason: str


def term_to_check(loss: str, parameters: Mapping[str, Any]) -> Term:
    """A term of a loss of the table, or of module:function, with these parameters, as the laws try it.

    Raises InputError where it cannot be read.

    >>> term_to_check("focal", {"gamma": 1.0}).params
    {'gamma': 1.0}
    """
    # A loss without a default span must be given one.
    given = {"span": SPAN} if ":" not in loss and find_loss(loss).reads == "tokens" else {}
    (term,) = read_terms({loss: {"loss": loss, **parameters, **given}})
    return as_tried(term)


def check_loss(term: Term) -> list[Verdict]:
    """Try every law of LAWS on a term of `term_to_check`; where the loss cannot be called at all, the first alone.

    >>> [verdict.law for verdict in check_loss(term_to_check("focal", {})) if verdict.passed is not True]
    []
    """
    found = []
    for law, holds in LAWS.items():
        try:
            passed, reason = holds(term)
        except LossmithError as error:
            passed, reason = False, " ".join(str(error).split())
        except Exception as error:
            passed, reason = False, f"{type(error).__name__}: {error}"
        found.append(Verdict(law, passed, reason))
        if law == "shape" and not passed:
            break
    return found


Found = tuple[bool | None, str]


def _shape(term: Term) -> Found:
    try_once(term)
    return True, f"a number for each {'position' if _by_position(term) else 'example'}, from {', '.join(term.needs)}"


def _gradient(term: Term) -> Found:
    exact = getattr(term.function, "exact_with", {})
    tried = replace(term, params={**term.params, **exact})
    trial = make_trial(tried, 9)

    first, *rest = trial.leaves

    def total(leaf: Tensor) -> Tensor:
        return trial.with_leaves((leaf, *rest)).value(tried, dense=True).total

    try:
        torch.autograd.gradcheck(total, first)
    except GradcheckError:
        said = float(_computed(trial, tried, dense=True)[1].sum())
        step = 1e-6
        differences = float((total(first + step) - total(first - step)).detach()) / (2 * step)
        return False, f"moved by one step the value changes by {differences:.6g} of it, the gradient says {said:.6g}"
    told = f" with {', '.join(f'{k}={v}' for k, v in exact.items())}" if exact else ""
    return True, f"the slope of the value by differences in float64 (torch.autograd.gradcheck){told}"


def _alive(term: Term) -> Found:
    # A cross-entropy has a gradient of about 1 / sqrt(units).
    largest = 0.0
    for spread in (0.01, 1.0, 3.0):
        trial = make_trial(term, spread=spread)
        _, *slopes = _computed(trial, term)
        norm = math.sqrt(sum(float(slope.square().sum()) for slope in slopes))
        largest = max(largest, norm * math.sqrt(trial.units))
    alive = largest >= DEAD_SHARE
    return alive, f"a gradient up to {largest:.2g} of a cross-entropy's" + ("" if alive else ": it would train nothing")


def _padding(term: Term) -> Found:
    trial = make_trial(term)
    padded, places = trial.with_unread()
    expected = _computed(trial, term, at=places, of=padded)
    error = _largest_error(_computed(padded, term), expected)
    return error < EXACT, f"value and gradient change by {error:.1g} among as many that are not read"


def _permutation(term: Term) -> Found:
    trial = make_trial(term)
    order = torch.randperm(trial.units, generator=torch.Generator().manual_seed(1))
    error = _largest_error(_computed(trial.take(order), term, at=order, of=trial), _computed(trial, term))
    return error < EXACT, f"value and gradient change by {error:.1g} in another order"


def _range(term: Term) -> Found:
    row = LOSSES.get(term.loss)
    low, high = (getattr(row or term.function, side, None) for side in ("low", "high"))
    if low is None and high is None:
        return None, "the function declares no `low` and no `high`"
    low, high = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    values = [_values(make_trial(term, dtype=torch.float32, spread=spread), term).flatten() for spread in SPREADS]
    least, most = (float(getattr(torch.cat(values), side)()) for side in ("min", "max"))
    inside = low - RANGE_SLACK <= least and most <= high + RANGE_SLACK
    return inside, f"values from {least:.4g} to {most:.4g}, declared {low:g} to {high:g}"


def _empty(term: Term) -> Found:
    nothing = make_trial(term).take(torch.arange(0))
    value = nothing.value(term)
    slopes = torch.autograd.grad(value.total, nothing.leaves)
    total, counted = float(value.total.detach()), float(value.counts[term.name])
    zero = total == 0 and counted == 0 and not any(bool(slope.any()) for slope in slopes)
    return zero, f"value {total:g}, count {counted:g}, {'a' if zero else 'no'} gradient of zeros"


def _dtype(term: Term) -> Found:
    for dtype in (torch.float32, torch.bfloat16):
        for spread in SPREADS:
            total, *slopes = _computed(make_trial(term, dtype=dtype, spread=spread), term)
            for what, held in (("value", total), *(("gradient", slope) for slope in slopes)):
                if not bool(torch.isfinite(held).all()):
                    return False, f"the {what} is not finite in {dtype} where the model gives numbers about {spread:g}"
    return True, "finite in float32 and bfloat16, from undecided to certain predictions"


def _engine(term: Term) -> Found:
    if term.reads != "tokens":
        return None, "the outputs of a head are not tiled"
    trial = make_trial(term)
    error = _largest_error(_computed(trial, term), _computed(trial, term, dense=True))
    return error < EXACT, f"tile by tile value and gradient differ by {error:.1g} from all logits at once"


def _counting(term: Term) -> Found:
    if term.unit == "set":
        return None, "exact within a micro-batch only (scope batch)"
    trial = make_trial(term)
    window, parts = trial.counts(term), _cut(trial)
    found = [_computed(trial.take(part), term, at=part, of=trial, counts=window) for part in parts]
    added = [torch.stack(each).sum(0) for each in zip(*found, strict=True)]
    error = _largest_error(added, _computed(trial, term))
    return error < EXACT, f"value and gradient change by {error:.1g} when the batch is cut into {len(parts)}"


def _independence(term: Term) -> Found:
    if term.unit == "set":
        return None, "looks at all examples of a micro-batch together (scope batch)"
    trial = make_trial(term)
    whole, parts = _values(trial, term), _cut(trial)
    if whole.ndim == 0:
        return None, "reads parameters alone"
    found = torch.cat([_values(trial.take(part), term) for part in parts])
    if len(whole) == trial.units:
        expected, each = whole[torch.cat(parts)], "position" if _by_position(term) else "example"
    else:
        # Parts hold whole examples, in the order of their ids, as values are.
        expected, each = whole, "example"
    error = _error(found, expected)
    return error < EXACT, f"the value of each {each} changes by {error:.1g} when others leave"


# In the order they are tried: the first says whether the others can be.
LAWS: Mapping[str, Callable[[Term], Found]] = {
    "shape": _shape,
    "gradient": _gradient,
    "alive": _alive,
    "padding": _padding,
    "permutation": _permutation,
    "range": _range,
    "empty": _empty,
    "dtype": _dtype,
    "engine": _engine,
    "counting": _counting,
    "independence": _independence,
}


def _by_position(term: Term) -> bool:
    return term.reads == "tokens" and term.kind == "separable"


def _cut(trial: Trial) -> list[Tensor]:
    """Units of the first example, and of the others: micro-batches of whole examples."""
    first = torch.unique(trial.example)[0]
    return [(trial.example == first).nonzero()[:, 0], (trial.example != first).nonzero()[:, 0]]


def _computed(
    trial: Trial,
    term: Term,
    *,
    at: Tensor | None = None,
    of: Trial | None = None,
    counts: Mapping[str, float] | None = None,
    dense: bool = False,
) -> list[Tensor]:
    """Total and gradients; those of the units put in their places `at` among the units `of` another trial."""
    total = trial.value(term, counts=counts, dense=dense).total
    first, *rest = torch.autograd.grad(total, trial.leaves, allow_unused=True, materialize_grads=True)
    if at is not None and of is not None and trial.by_unit:
        first = first.new_zeros(of.units, first.shape[1]).index_copy(0, at, first)
    return [total.detach(), first, *rest]


def _values(trial: Trial, term: Term) -> Tensor:
    """What the function returns, before it is added up."""
    seen: list[Tensor] = []

    def remembered(stats: Any, **parameters: Any) -> Tensor:
        values = term.function(stats, **parameters)
        seen.append(values.detach())
        return values

    remembered.__dict__.update(vars(term.function))
    trial.value(replace(term, function=remembered), dense=True)
    return seen[0]


def _largest_error(found: Sequence[Tensor], true: Sequence[Tensor]) -> float:
    return max(_error(one, other) for one, other in zip(found, true, strict=True))


def _error(found: Tensor, true: Tensor) -> float:
    """Norm of the difference over the norm of the truth, or over 1e-3 where that is smaller."""
    return float((found - true).norm() / true.norm().clamp_min(1e-3))
