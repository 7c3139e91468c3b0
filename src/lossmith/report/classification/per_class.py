"""The figures of each class in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.labels import Classes
from lossmith.report.measured import Cell, cell_of, metric_decimals
from lossmith.report.run_files import Run


@dataclass(frozen=True)
class ClassTable:
    """Names of the figures, then a row of cells for each class."""

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def by_class(figures: Mapping[str, Any], classes: Sequence[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Figures keyed METRIC.CLASS, by class, then by metric.

    >>> by_class({"f1.yes": {"value": 1.0}, "f1": {"value": 1.0}}, ["no", "yes"])
    {'no': {}, 'yes': {'f1': {'value': 1.0}}}
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in classes}
    for key, facts in figures.items():
        metric, dot, name = key.partition(".")
        if dot and name in found and isinstance(facts, Mapping):
            found[name][metric] = facts
    return found


def class_table(run: Run, classes: Classes | None) -> ClassTable | None:
    """The table of a run, None where its metrics hold nothing by class."""
    held = by_class((run.metrics or {}).get("metrics") or {}, classes.names if classes is not None else ())
    return _table({name: figures for name, figures in held.items() if figures}, (run.metrics or {}).get("n"))


def _table(held: Mapping[str, Mapping[str, Mapping[str, Any]]], n: int | None) -> ClassTable | None:
    names = list(dict.fromkeys(metric for figures in held.values() for metric in figures))
    if not names:
        return None
    rows = [
        (name, [cell_of(figures.get(metric) or {}, metric_decimals(metric), n) for metric in names])
        for name, figures in held.items()
    ]
    return ClassTable(names, rows)
