"""Requirements on metrics: `rouge1 >= 0.3`, `fpr.women <= 0.1`, `ingredient_f1.low >= runs/other`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from lossmith.errors import ConfigError, nearest
from lossmith.evaluate.groups import TOO_SMALL
from lossmith.names import METRICS

_RULE = re.compile(
    r"\s*(?P<address>[^\s<>=!](?:[^<>=!]*[^\s<>=!])?)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[^\s<>=!](?:[^<>]*[^\s<>])?)\s*"
)
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_ENDS = ("low", "high")
_EXPECTED = 'METRIC[.GROUP][.low|.high] >= NUMBER or RUN, as "rouge1 >= 0.3"; signs >=, <=, >, <'


@dataclass(frozen=True)
class Gate:
    """One rule, read: a metric (of a group), the value or a bound of its interval, and what it must reach."""

    rule: str
    metric: str
    group: str | None
    end: str
    sign: str
    number: float | None
    run: str | None


def read_gates(rules: Sequence[str], measured: Collection[str]) -> list[Gate]:
    """The gates that `evaluate.require` asks for; `measured` are the metrics that are computed.

    Raises ConfigError naming the rule that can't be read, or whose metric is not measured.

    >>> read_gates(["rouge1.low >= 0.3"], ["rouge1"])[0].end
    'low'
    """
    return [_read(rule, measured) for rule in rules]


def judge(gate: Gate, metrics: Mapping[str, Any], other: Mapping[str, Any] | str | None = None) -> dict[str, Any]:
    """The gate as metrics.json holds it.

    `metrics` and `other` have the keys `metrics` and `groups`; `other` is the run a gate compares with, or
    the sentence why it can't be. A gate whose figure is undefined or of too small a group is missed.
    """
    value, reason = _figure(gate, metrics)
    bound = gate.number
    if isinstance(other, str):
        reason = other
    elif other is not None:
        bound, missing = _figure(gate, other)
        reason = reason or (f"in {gate.run}: {missing}" if missing else None)
    passed = reason is None and value is not None and bound is not None and _SIGNS[gate.sign](value, bound)
    if not passed and reason is None:
        reason = f"{value:.6g} is not {gate.sign} {bound:.6g}"
    return {
        "metric": _address(gate),
        "rule": gate.rule,
        "value": value,
        "bound": bound,
        "passed": passed,
        "reason": reason,
    }


def _read(rule: str, measured: Collection[str]) -> Gate:
    found = _RULE.fullmatch(rule)
    if found is None:
        raise ConfigError(f"evaluate.require: '{rule}' is no rule", got=rule, expected=_EXPECTED)
    metric, group, end = _split(found["address"], rule, measured)
    number, run = _bound(found["bound"], rule)
    return Gate(rule.strip(), metric, group, end, found["sign"], number, run)


def _split(address: str, rule: str, measured: Collection[str]) -> tuple[str, str | None, str]:
    """Metric, group and end of an address; a user's metric and a group may hold dots themselves."""
    owners = [name for name in measured if address == name or address.startswith(f"{name}.")]
    if not owners:
        name = address.partition(".")[0]
        near = nearest(name, measured) or nearest(name, METRICS)
        fix = f"did you mean '{near}'?" if near else None
        if name in METRICS:
            fix = f"add {name} to evaluate.metrics"
        raise ConfigError(
            f"evaluate.require: '{rule}' asks for a metric that is not measured",
            got=name,
            expected="one of evaluate.metrics: " + ", ".join(measured),
            fix=fix,
        )
    metric = max(owners, key=len)
    rest = address[len(metric) + 1 :]
    group, _, last = rest.rpartition(".")
    if last in _ENDS:
        return metric, group or None, last
    return metric, rest or None, "value"


def _bound(text: str, rule: str) -> tuple[float | None, str | None]:
    try:
        number = float(text)
    except ValueError:
        number = None
    if number is None and "/" in text:
        return None, text
    if number is None or not isfinite(number):
        raise ConfigError(
            f"evaluate.require: the bound of '{rule}' is neither a number nor a run folder",
            got=text,
            expected="a finite number, or a path such as runs/other",
        )
    return number, None


def _figure(gate: Gate, metrics: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """The figure a gate asks for, or why there is none to judge by."""
    entry = _entry(gate, metrics)
    if isinstance(entry, str):
        return None, entry
    if str(entry["reason"] or "").startswith(TOO_SMALL):
        return entry[gate.end], entry["reason"]
    if entry[gate.end] is None:
        return None, f"undefined: {entry['reason']}"
    return entry[gate.end], None


def _entry(gate: Gate, metrics: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """The figure with all that is told of it: of all records, of one class, of a group, of a class in a group."""
    if gate.group is None:
        return dict(metrics["metrics"][gate.metric])
    found = []
    own = f"{gate.metric}.{gate.group}"
    if own in metrics["metrics"]:
        found.append(metrics["metrics"][own])
    for group, figures in metrics["groups"].items():
        of_class = own.removesuffix(f".{group}")
        if of_class != own and of_class in figures:
            found.append(figures[of_class])
        elif gate.group == group:
            return f"{gate.metric} has no value inside a group"
    if len(found) > 1:
        return f"a class and a group are both called '{gate.group}'"
    if found:
        return dict(found[0])
    near = nearest(gate.group, metrics["groups"])
    return f"there is no group '{gate.group}'" + (f"; did you mean '{near}'?" if near else "")


def _address(gate: Gate) -> str:
    parts = (gate.metric, gate.group, None if gate.end == "value" else gate.end)
    return ".".join(part for part in parts if part)
