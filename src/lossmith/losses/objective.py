"""The weighted sum of terms that a run minimises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.autograd import Call, tiled
from lossmith.losses.dense import dense
from lossmith.losses.formulas import Embeddings, embedding_scale
from lossmith.losses.groups import count_groups
from lossmith.losses.head import Head, product_dtype, statistic_dtype
from lossmith.losses.outputs import Outputs, count_outputs, evaluate_outputs, norms_on_outputs
from lossmith.losses.reading import Plan, count_units, make_plan, read_mask
from lossmith.losses.reduce import Portion, Value, coefficients, denominators, portions_of, shares_of_norms
from lossmith.losses.shapes import Bool, Float, Int
from lossmith.losses.terms import Term, read_terms
from lossmith.losses.weighting import LabelCounts, count_weights

GivenEmbeddings = Tensor | tuple[Tensor, float | int | Tensor]


class Objective:
    """A weighted sum of losses, each over the spans it reads.

    `terms` maps a loss (or a name of one's own, with the key `loss`) to its weight, or to a mapping of weight, span
    and the loss's own parameters. A span is a name, or a list of names that add up, where -name takes away.
    `by_task: {maths: {...}}` holds the terms of a task, called maths.NAME and counted over its positions alone; the
    terms beside it are for the positions of all other tasks. A call is told a task's positions by a span `task:maths`.
    `tile_bytes` bounds the logits held at once; by default it follows from device, free memory, vocabulary and dtype.

    Raises InputError (a ValueError) for what does not exist, is out of range, or has a negative weight. A term of
    weight 0 is left out with a warning.

    >>> objective = Objective({"cross_entropy": 1.0})
    >>> hidden = torch.zeros(2, 3, requires_grad=True)
    >>> value = objective(hidden, Head(torch.zeros(4, 3)), torch.tensor([1, 2]))
    >>> round(value.parts["cross_entropy"], 4)
    1.3863
    >>> value.total.backward()
    """

    def __init__(self, terms: Mapping[str, float | int | Mapping[str, Any]], *, tile_bytes: int | None = None) -> None:
        self.terms: tuple[Term, ...] = read_terms(terms)
        if tile_bytes is not None and not tile_bytes > 0:
            raise InputError("tile_bytes is no amount of memory", got=tile_bytes, expected="a number above 0, or None")
        self.tile_bytes = tile_bytes

    @classmethod
    def of(cls, terms: Iterable[Term], *, tile_bytes: int | None = None) -> Objective:
        """An objective of terms that another one has read."""
        objective = cls.__new__(cls)
        objective.terms, objective.tile_bytes = tuple(terms), tile_bytes
        return objective

    @property
    def needs_embeddings(self) -> bool:
        """Whether a term reads expected embeddings, so that calls must give `embeddings`."""
        return any("expected_embedding" in term.needs for term in self.terms)

    @property
    def span_names(self) -> tuple[str, ...]:
        """All spans that a term names, taken away or added, sorted."""
        return tuple(sorted({name.removeprefix("-") for term in self.terms for name in term.span}))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that by_task names, in its order; calls must give the span `task:NAME` of each."""
        own = [term.task for term in self.terms if term.task is not None]
        return tuple(dict.fromkeys([*own, *(name for term in self.terms for name in term.other_than)]))

    def reads(
        self, labels: Int[Tensor, " positions"], spans: Mapping[str, Tensor] | None = None
    ) -> Bool[Tensor, " positions"]:
        """The positions that a term reads; the others leave before the first product."""
        masks = [read_mask(term, spans or {}, labels)[0] for term in self.terms]
        return torch.stack(masks).any(0)

    def counts(
        self,
        labels: Int[Tensor, " positions"],
        spans: Mapping[str, Tensor] | None = None,
        examples: Int[Tensor, " positions"] | None = None,
    ) -> dict[str, float]:
        """The denominators that a call with these positions would use, to be added over a window.

        positions (token), examples with positions (example), or 1 (set) for each term; 0 where it reads none.
        """
        found: dict[str, float] = {}
        for term in self.terms:
            mask, _ = read_mask(term, spans or {}, labels)
            positions = int(mask.sum())
            present = min(positions, 1)
            if term.unit == "example" and examples is not None:
                present = torch.unique(examples[mask]).numel()
            found[term.name] = float(count_units(term, positions, present))
        return found

    def __call__(
        self,
        hidden: Float[Tensor, "positions width"],
        head: Head,
        labels: Int[Tensor, " positions"],
        *,
        spans: Mapping[str, Tensor] | None = None,
        examples: Int[Tensor, " positions"] | None = None,
        embeddings: GivenEmbeddings | None = None,
        counts: Mapping[str, float | int | Tensor] | None = None,
    ) -> Value:
        """The objective on hidden states already aligned with the labels they predict.

        spans: (positions,) by name, a boolean mask or int64 item numbers with -1 outside; `answer`, when not given,
        is all positions; `task:NAME` are those of a task that by_task names. examples: (positions,) int64, any ids; one
        example when not given. embeddings: a matrix (vocab, width), or (matrix, scale). counts: the denominators of
        an accumulation window, by term.

        Under torch.no_grad values alone are computed. Never holds positions x vocab. Raises InputError for a
        missing span, shapes that do not fit, and labels outside the vocabulary.
        """
        plan, given = self._prepare(hidden, labels, spans=spans, examples=examples, embeddings=embeddings)
        _check_head(hidden, head, labels=plan.labels, embeddings=given)
        rows = hidden if plan.kept is None else hidden[plan.kept]
        like = torch.empty(0, dtype=statistic_dtype(product_dtype(hidden, head.weight)), device=hidden.device)
        own, portions = self._portions(plan, counts)
        factors = coefficients(portions, self.terms, like=like)
        total, sums, notes = tiled(rows, Call(head, plan, factors, given, self.tile_bytes))
        return self._value(total, sums, own=own, portions=portions, notes=notes)

    def dense(
        self,
        hidden: Float[Tensor, "positions width"],
        head: Head | Callable[[Tensor], Tensor],
        labels: Int[Tensor, " positions"],
        *,
        spans: Mapping[str, Tensor] | None = None,
        examples: Int[Tensor, " positions"] | None = None,
        embeddings: GivenEmbeddings | None = None,
        counts: Mapping[str, float | int | Tensor] | None = None,
    ) -> Value:
        """The same value from all logits at once, for a head that is no matrix or for second derivatives.

        `head` may be any function of hidden states (rows, width) that returns logits (rows, vocab). Holds several
        arrays of positions x vocab.
        """
        plan, given = self._prepare(hidden, labels, spans=spans, examples=examples, embeddings=embeddings)
        if isinstance(head, Head):
            _check_head(hidden, head, labels=plan.labels, embeddings=given)
        rows = hidden if plan.kept is None else hidden[plan.kept]
        own, portions = self._portions(plan, counts)
        like = torch.empty(0, dtype=torch.float64, device=hidden.device)
        factors = coefficients(portions, self.terms, like=like)
        total, sums, notes = dense(rows, head, plan, coefficients=factors, embeddings=given)
        return self._value(total, sums, own=own, portions=portions, notes=notes)

    def shares(
        self,
        hidden: Float[Tensor, "positions width"],
        head: Head | Callable[[Tensor], Tensor],
        labels: Int[Tensor, " positions"],
        *,
        spans: Mapping[str, Tensor] | None = None,
        examples: Int[Tensor, " positions"] | None = None,
        embeddings: GivenEmbeddings | None = None,
        counts: Mapping[str, float | int | Tensor] | None = None,
    ) -> dict[str, float]:
        """Each term's share of the gradient: the norm of its weighted gradient on hidden over the sum of the norms.

        A head that is a function is taken as `dense` takes it. Terms that read no position here are left out. Costs one
        forward pass per term; leaves no gradient behind.
        """
        frozen = head
        if isinstance(head, Head):
            frozen = replace(head, weight=head.weight.detach(), bias=None if head.bias is None else head.bias.detach())
        norms: dict[str, float] = {}
        for name, count in self.counts(labels, spans, examples).items():
            if count == 0:
                continue
            leaf = hidden.detach().requires_grad_()
            alone = Objective.of((term for term in self.terms if term.name == name), tile_bytes=self.tile_bytes)
            with torch.enable_grad():
                call: Callable[..., Value] = alone if isinstance(frozen, Head) else alone.dense
                value = call(leaf, frozen, labels, spans=spans, examples=examples, embeddings=embeddings, counts=counts)
                (gradient,) = torch.autograd.grad(value.total, leaf)
            norms[name] = float(gradient.to(torch.promote_types(gradient.dtype, torch.float32)).norm())
        return shares_of_norms(norms)

    def split(self) -> tuple[Objective | None, Objective | None]:
        """The terms that read tokens, and those that read the outputs of heads, each as an objective, None without any.

        A multitask model evaluates both and adds their values.
        """
        tokens = tuple(term for term in self.terms if term.reads == "tokens")
        outputs = tuple(term for term in self.terms if term.reads != "tokens")
        one, other = (Objective.of(each, tile_bytes=self.tile_bytes) if each else None for each in (tokens, outputs))
        return one, other

    def weighted_by(self, counts: LabelCounts) -> tuple[Objective, dict[str, list[dict[str, Any]]]]:
        """The objective with weights that are named by a rule counted, and by term what the manifest keeps of them.

        `counts` are of the training split. Raises DataError for a class or label without examples; see
        weights_from_counts.
        """
        terms, facts = [], {}
        for term in self.terms:
            params, counted = count_weights(term.params, counts)
            terms.append(replace(term, params=params))
            if counted:
                facts[term.name] = counted
        return Objective.of(terms, tile_bytes=self.tile_bytes), facts

    def grouped_by(
        self, counts: Mapping[tuple[str | None, str | None], int], names: Sequence[str]
    ) -> tuple[Objective, dict[str, dict[str, Any]]]:
        """The objective with its weights by group counted, and by term what the manifest keeps of them.

        `counts` are training records by (task, group); `names` are the groups in the order of Outputs.groups. Raises
        DataError where a term weighs by group and none of its records has one.
        """
        terms = [
            replace(
                term,
                groups=count_groups(
                    counts,
                    names,
                    task=term.task,
                    other_than=term.other_than,
                    step_size=term.group_step_size if term.weights_by == "worst_group" else None,
                ),
            )
            if term.weights_by
            else term
            for term in self.terms
        ]
        facts = {term.name: term.groups.facts() for term in terms if term.groups is not None}
        return Objective.of(terms, tile_bytes=self.tile_bytes), facts

    def counts_on_outputs(self, outputs: Outputs) -> dict[str, float]:
        """The denominators that on_outputs would use, to be added over a window.

        Read from labels, targets, present, keep and tasks alone, so that a window can be counted before its first
        forward pass.
        """
        return count_outputs(self.terms, outputs)

    def on_outputs(self, outputs: Outputs, *, counts: Mapping[str, float | int | Tensor] | None = None) -> Value:
        """The objective on what the heads of a model gave; backward reaches them.

        counts: the denominators of an accumulation window, by term. Computed in fp32 at least. Raises InputError for
        outputs that a term reads and that are not given, and shapes that do not fit.

        >>> outputs = Outputs(logits=torch.zeros(2, 4, requires_grad=True), labels=torch.tensor([0, 3]))
        >>> value = Objective({"class_cross_entropy": 1.0}).on_outputs(outputs)
        >>> round(value.parts["class_cross_entropy"], 4)
        1.3863
        """
        return evaluate_outputs(self.terms, outputs, counts)

    def shares_on_outputs(
        self,
        outputs: Outputs,
        hidden: Tensor | None = None,
        *,
        counts: Mapping[str, float | int | Tensor] | None = None,
    ) -> dict[str, float]:
        """Each term's share of the gradient on the hidden states that the outputs were made from.

        On the outputs themselves where `hidden` is not given, and for a term that reads parameters alone. Terms
        without a unit of their denominator here are left out; the graph behind the outputs is kept.
        """
        return shares_of_norms(norms_on_outputs(self.terms, outputs, hidden=hidden, counts=counts))

    def _prepare(
        self,
        hidden: Tensor,
        labels: Tensor,
        *,
        spans: Mapping[str, Tensor] | None,
        examples: Tensor | None,
        embeddings: GivenEmbeddings | None,
    ) -> tuple[Plan, Embeddings | None]:
        if hidden.ndim != 2 or labels.shape != hidden.shape[:1]:
            raise InputError(
                "hidden states and labels do not fit",
                got=f"hidden {tuple(hidden.shape)}, labels {tuple(labels.shape)}",
                expected="(positions, width) and (positions,)",
            )
        if examples is not None and examples.shape != labels.shape:
            raise InputError("examples and labels do not fit", got=tuple(examples.shape), expected=tuple(labels.shape))
        if not self.needs_embeddings:
            return make_plan(self.terms, labels, spans=spans or {}, examples=examples), None
        if embeddings is None:
            names = ", ".join(t.name for t in self.terms if "expected_embedding" in t.needs)
            raise InputError(
                f"the terms {names} need embeddings", got="none", expected="embeddings=(matrix, scale), or a matrix"
            )
        matrix, scale = (embeddings, None) if isinstance(embeddings, Tensor) else embeddings
        with torch.no_grad():
            given = Embeddings(matrix.detach(), embedding_scale(matrix) if scale is None else scale)
        return make_plan(self.terms, labels, spans=spans or {}, examples=examples), given

    def _portions(
        self, plan: Plan, counts: Mapping[str, float | int | Tensor] | None
    ) -> tuple[dict[str, float], dict[str, list[Portion]]]:
        own = {reading.term.name: reading.count for reading in plan.readings}
        divisors = denominators(self.terms, own, counts)
        return own, {term.name: portions_of(term, divisors) for term in self.terms}

    def _value(
        self,
        total: Tensor,
        sums: Tensor,
        *,
        own: Mapping[str, float],
        portions: Mapping[str, list[Portion]],
        notes: Mapping[str, Mapping[str, Tensor]],
    ) -> Value:
        names = [term.name for term in self.terms]
        return Value(
            total=total,
            sums=dict(zip(names, sums.unbind(), strict=True)),
            counts={name: torch.tensor(own[name], dtype=torch.float32) for name in names},
            portions=portions,
            notes=notes,
        )


def _check_head(hidden: Tensor, head: Head, *, labels: Tensor, embeddings: Embeddings | None) -> None:
    vocab, width = head.weight.shape
    if hidden.shape[1] != width:
        raise InputError("hidden states and head do not fit", got=f"width {hidden.shape[1]}", expected=f"width {width}")
    if labels.numel() and not (int(labels.amin()) >= 0 and int(labels.amax()) < vocab):
        raise InputError(
            "a label that a term reads lies outside the vocabulary",
            got=f"{int(labels.amin())} to {int(labels.amax())}",
            expected=f"0 to {vocab - 1}",
            fix="leave ignored positions out, or out of every span that a term reads",
        )
    if embeddings is not None and embeddings.matrix.shape[0] != vocab:
        raise InputError(
            "embeddings and head have different vocabularies",
            got=f"{embeddings.matrix.shape[0]} rows",
            expected=f"{vocab} rows",
        )
