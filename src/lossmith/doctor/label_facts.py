"""The label of an inspected record as plain data: its class, the answers that are scored, what a model says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a run's model says of the record: probabilities by class, its decision, and the loss of the label in nats.

    `loss` is -log of the label's probability before calibration, for labels that do not exclude each other the mean
    over them.
    """

    scores: Mapping[str, float]
    predicted: str | None
    loss: float | None
    text: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """The label of a record.

    `label` are names of `classes`: one, or those that hold where labels do not exclude each other. `answers` holds, for
    each class, the texts that are scored for it, token by token; empty where a head answers. `weight` is that of
    data.weight. `pair_start` is the first token of the second of two texts; `cut` says that an end of the text was cut.
    """

    method: str
    classes: Sequence[str]
    positive: str | None
    multi_label: bool
    label: Sequence[str]
    answers: Mapping[str, Sequence[Sequence[str]]]
    pair_start: int | None = None
    weight: float | None = None
    cut: str | None = None
    scoring: Scoring | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
