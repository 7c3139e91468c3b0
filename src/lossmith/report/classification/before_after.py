"""A run beside another one that it is held against, such as its base model: every metric before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.figures import interval, number
from lossmith.report.measured import DIRECTIONS, Cell, cell_of, direction_of, metric_decimals
from lossmith.report.run_files import Run


@dataclass(frozen=True)
class Change:
    """One metric before and after, and the paired difference on the same records."""

    name: str
    arrow: str
    better: str
    before: Cell
    after: Cell
    difference: str
    bounds: str


@dataclass(frozen=True)
class BeforeAfter:
    """The other run's name, and every metric that both have."""

    name: str
    rows: Sequence[Change]


def before_after(run: Run) -> list[BeforeAfter]:
    """One table for each run among the baselines; the others need no model and have no before."""
    metrics = run.metrics or {}
    own: Mapping[str, Mapping[str, Any]] = metrics.get("metrics") or {}
    found = []
    for name, facts in (metrics.get("against_baselines") or {}).items():
        differences: Mapping[str, Mapping[str, Any]] = facts.get("differences") or {}
        theirs: Mapping[str, Mapping[str, Any]] = (metrics.get("baselines") or {}).get(name) or {}
        rows = [
            _change(metric, theirs[metric], own[metric], one)
            for metric, one in differences.items()
            if metric in theirs and metric in own
        ]
        if rows:
            found.append(BeforeAfter(name, rows))
    return found


def _change(name: str, before: Mapping[str, Any], after: Mapping[str, Any], difference: Mapping[str, Any]) -> Change:
    decimals = metric_decimals(name)
    arrow, better = DIRECTIONS.get(direction_of(name, after), ("", ""))
    n = after.get("n")
    return Change(
        name,
        arrow,
        better,
        cell_of(before, decimals, n),
        cell_of(after, decimals, n),
        number(difference.get("difference"), decimals=decimals, sign=True),
        interval(difference.get("low"), difference.get("high"), decimals=decimals, sign=True),
    )
