"""What a task over tokens hands to the objective: positions already aligned with the labels they predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lossmith.losses import Head, Objective, Value
from lossmith.tasks.task import Figures

# Enough for a ratio of norms, few enough that a measurement costs a fraction of a step.
POSITIONS = 128


@dataclass(frozen=True)
class TokenParts:
    """Inputs of one call of the objective.

    hidden (positions, width); labels, examples and each span (positions,); embeddings is (matrix, scale) where a
    term asks for it. A head that is no matrix is a function from hidden states to logits: the objective is dense then.
    """

    hidden: Tensor
    head: Head | Callable[[Tensor], Tensor]
    labels: Tensor
    spans: dict[str, Tensor]
    examples: Tensor
    embeddings: tuple[Tensor, float] | None = None

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of an Objective."""
        keywords = {"spans": self.spans, "examples": self.examples, "embeddings": self.embeddings}
        return (self.hidden, self.head, self.labels), keywords

    def value(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> Value:
        """The objective here, by the engine where the head is a matrix; `counts` as in its own call."""
        positional, named = self.arguments()
        call = objective if isinstance(self.head, Head) else objective.dense
        with self._exact():
            return call(*positional, **named, counts=counts)

    def few(self, objective: Objective) -> TokenParts:
        """Whole examples of a micro-batch: for each term the first that it reads, then others up to about POSITIONS.

        A term over the micro-batch as one set has another gradient on a part of it: where there is one, all stay.
        """
        if any(term.unit == "set" for term in objective.terms):
            return self
        chosen = torch.zeros_like(self.labels, dtype=torch.bool)
        for term in objective.terms:
            read = Objective.of((term,)).reads(self.labels, self.spans)
            if read.any() and not (read & chosen).any():
                chosen |= self.examples == self.examples[read][0]
        for example in self.examples.unique().tolist():
            if int(chosen.sum()) >= POSITIONS:
                break
            chosen |= self.examples == example
        return replace(
            self,
            hidden=self.hidden.detach()[chosen],
            labels=self.labels[chosen],
            spans={name: span[chosen] for name, span in self.spans.items()},
            examples=self.examples[chosen],
        )

    def shares(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> dict[str, float]:
        """Each term's share of the gradient here."""
        positional, named = self.arguments()
        with self._exact():
            return objective.shares(*positional, **named, counts=counts)

    def figures(self) -> Figures:
        """None: a token is no answer."""
        return {}

    def logits(self) -> None:
        """None: those of a vocabulary are never held."""
        return

    def _exact(self) -> AbstractContextManager[object]:
        # Statistics are kept in fp32 or more, whatever autocast does to the model.
        return torch.autocast(self.hidden.device.type, enabled=False)
