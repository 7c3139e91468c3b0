"""Checks of the `objective` group against the table of losses, without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith.errors import ConfigError, nearest
from lossmith.names import LOSS_ALIASES, LOSSES, LossRow, Parameter, find_loss

TERM_KEYS = ("weight", "span", "loss")


def check_objective(objective: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unknown loss or parameter, a wrong type, a value out of range."""
    if not objective:
        raise ConfigError(
            "the objective has no term",
            got="{}",
            expected="one term or more",
            fix="objective.cross_entropy=1",
        )
    for name, term in objective.items():
        _check_term(name, term)
    weights = [t.get("weight", 1.0) if isinstance(t, Mapping) else t for t in objective.values()]
    if not any(weights):
        raise ConfigError("every term of the objective has weight 0", got=dict(objective), expected="a weight above 0")


def _check_term(name: str, term: Any) -> None:
    where = f"objective.{name}"
    body = dict(term) if isinstance(term, Mapping) else {"weight": term}
    if "loss" not in body and name not in LOSSES and name not in LOSS_ALIASES:
        near = nearest(name, [*LOSSES, *LOSS_ALIASES])
        raise ConfigError(
            f"unknown loss '{name}' at {where}",
            got=name,
            expected=", ".join(sorted(LOSSES)),
            fix=f"did you mean 'objective.{near}'?"
            if near
            else f"for a loss of your own write {where}={{loss: 'module:function', weight: ...}}",
        )
    weight = body.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ConfigError(f"{where}.weight is no weight", got=repr(weight), expected="a number of 0 or more")
    _check_span(where, body.get("span"))
    loss = body.get("loss", name)
    if not isinstance(loss, str):
        raise ConfigError(f"{where}.loss is no name", got=repr(loss), expected="a loss, or module:function")
    if ":" not in loss:
        row = find_loss(loss)
        if row.span is None and body.get("span") is None:
            raise ConfigError(
                f"{where} needs a span", got="none", expected="the span it reads", fix=f"{where}.span=NAME"
            )
        for key, value in body.items():
            if key not in TERM_KEYS:
                _check_parameter(where, row, key, value)


def _check_span(where: str, span: Any) -> None:
    names = [span] if isinstance(span, str) else span
    if span is not None and (
        not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip("-") for n in names)
    ):
        raise ConfigError(f"{where}.span is no span", got=repr(span), expected="a name or a list of names")


def _check_parameter(where: str, row: LossRow, key: str, value: Any) -> None:
    known = {p.name: p for p in row.parameters}
    if key not in known:
        names = [*TERM_KEYS, *known]
        near = nearest(key, names)
        raise ConfigError(
            f"unknown key '{key}' at {where}",
            got=key,
            expected=", ".join(names),
            fix=f"did you mean '{where}.{near}'?" if near else None,
        )
    parameter = known[key]
    if not accepts(parameter, value):
        raise ConfigError(f"{where}.{key} is out of range", got=repr(value), expected=in_words(parameter))


def accepts(parameter: Parameter, value: Any) -> bool:
    """Whether a value has the parameter's type and lies in its range.

    >>> accepts(Parameter("gamma", "float", 2.0, low=0.0), -1)
    False
    """
    if value is None:
        return parameter.type.endswith("none")
    if parameter.type == "bool":
        return isinstance(value, bool)
    if parameter.type == "str":
        return isinstance(value, str) and (not parameter.choices or value in parameter.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if parameter.type.startswith("int") and not isinstance(value, int):
        return False
    return parameter.low <= value <= parameter.high


def in_words(parameter: Parameter) -> str:
    """Type and range of a parameter as a phrase.

    >>> in_words(Parameter("gamma", "float", 2.0, low=0.0))
    'float of at least 0.0 (default 2.0)'
    """
    text = " | ".join(parameter.choices) if parameter.choices else parameter.type
    if parameter.low > -float("inf") and parameter.high < float("inf"):
        text += f" from {parameter.low} to {parameter.high}"
    elif parameter.low > -float("inf"):
        text += f" of at least {parameter.low}"
    return f"{text} (default {parameter.default})"
