"""Sums to values: the one place of a call where a term's sum meets its denominator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lossmith.errors import InputError, nearest
from lossmith.losses.shapes import Float
from lossmith.losses.terms import Term


@dataclass(frozen=True)
class Value:
    """What an objective returns.

    `total` is the weighted sum of the terms over their denominators; backward reaches the hidden states and the
    head. `sums` and `counts` are each term's own, unweighted, of this call, so that many calls can be added and
    divided once. `notes` holds further figures of a term, such as the marginal error of sinkhorn.
    """

    total: Float[Tensor, ""]
    sums: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
    denominators: Mapping[str, float]
    notes: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, float]:
        """Each term's unweighted value: its sum over the denominator in use, 0 where it reads no position.

        With the denominators of a window, the parts of its calls add up to the value of the window. Reading waits
        for the device.
        """
        return {
            name: float(total) / self.denominators[name] if self.denominators[name] else 0.0
            for name, total in self.sums.items()
        }

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
            denominators={**self.denominators, **other.denominators},
            notes={**self.notes, **other.notes},
        )


def denominators(
    terms: Sequence[Term], own: Mapping[str, float], given: Mapping[str, float | int | Tensor] | None
) -> dict[str, float]:
    """The denominators of a call: those given, of a whole window, or else its own.

    Raises InputError where a given one is missing, or is 0 although the term reads positions here.
    """
    if given is None:
        return dict(own)
    for term in terms:
        if term.name not in given:
            near = nearest(term.name, given)
            raise InputError(
                f"counts has no denominator for the term '{term.name}'",
                got=", ".join(given) or "none",
                expected=", ".join(each.name for each in terms),
                fix=f"did you mean '{near}'?" if near else None,
            )
        if own[term.name] > 0 and not float(given[term.name]) > 0:
            raise InputError(
                f"the denominator given for the term '{term.name}' is not above 0",
                got=float(given[term.name]),
                expected=f"{own[term.name]:g} or more, the units of this call among them",
            )
    return {term.name: float(given[term.name]) for term in terms}


def coefficients(terms: Sequence[Term], divisors: Mapping[str, float], *, like: Tensor) -> Float[Tensor, " terms"]:
    """What each term's sum is multiplied by in the total: weight over denominator, 0 where nothing is counted."""
    values = [t.weight / divisors[t.name] if divisors[t.name] else 0.0 for t in terms]
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def shares_of_norms(norms: Mapping[str, float]) -> dict[str, float]:
    """Each term's gradient norm over the sum of them, 0 where nothing has a gradient.

    >>> shares_of_norms({"cross_entropy": 3.0, "focal": 1.0})
    {'cross_entropy': 0.75, 'focal': 0.25}
    """
    together = sum(norms.values())
    return {name: norm / together if together > 0 else 0.0 for name, norm in norms.items()}
