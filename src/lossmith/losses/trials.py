"""Small made-up inputs on which one term is tried: positions of a few texts, or what a head gives for some examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.head import Head
from lossmith.losses.objective import Objective
from lossmith.losses.outputs import MADE_BY_THE_MODEL, Outputs
from lossmith.losses.reduce import Value
from lossmith.losses.terms import Term

SPAN = "part"
VOCABULARY, WIDTH, CLASSES = 13, 4, 3
TILE_BYTES = 5 * VOCABULARY * 8  # five positions of the made-up vocabulary in float64, so that a call has seams


@dataclass(frozen=True)
class Positions:
    """Hidden states and labels of some texts; every position is in the span, in one of three items of its text."""

    hidden: Tensor
    weight: Tensor
    labels: Tensor
    item: Tensor
    example: Tensor
    embeddings: tuple[Tensor, float]

    @property
    def units(self) -> int:
        """How many positions there are."""
        return len(self.labels)

    @property
    def by_unit(self) -> bool:
        """Whether the first leaf has a row for each position."""
        return True

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """What gradients are asked for."""
        return self.hidden, self.weight

    def value(self, term: Term, *, counts: Mapping[str, float] | None = None, dense: bool = False) -> Value:
        """The term on these positions."""
        objective = Objective.of((term,), tile_bytes=TILE_BYTES)
        call = objective.dense if dense else objective
        return call(
            self.hidden,
            Head(self.weight),
            self.labels,
            spans={SPAN: self.item},
            examples=self.example,
            embeddings=self.embeddings,
            counts=counts,
        )

    def counts(self, term: Term) -> dict[str, float]:
        """Its denominator here."""
        return Objective.of((term,)).counts(self.labels, {SPAN: self.item}, self.example)

    def take(self, index: Tensor) -> Self:
        """The positions of an index, in its order."""
        return replace(
            self,
            hidden=self.hidden.detach()[index].requires_grad_(),
            labels=self.labels[index],
            item=self.item[index],
            example=self.example[index],
        )

    def with_leaves(self, leaves: tuple[Tensor, ...]) -> Self:
        """The same positions, differentiated by other tensors."""
        return replace(self, hidden=leaves[0], weight=leaves[1])

    def with_unread(self) -> tuple[Self, Tensor]:
        """Among as many again that no term reads, their hidden states nan; and where these stand there."""
        places = torch.arange(self.units) * 2 + 1
        hidden = torch.full((self.units * 2, WIDTH), torch.nan, dtype=self.hidden.dtype)
        hidden[places] = self.hidden.detach()
        # A label that stands for none would be an index past the vocabulary's end.
        labels, item = (torch.full((self.units * 2,), -1) for _ in range(2))
        labels[places], item[places] = self.labels, self.item
        example = self.example.repeat_interleave(2)
        return replace(self, hidden=hidden.requires_grad_(), labels=labels, item=item, example=example), places


@dataclass(frozen=True)
class Examples:
    """What a head gives for some examples, beside the truth."""

    outputs: Outputs

    @property
    def units(self) -> int:
        """How many examples there are."""
        return self.outputs.examples

    @property
    def example(self) -> Tensor:
        """Each example is its own."""
        return torch.arange(self.units)

    @property
    def by_unit(self) -> bool:
        """Whether the first leaf has a row for each example; queries do not."""
        return self.outputs.queries is not self.leaves[0]

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """What gradients are asked for."""
        return tuple(self.outputs.given(MADE_BY_THE_MODEL).values())

    def value(self, term: Term, *, counts: Mapping[str, float] | None = None, dense: bool = False) -> Value:
        """The term on these examples, the same however `dense` is."""
        return Objective.of((term,)).on_outputs(self.outputs, counts=counts)

    def counts(self, term: Term) -> dict[str, float]:
        """Its denominator here."""
        return Objective.of((term,)).counts_on_outputs(self.outputs)

    def take(self, index: Tensor) -> Self:
        """The examples of an index, in its order."""
        given: dict[str, Any] = self.outputs.given(("logits", "labels", "predictions", "targets", "present"))
        taken = {name: held.detach()[index] for name, held in given.items()}
        return replace(self, outputs=_differentiable(replace(self.outputs, **taken)))

    def with_leaves(self, leaves: tuple[Tensor, ...]) -> Self:
        """The same examples, differentiated by other tensors."""
        names = self.outputs.given(MADE_BY_THE_MODEL)
        given: dict[str, Any] = dict(zip(names, leaves, strict=True))
        return replace(self, outputs=replace(self.outputs, **given))

    def with_unread(self) -> tuple[Self, Tensor]:
        """Among as many again that are not kept, their outputs nan; and where these stand there."""
        places = torch.arange(self.units) * 2 + 1
        more = self.take(torch.arange(self.units).repeat_interleave(2)).outputs
        unread = torch.ones(more.examples, dtype=torch.bool)
        unread[places] = False
        spoilt: dict[str, Any] = {
            name: held.detach().masked_fill(unread.view(-1, *[1] * (held.ndim - 1)), torch.nan)
            for name, held in more.given(("logits", "predictions")).items()
        }
        return replace(self, outputs=_differentiable(replace(more, **spoilt, keep=~unread))), places


Trial = Positions | Examples


def make_trial(
    term: Term, units: int = 24, *, dtype: torch.dtype = torch.float64, spread: float = 1.0, seed: int = 0
) -> Trial:
    """Inputs that the term can read, of three texts; `spread` multiplies what a model would give.

    Labels come from a third of the vocabulary, so that classes repeat; in one of the texts the model is right
    everywhere, as sure as the spread makes it. Ids of examples are neither sorted nor contiguous.
    """
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    def whole(high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, shape, generator=draw)

    if term.reads == "tokens":
        hidden, weight = normal(units, WIDTH), normal(VOCABULARY, WIDTH)
        text = torch.arange(units) % 3
        return Positions(
            hidden=(hidden * spread).to(dtype).requires_grad_(),
            weight=weight.to(dtype).requires_grad_(),
            labels=torch.where(text == 0, (hidden @ weight.t()).argmax(1), whole(VOCABULARY // 3, units)),
            item=whole(3, units),
            example=torch.tensor([7, -3, 2**40])[text],
            embeddings=(normal(VOCABULARY, WIDTH).to(dtype), 2.0),
        )
    predictions, present = (normal(units, CLASSES) * spread).to(dtype), whole(4, units, CLASSES) > 0
    if term.reads == "regression head":
        targets = normal(units, CLASSES).abs().masked_fill(~present, torch.nan)
        return Examples(_differentiable(Outputs(predictions=predictions, targets=targets, present=present)))
    # Alike, as learnt queries are at first.
    queries = ((normal(CLASSES, WIDTH) + 2.0) * spread).to(dtype) if "queries" in term.needs else None
    logits = predictions if "logits" in term.needs else None
    one_class, many_labels = whole(CLASSES, units), whole(2, units, CLASSES).double()
    trials = [
        Examples(_differentiable(Outputs(logits=logits, labels=y, queries=queries))) for y in (one_class, many_labels)
    ]
    try:
        trials[0].value(term)
    except InputError:
        return trials[1]
    return trials[0]


def as_tried(term: Term) -> Term:
    """A term that reads the made-up inputs, whatever it reads of others."""
    span = (SPAN,) if term.reads == "tokens" else ()
    return replace(term, span=span, task=None, other_than=(), weights_by=None, groups=None)


def try_once(term: Term) -> None:
    """Call a term's function on a few made-up inputs, before anything is prepared for it.

    Raises InputError where it fails, or returns what its kind must not.
    """
    make_trial(term).value(as_tried(term), dense=True)


def _differentiable(outputs: Outputs) -> Outputs:
    made: dict[str, Any] = outputs.given(MADE_BY_THE_MODEL)
    return replace(outputs, **{name: held.detach().requires_grad_() for name, held in made.items()})
