"""One picture for each key of a search: the value of every trial over what the key was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.report.axes import Axis, log_axis, round_axis
from lossmith.report.curves import Chart, Line, drawing, hover, line_key, places

SHOWN = 12
_STATES = (("done", "finished", 0), ("pruned", "pruned", 5))


def slices(
    trials: Sequence[Mapping[str, Any]], space: Mapping[str, Any], keys: Sequence[str], *, metric: str
) -> list[Chart]:
    """A picture for each of the first 12 keys; none where no trial has a value."""
    held = [one for one in trials if one.get("value") is not None]
    if not held:
        return []
    y_axis = round_axis([float(one["value"]) for one in held], from_zero=False)
    return [_slice(key, space.get(key), held, y_axis, metric=metric) for key in keys[:SHOWN]]


def _slice(key: str, told: Any, trials: Sequence[Mapping[str, Any]], y_axis: Axis, *, metric: str) -> Chart:
    with_key = [one for one in trials if key in (one.get("params") or {})]
    values = [one["params"][key] for one in with_key]
    numeric = bool(values) and isinstance(told, Mapping) and "low" in told
    x_axis, ticks, at = _numbers(values, told) if numeric else _choices(values)
    lines = [
        Line(
            label,
            [(at(one["params"][key]), float(one["value"])) for one in with_key if one.get("state") == state],
            style,
            sparse=True,
            joined=False,
        )
        for state, label, style in _STATES
    ]
    lines = [line for line in lines if line.points]
    return Chart(
        title=key,
        unit=metric,
        drawing=drawing(f"{metric} over {key}", lines, x_axis=x_axis, y_axis=y_axis),
        x_ticks=ticks,
        y_ticks=places(y_axis),
        keys=tuple((line.label, line_key(line)) for line in lines),
        summary=(),
        data=hover(lines, x_axis, y_axis, at=key.rpartition(".")[2]),
        note="",
        x_name=key + (", log scale" if x_axis.log else ""),
    )


def _numbers(values: Sequence[float], told: Any) -> tuple[Axis, tuple[tuple[str, float], ...], Any]:
    logarithmic = isinstance(told, Mapping) and bool(told.get("log"))
    axis = (log_axis(values) if logarithmic else None) or round_axis(values, ticks=5, from_zero=False)
    return axis, places(axis), float


def _choices(values: Sequence[Any]) -> tuple[Axis, tuple[tuple[str, float], ...], Any]:
    """One place for each choice, in the order in which they were first drawn."""
    names = list(dict.fromkeys(_name(value) for value in values))
    axis = Axis(-0.5, len(names) - 0.5, tuple(float(place) for place in range(len(names))))
    ticks = tuple((name, round(100 * axis.at(float(place)), 2)) for place, name in enumerate(names))
    return axis, ticks, lambda value: float(names.index(_name(value)))


def _name(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
