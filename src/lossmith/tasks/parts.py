"""What a task hands to the objective: positions already aligned with the labels they predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from lossmith.losses import Head


@dataclass(frozen=True)
class Parts:
    """Inputs of one call of the objective.

    hidden (positions, width); labels, examples and each span (positions,); embeddings is (matrix, scale) where a
    term asks for it.
    """

    hidden: Tensor
    head: Head
    labels: Tensor
    spans: dict[str, Tensor]
    examples: Tensor
    embeddings: tuple[Tensor, float] | None = None

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of an Objective."""
        keywords = {"spans": self.spans, "examples": self.examples, "embeddings": self.embeddings}
        return (self.hidden, self.head, self.labels), keywords


class Forward(Protocol):
    """How a task carries a batch through a model; `scale` is the spread of the input embeddings, where a term asks.

    The scale is a constant of the steps between two measurements, so a resumed training takes it up as it was.
    """

    scale: float | None

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any], /) -> Parts:
        """The positions of a batch."""
        ...

    def refresh_scale(self) -> float | None:
        """Measure the scale anew."""
        ...
