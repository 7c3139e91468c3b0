"""Terms over the outputs of heads: values, denominators and gradients, by plain autograd on small arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.reduce import Value, coefficients, denominators, portions_of
from lossmith.losses.shapes import Bool, Float, Int
from lossmith.losses.statistics import Statistics
from lossmith.losses.terms import Term
from lossmith.losses.weighting import require_numbers

# What a model gives; the truth beside it is known before any forward pass.
MADE_BY_THE_MODEL = ("logits", "queries", "predictions")
BY_EXAMPLE = ("logits", "labels", "predictions", "targets", "present", "groups", "keep")


@dataclass(frozen=True)
class Outputs:
    """What the heads of a model give for the examples of a micro-batch, and the truth beside it.

    logits (examples, classes) with labels (examples,) of int64, or (examples, labels) with labels of that shape, 0 to
    1. queries (queries, width): parameters of the head, the same for all examples. predictions and targets (examples,
    slots), or (examples,) for one slot; present, bool of that shape: the slots whose target is known, all when not
    given. groups (examples,), int64: the place of each example's group among the names that the weights were counted
    for, -1 for none. keep (examples,), bool: the others leave before any loss sees them. tasks: for each task that
    by_task names, the examples of it, bool (examples,).

    Raises InputError where the numbers of examples differ and where a mask is none.

    >>> Outputs(labels=torch.tensor([1, 0, 2]), keep=torch.tensor([True, True, False])).examples
    3
    """

    logits: Float[Tensor, "examples classes"] | None = None
    labels: Tensor | None = None
    queries: Float[Tensor, "queries width"] | None = None
    predictions: Float[Tensor, "examples ..."] | None = None
    targets: Float[Tensor, "examples ..."] | None = None
    present: Bool[Tensor, "examples ..."] | None = None
    groups: Int[Tensor, " examples"] | None = None
    keep: Bool[Tensor, " examples"] | None = None
    tasks: Mapping[str, Bool[Tensor, " examples"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_task = {f"task {name}": mask for name, mask in self.tasks.items()}
        sizes = {name: len(held) for name, held in {**self.given(BY_EXAMPLE), **by_task}.items()}
        if len(set(sizes.values())) > 1:
            raise InputError(
                "the outputs are not of the same examples",
                got=", ".join(f"{name} of {size}" for name, size in sizes.items()),
                expected="one number of examples",
            )
        for name, mask in {**self.given(("present", "keep")), **by_task}.items():
            if mask.dtype != torch.bool:
                raise InputError(f"'{name}' is no mask", got=mask.dtype, expected="torch.bool")

    def given(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Those of the named fields that are there."""
        return {name: held for name in names if (held := getattr(self, name)) is not None}

    @property
    def examples(self) -> int:
        """How many examples there are. Raises InputError where nothing tells."""
        for held in self.given(BY_EXAMPLE).values():
            return len(held)
        raise InputError(
            "nothing tells how many examples the micro-batch has, which its terms are counted by",
            got=", ".join(self.given(MADE_BY_THE_MODEL)) or "no outputs",
            expected="labels or targets beside them",
        )

    def read_by(self, term: Term) -> Outputs:
        """The examples that a term reads: those kept, of its tasks, with `present` filled in."""
        present = self.present
        if present is None and self.targets is not None:
            present = torch.ones_like(self.targets, dtype=torch.bool)
        held: dict[str, Any] = replace(self, present=present).given(BY_EXAMPLE)
        keep = held.pop("keep", None)
        for task, inside in ((term.task, True), *((task, False) for task in term.other_than)):
            if task is None:
                continue
            if task not in self.tasks:
                raise InputError(
                    f"the term '{term.name}' is told apart by the task '{task}', which the outputs do not name",
                    got=", ".join(self.tasks) or "no tasks",
                    expected=f"tasks={{'{task}': mask}}",
                )
            mask = self.tasks[task] if inside else ~self.tasks[task]
            keep = mask if keep is None else keep & mask
        if keep is not None:
            held = {name: tensor[keep] for name, tensor in held.items()}
        return Outputs(queries=self.queries, **held)

    def of_group(self, place: int) -> Outputs:
        """The examples whose group has this place; queries belong to all."""
        assert self.groups is not None
        own = self.groups == place
        held: dict[str, Any] = {name: tensor[own] for name, tensor in self.given(BY_EXAMPLE).items()}
        return Outputs(queries=self.queries, **held)


def count_outputs(terms: Sequence[Term], outputs: Outputs) -> dict[str, float]:
    """The denominators of each term for these examples; needs labels, targets, present, groups and keep alone."""
    counts: dict[str, float] = {}
    for term in terms:
        counts |= _counts(term, outputs.read_by(term))
    return counts


def evaluate_outputs(
    terms: Sequence[Term], outputs: Outputs, counts: Mapping[str, float | int | Tensor] | None
) -> Value:
    """The weighted sum of the terms; every operation is seen by autograd.

    Raises InputError for outputs that a term reads and that are not given, and shapes that do not fit.
    """
    read = [outputs.read_by(term) for term in terms]
    own: dict[str, float] = {}
    for term, its in zip(terms, read, strict=True):
        own |= _counts(term, its)
    divisors = denominators(terms, own, counts)
    portions = {term.name: portions_of(term, divisors) for term in terms}
    device = next(iter(outputs.given([*MADE_BY_THE_MODEL, *BY_EXAMPLE]).values())).device
    # Autocast would take the logarithms and products of a loss back to 16 bits.
    with torch.autocast(device.type, enabled=False):
        sums = torch.cat([_sums(term, its, own) for term, its in zip(terms, read, strict=True)])
        total = (coefficients(portions, terms, like=sums) * sums).sum()
    return Value(
        total=total,
        sums=dict(zip(own, sums.detach().unbind(), strict=True)),
        counts={name: torch.tensor(count, dtype=torch.float64) for name, count in own.items()},
        portions=portions,
    )


def norms_on_outputs(
    terms: Sequence[Term],
    outputs: Outputs,
    *,
    hidden: Tensor | None,
    counts: Mapping[str, float | int | Tensor] | None,
) -> dict[str, float]:
    """Norm of each term's weighted gradient on the hidden states that the outputs were made from.

    On the outputs themselves where no hidden states are given, and for a term that does not reach them because it
    reads parameters alone. Terms without a unit of their denominator here are left out.
    """
    norms: dict[str, float] = {}
    for term in terms:
        if not any(count_outputs([term], outputs).values()):
            continue
        own = None if counts is None else {name: counts[name] for name in term.components}
        with torch.enable_grad():
            gradient = None
            total = evaluate_outputs([term], outputs, own).total
            if hidden is not None and total.requires_grad:
                (gradient,) = torch.autograd.grad(total, hidden, retain_graph=True, allow_unused=True)
            found = [gradient] if gradient is not None else _gradients_on_outputs(term, outputs, own)
        norms[term.name] = float(torch.stack([each.float().norm() for each in found]).norm())
    return norms


def _gradients_on_outputs(
    term: Term, outputs: Outputs, counts: Mapping[str, float | int | Tensor] | None
) -> Sequence[Tensor]:
    made = outputs.given([need for need in term.needs if need in MADE_BY_THE_MODEL])
    leaves: dict[str, Any] = {name: held.detach().requires_grad_() for name, held in made.items()}
    total = evaluate_outputs([term], replace(outputs, **leaves), counts).total
    return torch.autograd.grad(total, list(leaves.values()))


def _counts(term: Term, read: Outputs) -> dict[str, float]:
    """The denominators of a term's components."""
    if term.weights_by is None:
        return {term.name: _count(term, read)}
    places = _places(term, read)
    present = set(places.tolist())
    placed = replace(read, groups=places)
    return {
        component: _count(term, placed.of_group(place)) if place in present else 0.0
        for place, component in enumerate(term.components)
    }


def _places(term: Term, read: Outputs) -> Int[Tensor, " examples"]:
    if term.groups is None:
        raise InputError(
            f"the groups of the term '{term.name}' were not counted on the training split",
            got=f"weights_by: {term.weights_by}",
            expected="their numbers of records",
            fix="objective, facts = objective.grouped_by(counts, names)",
        )
    if read.groups is None:
        raise InputError(
            f"the term '{term.name}' weighs examples by group, which the outputs do not hold",
            got="no groups",
            expected="groups of int64 (examples,), -1 for none",
        )
    return term.groups.place_of(read.groups)


def _count(term: Term, read: Outputs) -> float:
    if term.reads == "tokens":
        raise InputError(
            f"the term '{term.name}' reads tokens, not the outputs of a head",
            got="Outputs",
            expected="objective(hidden, head, labels)",
            fix="objective.split() gives an objective for tokens and one for outputs; their values can be added",
        )
    require_numbers(term.name, term.params)
    if not read.examples:
        return 0.0
    counted = getattr(term.function, "count", None)
    if counted is not None:
        truth = [need for need in term.needs if need not in MADE_BY_THE_MODEL]
        return float(counted(_statistics(term, read, truth), **term.params))
    return 1.0 if term.unit == "set" else float(read.examples)


def _sums(term: Term, read: Outputs, counts: Mapping[str, float]) -> Float[Tensor, " components"]:
    stats = _statistics(term, read, term.needs)
    if not read.examples:
        made = [held[:0].sum() for name, held in vars(stats).items() if name in MADE_BY_THE_MODEL]
        return torch.stack(made).sum().repeat(len(term.components))
    shape, of = ((read.examples,), "each example") if term.kind == "separable" else ((), "all examples together")
    values = term.values(stats, shape=shape, of=of)
    if term.weights_by is not None:
        return values.new_zeros(len(term.components)).index_add(0, _places(term, read), values)
    # One value for all examples stands for each unit of its denominator.
    return (values.sum() if term.kind == "separable" else values * counts[term.name])[None]


def _statistics(term: Term, read: Outputs, names: Sequence[str]) -> Statistics:
    given = read.given(names)
    if missing := [name for name in names if name not in given]:
        raise InputError(
            f"the term '{term.name}' reads {' and '.join(missing)}, which the outputs do not hold",
            got=", ".join(read.given([*MADE_BY_THE_MODEL, *BY_EXAMPLE])),
            expected=", ".join(names),
        )
    wide = {
        name: held.to(torch.promote_types(held.dtype, torch.float32)) if name in MADE_BY_THE_MODEL else held
        for name, held in given.items()
    }
    return Statistics(**wide)
