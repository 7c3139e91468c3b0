"""What a person asks, what comes back, and what every model is to those who ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lossmith.config.generate import GenerateConfig

# chat and completion continue a text, seq2seq reads one and writes another; the others tell classes.
Kind = Literal["chat", "completion", "seq2seq", "classifier", "retrieval"]
# Told every further piece of an answer while it is written, and how many tokens it has by then. Beams hold one answer
# beside another until their end: while they search, the piece is empty.
Tell = Callable[[str, int], None]


class LeftError(Exception):
    """Raised out of `tell` where whoever asked has left: the answer ends there, as at an interrupt."""


@dataclass(frozen=True)
class Question:
    """Values by the names that a template reads, and the messages of the conversation so far."""

    fields: Mapping[str, Any]
    before: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class Reply:
    """What a model says to a question.

    `text` is what was written, `predicted` the class, `scores` the probability of each; each is None or empty where the
    model gives none. `evidence` are the chunks of a document that the prediction rests on, as `lossmith explain --json`
    has them. `finished`: whether the answer ended by itself, `stopped`: whether who asked ended it; `tokens` is how
    many were written. `notes` say what was done to the question. With `error` there is no answer.
    """

    text: str | None = None
    predicted: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: Sequence[Mapping[str, Any]] = ()
    finished: bool = True
    stopped: bool = False
    tokens: int = 0
    notes: tuple[str, ...] = ()
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; what the model does not give is left out.

        >>> Reply("so be it", tokens=3).as_json()
        {'text': 'so be it', 'finished': True, 'tokens': 3}
        """
        told: dict[str, Any] = {}
        if self.text is not None:
            told |= {"text": self.text, "finished": self.finished, "tokens": self.tokens}
        if self.stopped:
            told["stopped"] = True
        if self.scores:
            told |= {"predicted": self.predicted, "scores": dict(self.scores)}
        if self.evidence:
            told["evidence"] = [dict(one) for one in self.evidence]
        if self.notes:
            told["notes"] = list(self.notes)
        return told if self.error is None else {**told, "error": self.error}


class Answerer(Protocol):
    """A model that was opened to be asked.

    `fields` are the names that its template reads, `criteria` the texts of the criteria that it was trained to judge
    by, by name. `remembers`: whether it reads the conversation so far. `own` is how the model's own run generates, None
    for a model that writes nothing. `notes` tell of what was done to open it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def kind(self) -> Kind: ...  # noqa: D102

    @property
    def fields(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def criteria(self) -> Mapping[str, str]: ...  # noqa: D102

    @property
    def remembers(self) -> bool: ...  # noqa: D102

    @property
    def own(self) -> GenerateConfig | None: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    def answer(self, question: Question, *, how: GenerateConfig | None, seed: int, tell: Tell | None) -> Reply:
        """What it says; a text that is written goes piece by piece to `tell`.

        Raises DataError for a question that its template cannot render, ConfigError for settings that cannot be.
        """
        ...
