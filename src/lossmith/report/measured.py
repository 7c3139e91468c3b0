"""The measured values as columns (runs, then baselines) and rows (metrics)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lossmith.names.metrics import known_metric
from lossmith.report.figures import count, decimals_for, interval, number
from lossmith.report.intervals_plot import Dot, Plot, key, plot
from lossmith.report.run_files import Run

DIRECTIONS: Mapping[str, tuple[str, str]] = {
    "up": ("↑", "higher is better"),
    "down": ("↓", "lower is better"),
    "one": ("→ 1", "nearer to 1 is better"),
    "none": ("", "neither side is better"),
}


_WORDS: Mapping[str, str] = {"tfidf_logistic_regression": "TF-IDF + logistic regression"}


@dataclass(frozen=True)
class Column:
    """One column: a run, or a baseline of the runs that share its values."""

    label: str
    values: Mapping[str, Mapping[str, Any]]
    run: int | None
    key: Markup


@dataclass(frozen=True)
class Cell:
    """One value as text; `reason` says why there is none, `n` is given where it differs from the row's."""

    value: str
    bounds: str
    n: str
    reason: str


@dataclass(frozen=True)
class MetricRow:
    """One metric over all columns, with its plot."""

    name: str
    about: str
    arrow: str
    better: str
    n: str
    cells: tuple[Cell, ...]
    plot: Plot | None


def columns(runs: Sequence[Run]) -> list[Column]:
    """The runs that have metrics, then the baselines; equal ones of several runs are one column."""
    held = [
        Column(run.label, run.metrics.get("metrics", {}), index, key(index))
        for index, run in enumerate(runs)
        if run.metrics is not None
    ]
    names: dict[str, None] = {}
    for run in runs:
        names.update(dict.fromkeys((run.metrics or {}).get("baselines") or {}))
    for name in names:
        owners = [run for run in runs if name in ((run.metrics or {}).get("baselines") or {})]
        values = [(run.metrics or {})["baselines"][name] for run in owners]
        # Intervals differ by the seed of the resampling alone.
        if all(_points(value) == _points(values[0]) for value in values):
            held.append(Column(plain_name(name), values[0], None, key(None)))
        else:
            pairs = zip(owners, values, strict=True)
            held.extend(Column(f"{plain_name(name)} ({run.label})", value, None, key(None)) for run, value in pairs)
    return held


def metric_rows(runs: Sequence[Run], held: Sequence[Column]) -> list[MetricRow]:
    """A row for each metric that any run has, without those of single classes, which have a table of their own."""
    names = dict.fromkeys(
        name for column in held if column.run is not None for name in column.values if "." not in name or ":" in name
    )
    return [_row(name, held, _direction(name, runs)) for name in names]


def main_metric(runs: Sequence[Run]) -> str | None:
    """The metric that the verdicts speak of: the first of `evaluate.metrics`, or else the first measured."""
    measured = [name for run in runs for name in (run.metrics or {}).get("metrics", {})]
    asked = runs[0].setting("evaluate", "metrics") if runs else None
    wanted = [name for name in asked if name in measured] if isinstance(asked, list) else []
    return next(iter([*wanted, *measured]), None)


def metric_decimals(name: str) -> int:
    """Decimals of a metric's values."""
    row = known_metric(name)
    return decimals_for(row.high if row else 1.0)


def metric_range(name: str) -> tuple[float, float]:
    """The lowest and highest value that a metric can have."""
    row = known_metric(name)
    return (row.low, row.high) if row else (float("-inf"), float("inf"))


def direction_of(name: str, facts: Mapping[str, Any]) -> str:
    """`up`, `down` or `one`, from the file, or else from the table of metrics."""
    row = known_metric(name)
    return str(facts.get("direction") or (row.direction if row else "up"))


def plain_name(name: str) -> str:
    """A key of a file as words; a run's path as it is.

    >>> plain_name("nearest_training_record"), plain_name("runs/my_base")
    ('nearest training record', 'runs/my_base')
    """
    return _WORDS.get(name) or (name if "/" in name else name.replace("_", " "))


def _points(values: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Any, Any]]:
    return {name: (facts.get("value"), facts.get("n")) for name, facts in values.items()}


def _direction(name: str, runs: Sequence[Run]) -> str:
    stated = [(run.metrics or {}).get("metrics", {}).get(name) for run in runs]
    return direction_of(name, next((facts for facts in stated if facts), {}))


def _row(name: str, held: Sequence[Column], direction: str) -> MetricRow:
    row = known_metric(name)
    arrow, better = DIRECTIONS.get(direction, ("", direction))
    facts = [column.values.get(name) or {} for column in held]
    n = next((fact["n"] for fact in facts if fact.get("n") is not None), None)
    decimals = metric_decimals(name)
    dots = [
        Dot(column.label, fact.get("value"), fact.get("low"), fact.get("high"), column.run)
        for column, fact in zip(held, facts, strict=True)
        if fact
    ]
    low, high = metric_range(name)
    drawn = plot(dots, decimals=decimals, floor=low, ceiling=high)
    return MetricRow(
        name=name,
        about=row.about if row else "",
        arrow=arrow,
        better=better,
        n="" if n is None else f"{n:,}",
        cells=tuple(cell_of(fact, decimals, n) for fact in facts),
        plot=drawn,
    )


def cell_of(facts: Mapping[str, Any], decimals: int, n: int | None = None) -> Cell:
    """A figure of metrics.json as text; its own n is told where it is another than `n`."""
    if not facts:
        return Cell("", "", "", "not measured")
    value, own = facts.get("value"), facts.get("n")
    bounds = interval(facts.get("low"), facts.get("high"), decimals=decimals)
    reason = str(facts.get("reason") or "")
    if value is None:
        return Cell("undefined", "", "", reason or "no reason was given")
    trials = facts.get("trials")
    if trials is not None and trials != own:
        other = f"of {trials:,}"
    else:
        other = f"n = {own:,}" if own is not None and own != n else ""
    return Cell(number(value, decimals=decimals), bounds, other, reason if reason or bounds else "no interval")


def group_tables(run: Run) -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """The metrics and the groups of a run: names of the metrics, then a row of cells for each group."""
    groups = (run.metrics or {}).get("groups") or {}
    held = {name: facts for name, facts in groups.items() if isinstance(facts, Mapping)}
    names = list(
        dict.fromkeys(metric for facts in held.values() for metric in facts if isinstance(facts[metric], Mapping))
    )
    rows = [
        (group, [_group_cell(facts.get(name), metric_decimals(name)) for name in names])
        for group, facts in held.items()
    ]
    return names, rows


def _group_cell(facts: Any, decimals: int) -> Cell:
    if not isinstance(facts, Mapping):
        return Cell("", "", "", "not measured")
    cell = cell_of(facts, decimals)
    return Cell(cell.value, cell.bounds, count(facts["n"], "record") if facts.get("n") is not None else "", cell.reason)
