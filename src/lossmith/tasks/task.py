"""What a task is to the loops: the pieces that training, evaluation and prediction take from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lossmith.config.model import ModelConfig
from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.losses import Objective, Value
from lossmith.models.load import Loaded
from lossmith.models.precision import Precision
from lossmith.names import TASKS, load_attribute
from lossmith.tasks.rows import Rows

Collate = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
Progress = Callable[[int, int | None], None]
# A figure beside the loss, as a sum and what it is divided by.
Figures = Mapping[str, tuple[Tensor, float]]


@dataclass(frozen=True)
class Given:
    """What a task is carried out on: the run's configuration, its prepared rows, their tokenizer, and where it runs."""

    config: Config
    prepared: Prepared
    tokenizer: Any
    precision: Precision


class Parts(Protocol):
    """What a forward pass gives for a batch: all that the objective reads of it."""

    def value(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> Value:
        """The objective here; `counts` are the denominators of the window."""
        ...

    def few(self, objective: Objective) -> Parts:
        """As much of it as the shares of the gradient are measured on."""
        ...

    def shares(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> dict[str, float]:
        """Each term's share of the gradient here."""
        ...

    def figures(self) -> Figures:
        """What is told beside the loss, from the same forward pass."""
        ...

    def logits(self) -> Tensor | None:
        """(examples, outputs) of a head, None where the task has none."""
        ...


class Forward(Protocol):
    """How a task carries a batch through a model."""

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any], /) -> Parts:
        """The parts of a batch; `wrapped` is the model as DDP or autocast wrap it."""
        ...

    def refresh_scale(self) -> float | None:
        """Measure the spread of the input embeddings, where a term asks for it, as they are now.

        Called before each window and each evaluation: the scale is a constant of the window, and neither evaluations
        nor a resumed training have a part in it.
        """
        ...


@dataclass(frozen=True)
class Ready:
    """A forward that was tried on a row, what the manifest keeps of the model, and the sentences that tell it."""

    forward: Forward
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pieces:
    """What rows go through: rows by split, batches of them, their way through the model, and facts to keep."""

    rows: Mapping[str, Rows]
    collate: Collate
    forward: Forward
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """The pieces of a task.

    columns: of the prepared rows, those that `collator` reads.
    check_tokenizer(tokenizer, base): raises where the tokenizer cannot serve.
    weigh(objective, given): the objective with weights counted on the training split, and by term what is kept of them.
    check(objective, rows, given): raises where the training rows cannot work; returns sentences on what is doubtful.
    load(model, given, training): the model that the configuration names.
    collator(objective, given): rows to a batch, of which the loops read `rows` and `tokens`.
    count(objective, batch): the denominator of each term in a batch, before its forward pass.
    ready(loaded, row, objective, given): the forward, tried on one row.
    stored(pieces, loaded, given): the same with rows that hold stored vectors where a frozen part of the model would
    run; what is not in the store yet is computed first. None for a task without such a part.
    answers(loaded, rows, given, progress): what the model says of each row, in order; `scored(logits, given)` the same
    from logits by row number that an evaluation has seen, None where there are none.
    write(rows, answers, path, given, decision): the predictions file; returns rows and failures. table: the same in
    memory. `decision` is how scores become classes, None for a task without.
    figures: what the parts of a batch tell beside the loss. unit: what a batch's tokens are called.
    """

    columns: tuple[str, ...]
    check_tokenizer: Callable[[Any, str], None]
    weigh: Callable[[Objective, Given], tuple[Objective, dict[str, list[dict[str, Any]]]]]
    check: Callable[[Objective, Mapping[str, Rows], Given], list[str]]
    load: Callable[[ModelConfig, Given, bool], Loaded]
    collator: Callable[[Objective, Given], Collate]
    count: Callable[[Objective, Mapping[str, Any]], dict[str, float]]
    ready: Callable[[Loaded, dict[str, Any], Objective, Given], Ready]
    answers: Callable[[Loaded, Rows, Given, Progress | None], Iterator[Any]]
    write: Callable[[Rows, Iterator[Any], Path, Given, Any], tuple[int, int]]
    table: Callable[[Rows, Iterator[Any], Given, Any], pa.Table]
    figures: tuple[str, ...] = ()
    unit: str = "tokens"
    stored: Callable[[Pieces, Loaded, Given], Pieces] | None = None
    scored: Callable[[Mapping[int, np.ndarray], Given], Iterator[Any]] | None = None


def task_of(config: Config) -> Task:
    """The task that a configuration names, carried out by its method, or as its base asks for."""
    found: Task | Callable[[Config], Task] = load_attribute(
        TASKS[config.task.kind].way(config.task.method).pieces, what="task"
    )
    return found if isinstance(found, Task) else found(config)


def on_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch with its tensors on a device, those inside mappings too; all else as it is."""

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: moved(inner) for name, inner in value.items()}
        return value.to(device) if isinstance(value, Tensor) else value

    return {name: moved(value) for name, value in batch.items()}
