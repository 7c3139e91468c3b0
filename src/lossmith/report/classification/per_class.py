"""The figures of each class in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.measured import Cell, cell_of, metric_decimals
from lossmith.report.run_files import Run


@dataclass(frozen=True)
class ClassTable:
    """Names of the figures, then a row of cells for each class."""

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def class_names(run: Run) -> list[str]:
    """The classes that the manifest names."""
    held = run.manifest.get("classes")
    return [str(name) for name in held.get("names") or ()] if isinstance(held, Mapping) else []


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


def class_table(run: Run) -> ClassTable | None:
    """The table of a run, None where its metrics hold nothing by class."""
    held = by_class((run.metrics or {}).get("metrics") or {}, class_names(run))
    names = list(dict.fromkeys(metric for figures in held.values() for metric in figures))
    if not names:
        return None
    rows = [
        (name, [cell_of(figures.get(metric) or {}, metric_decimals(metric)) for metric in names])
        for name, figures in held.items()
    ]
    return ClassTable(names, rows)
