"""The shape of a row: what is known of a loss, a metric or a task before its function is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.errors import unknown_name
from lossmith.names.own import load_attribute

INFINITY = float("inf")

Reads = Literal["tokens", "class head", "regression head"]
Activation = Literal["softmax", "sigmoid"]
Unit = Literal["token", "example", "set", "weight", "value"]

# What the denominator of each unit counts, over a whole accumulation window.
UNITS: Mapping[Unit, str] = {
    "token": "positions",
    "example": "examples",
    "set": "micro-batches",
    "weight": "weights of the examples",
    "value": "present values",
}


@dataclass(frozen=True)
class Parameter:
    """A keyword of a loss or metric: its type in words, default and closed range.

    `choices` are the names it takes, beside numbers where its type says so. `batch` is the choice that looks at the
    whole micro-batch at once, so that the term is exact within it only.
    """

    name: str
    type: Literal[
        "float", "int", "bool", "str", "number or none", "int or none", "list or none", "number, list or none"
    ]
    default: float | int | bool | str | None
    low: float = -INFINITY
    high: float = INFINITY
    choices: tuple[str, ...] = ()
    batch: str | None = None


@dataclass(frozen=True)
class LossRow:
    """What is known of a loss before torch is loaded.

    `reads` says what of: the tokens of a text, or the outputs of a head. `kind` is separable (a sum over positions,
    or over examples) or set (looks at many together); `unit` is what its denominator counts; `span` is the default
    span of a loss that reads tokens, None where it must be given.
    """

    name: str
    function: str
    kind: Literal["separable", "set"]
    unit: Unit
    needs: tuple[str, ...]
    low: float
    high: float
    formula: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    span: str | None = "answer"
    unit_of_value: str = "nats"
    selects_checkpoints: bool = True
    reads: Reads = "tokens"
    activation: Activation | None = None

    def load(self) -> Callable[..., Any]:
        """The function itself; imports torch."""
        return load_attribute(self.function, what="loss")


@dataclass(frozen=True)
class MetricRow:
    """What is known of a metric: `columns` of the predictions file are what it is about.

    `reads` says what its function takes: `texts` (these columns, in order), `classes` (the outcomes of a
    classification), `class` (one class against the rest: the positive one, or each by itself as NAME.CLASS, and then
    the metric named by `macro`, where there is one, is the value), `group` (the same, and the records of one group).
    `direction` one: the nearer to 1 the better; none: neither side is better. `undefined` is the reason given where the
    value is null.
    """

    name: str
    function: str
    direction: Literal["up", "down", "one", "none"]
    low: float
    high: float
    columns: tuple[str, ...]
    undefined: str
    about: str
    interval: Literal["wilson", "bootstrap"] = "bootstrap"
    parameters: tuple[Parameter, ...] = ()
    reads: Literal["texts", "classes", "class", "group"] = "texts"
    macro: str | None = None

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return load_attribute(self.function, what="metric")


@dataclass(frozen=True)
class TaskWay:
    """One way of carrying out a task.

    `pieces` names the `Task` that training and prediction take it from, or a function from a configuration to it;
    `losses` what its terms may read, and `gives`
    the outputs of its head that they find. `architecture` is the shape of a scratch base. What `writes` predicts by
    generating text.
    """

    pieces: str
    losses: tuple[Reads, ...] = ("tokens",)
    gives: tuple[str, ...] = ()
    architecture: Literal["qwen3", "t5", "modernbert", "tfidf-svd"] = "qwen3"
    writes: bool = False


@dataclass(frozen=True)
class TaskRow:
    """What is known of a task: its ways by `task.method`; a task of one way has it under the empty name.

    Of a task that `classifies`, records have labels and predictions are classes.
    """

    name: str
    about: str
    ways: Mapping[str, TaskWay]
    classifies: bool = False

    def way(self, method: str) -> TaskWay:
        """The way that a method names; the only one, whatever the method, where there is one.

        Raises InputError with the nearest name.
        """
        if "" in self.ways:
            return self.ways[""]
        if method not in self.ways:
            raise unknown_name("method", method, self.ways, where="task.method")
        return self.ways[method]
