"""Sums to values: the one place of a call where a term's sum meets its denominator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lossmith.errors import InputError, nearest
from lossmith.losses.shapes import Float
from lossmith.losses.terms import Term


class Portion(NamedTuple):
    """A component of a term: its sum enters the term's value times `weight`, divided by `divisor` (0: not at all)."""

    component: str
    weight: float
    divisor: float


@dataclass(frozen=True)
class Value:
    """What an objective returns.

    `total` is the weighted sum of the terms over their denominators; backward reaches the hidden states and the
    head. `sums` and `counts` are each term's own, unweighted, of this call, by its components (one, of the term's name,
    unless it weighs examples by group), so that many calls can be added and divided once. `portions` says for each
    term how. `notes` holds further figures of a term, such as the marginal error of sinkhorn.
    """

    total: Float[Tensor, ""]
    sums: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
    portions: Mapping[str, Sequence[Portion]]
    notes: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, float]:
        """Each term's unweighted value: its sum over the denominator in use, 0 where it reads no position.

        With the denominators of a window, the parts of its calls add up to the value of the window. Reading waits
        for the device.
        """
        return {name: _add_up(portions, self.sums) for name, portions in self.portions.items()}

    def __add__(self, other: Value) -> Value:
        """The value of both objectives together, such as one over tokens and one over the outputs of heads.

        Raises InputError where both hold a term of one name.
        """
        if twice := sorted(self.sums.keys() & other.sums.keys()):
            raise InputError(
                "only values of different terms can be added",
                got=f"{', '.join(twice)} in both",
                expected="every term in one of them",
                fix="to add calls of one objective, add their sums and counts",
            )
        return Value(
            total=self.total + other.total,
            sums={**self.sums, **other.sums},
            counts={**self.counts, **other.counts},
            portions={**self.portions, **other.portions},
            notes={**self.notes, **other.notes},
        )


def denominators(
    terms: Sequence[Term], own: Mapping[str, float], given: Mapping[str, float | int | Tensor] | None
) -> dict[str, float]:
    """The denominators of a call, by component: those given, of a whole window, or else its own.

    Raises InputError where a given one is missing, or is 0 although the term reads positions here.
    """
    if given is None:
        return dict(own)
    names = [component for term in terms for component in term.components]
    for name in names:
        if name not in given:
            near = nearest(name, given)
            raise InputError(
                f"counts has no denominator for the term '{name}'",
                got=", ".join(given) or "none",
                expected=", ".join(names),
                fix=f"did you mean '{near}'?" if near else None,
            )
        if own[name] > 0 and not float(given[name]) > 0:
            raise InputError(
                f"the denominator given for the term '{name}' is not above 0",
                got=float(given[name]),
                expected=f"{own[name]:g} or more, the units of this call among them",
            )
    return {name: float(given[name]) for name in names}


def portions_of(term: Term, counts: Mapping[str, float]) -> list[Portion]:
    """How the components of a term make up its value, with these denominators.

    One component is divided by its count. By group all are divided by the weighted sum of their counts, so that an
    example of weight 2 is as good as two; by worst_group each is a mean of its own.
    """
    own = [float(counts.get(component, 0.0)) for component in term.components]
    if term.groups is None:
        return [Portion(term.name, 1.0, own[0])]
    weights = term.groups.weights
    together = sum(weight * count for weight, count in zip(weights, own, strict=True))
    divisors = own if term.weights_by == "worst_group" else [together] * len(own)
    return [Portion(*each) for each in zip(term.components, weights, divisors, strict=True)]


def value_of(term: Term, sums: Mapping[str, float | Tensor], counts: Mapping[str, float]) -> float | None:
    """A term's value from sums and counts of many calls; None where nothing was counted."""
    portions = portions_of(term, counts)
    return _add_up(portions, sums) if any(portion.divisor for portion in portions) else None


def by_group(
    terms: Sequence[Term], sums: Mapping[str, float | Tensor], counts: Mapping[str, float]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Of each term that weighs by group, what its groups weigh and their mean losses, None where none was counted."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for term in terms:
        if term.groups is None:
            continue
        own = found[term.name] = {}
        for name, weight, component in zip(term.groups.names, term.groups.weights, term.components, strict=False):
            count = float(counts.get(component, 0.0))
            own[name] = {"weight": weight, "value": float(sums[component]) / count if count else None}
    return found


def _add_up(portions: Sequence[Portion], sums: Mapping[str, float | Tensor]) -> float:
    held = [(float(sums[name]), weight, divisor) for name, weight, divisor in portions if divisor]
    return math.fsum(weight * total / divisor for total, weight, divisor in held)


def coefficients(
    portions: Mapping[str, Sequence[Portion]], terms: Sequence[Term], *, like: Tensor
) -> Float[Tensor, " components"]:
    """What the sum of each component is multiplied by in the total, in the order of the terms."""
    values = [
        term.weight * weight / divisor if divisor else 0.0
        for term in terms
        for _, weight, divisor in portions[term.name]
    ]
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def shares_of_norms(norms: Mapping[str, float]) -> dict[str, float]:
    """Each term's gradient norm over the sum of them, 0 where nothing has a gradient.

    >>> shares_of_norms({"cross_entropy": 3.0, "focal": 1.0})
    {'cross_entropy': 0.75, 'focal': 0.25}
    """
    together = sum(norms.values())
    return {name: norm / together if together > 0 else 0.0 for name, norm in norms.items()}
