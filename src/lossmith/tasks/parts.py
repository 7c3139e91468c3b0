"""What a task hands to the objective: positions already aligned with the labels they predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lossmith.losses import Head, Objective, Value


@dataclass(frozen=True)
class Parts:
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

    def shares(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> dict[str, float]:
        """Each term's share of the gradient here."""
        positional, named = self.arguments()
        with self._exact():
            return objective.shares(*positional, **named, counts=counts)

    def _exact(self) -> AbstractContextManager[object]:
        # Statistics are kept in fp32 or more, whatever autocast does to the model.
        return torch.autocast(self.hidden.device.type, enabled=False)


class Forward(Protocol):
    """How a task carries a batch through a model."""

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any], /) -> Parts:
        """The positions of a batch."""
        ...

    def refresh_scale(self) -> float | None:
        """Measure the spread of the input embeddings, where a term asks for it, as they are now.

        Called before each window and each evaluation: the scale is a constant of the window, and neither evaluations
        nor a resumed training have a part in it.
        """
        ...
