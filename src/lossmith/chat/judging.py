"""What models that tell classes have in common where they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.chat.asking import Kind, Question, Reply, Tell
from lossmith.chat.stored_template import StoredTemplate
from lossmith.config.generate import GenerateConfig
from lossmith.evidence.reading import Judge
from lossmith.models.precision import Precision


@dataclass(frozen=True, kw_only=True)
class ClassAnswerer(ABC):
    """A model asked through its stored template, whose `judge` decides on its scores; it remembers nothing."""

    kind: Kind
    name: str
    tokenizer: Any
    stored: StoredTemplate
    judge: Judge
    precision: Precision
    notes: tuple[str, ...] = ()

    remembers: bool = False
    own: GenerateConfig | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """What the template reads."""
        return self.stored.fields

    @property
    def criteria(self) -> Mapping[str, str]:
        """Those of the run's pairs."""
        return self.stored.config.data.pairs

    @abstractmethod
    def answer(
        self, question: Question, *, how: GenerateConfig | None = None, seed: int = 0, tell: Tell | None = None
    ) -> Reply:
        """The class that the scores decide on."""
