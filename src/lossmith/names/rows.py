"""The shape of a row: what is known of a loss, a metric or a task before its function is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.errors import InputError, nearest

INFINITY = float("inf")


@dataclass(frozen=True)
class Parameter:
    """A keyword of a loss or metric: its type in words, default and closed range."""

    name: str
    type: Literal["float", "int", "bool", "str", "number or none", "int or none"]
    default: float | int | bool | str | None
    low: float = -INFINITY
    high: float = INFINITY
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossRow:
    """What is known of a loss before torch is loaded.

    `kind` is separable (a sum over positions) or set (looks at many positions together); `unit` is what its
    denominator counts; `span` is its default span, None where it must be given.
    """

    name: str
    function: str
    kind: Literal["separable", "set"]
    unit: Literal["token", "example", "set"]
    needs: tuple[str, ...]
    low: float
    high: float
    formula: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    span: str | None = "answer"
    unit_of_value: str = "nats"
    selects_checkpoints: bool = True

    def load(self) -> Callable[..., Any]:
        """The function itself; imports torch."""
        return load_attribute(self.function, what="loss")


@dataclass(frozen=True)
class MetricRow:
    """What is known of a metric: `columns` of the predictions file are its positional arguments, in order.

    `direction` one: the nearer to 1 the better. `undefined` is the reason given where the value is null.
    """

    name: str
    function: str
    direction: Literal["up", "down", "one"]
    low: float
    high: float
    columns: tuple[str, ...]
    undefined: str
    about: str
    interval: Literal["wilson", "bootstrap"] = "bootstrap"
    parameters: tuple[Parameter, ...] = ()

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return load_attribute(self.function, what="metric")


@dataclass(frozen=True)
class TaskRow:
    """What is known of a task: the module that carries it out and the kind of losses it reads."""

    name: str
    module: str
    about: str
    losses: Literal["token", "class"] = "token"


def load_attribute(path: str, *, what: str) -> Any:
    """The object that `module:attribute` names.

    Raises InputError, naming what is missing and the nearest name the module has.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise InputError(
            f"a {what} of your own is written module:attribute",
            got=path,
            expected="my_package.my_module:name",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"the module of the {what} '{path}' could not be imported: {error}",
            got=module_name,
            expected="a module that Python can import from here",
            fix="install it, or set PYTHONPATH to the folder that holds it",
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        near = nearest(attribute, dir(module))
        raise InputError(
            f"module '{module_name}' has no '{attribute}'",
            got=path,
            expected=f"an attribute of {module_name}",
            fix=f"did you mean '{module_name}:{near}'?" if near else None,
        ) from error
