"""The groups of a run: error rates, gaps between groups, and how well scores order across them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.classification.forest import Forest, forests, too_small
from lossmith.report.measured import Cell, cell_of, metric_decimals
from lossmith.report.run_files import Run

JOINED = " & "  # between the values of an intersection
BIAS_AUCS: Mapping[str, str] = {
    "subgroup_auc": "positives and negatives both in the group",
    "bpsn_auc": "positives outside against negatives inside: low where the group's negatives score too high",
    "bnsp_auc": "negatives outside against positives inside: low where the group's positives score too low",
}


@dataclass(frozen=True)
class GroupTable:
    """Names of the figures, then a row for each group: its name, whether it is too small, records, positives, cells."""

    title: str
    names: Sequence[str]
    rows: Sequence[tuple[str, bool, str, str, Sequence[Cell]]]


@dataclass(frozen=True)
class Fairness:
    """Everything by group; `gaps` are (name, what it is, cell)."""

    forests: Sequence[Forest]
    tables: Sequence[GroupTable]
    gaps: Sequence[tuple[str, str, Cell]]
    aucs: Sequence[tuple[str, str]]
    small: Sequence[str]


def fairness(run: Run) -> Fairness | None:
    """The groups of metrics.json, None where it has none."""
    metrics = run.metrics or {}
    groups = {str(name): facts for name, facts in (metrics.get("groups") or {}).items() if isinstance(facts, Mapping)}
    if not groups:
        return None
    single = {name: facts for name, facts in groups.items() if JOINED not in name}
    joined = {name: facts for name, facts in groups.items() if JOINED in name}
    drawn = single or joined
    tables = [_table("By group", single), _table("By intersection of groups", joined)]
    return Fairness(
        forests(drawn, metrics.get("metrics") or {}),
        [table for table in tables if table.rows],
        [],
        [(name, about) for name, about in BIAS_AUCS.items() if any(name in facts for facts in groups.values())],
        [name for name, facts in groups.items() if any(too_small(one) for one in _figures(facts).values())],
    )


def _table(title: str, groups: Mapping[str, Mapping[str, Any]]) -> GroupTable:
    names = list(dict.fromkeys(metric for facts in groups.values() for metric in _figures(facts)))
    rows = [
        (
            group,
            any(too_small(one) for one in _figures(facts).values()),
            _records(facts, "n"),
            _records(facts, "positives"),
            [cell_of(facts.get(name) or {}, metric_decimals(name)) for name in names],
        )
        for group, facts in groups.items()
    ]
    return GroupTable(title, names, rows)


def _figures(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: held for name, held in facts.items() if isinstance(held, Mapping) and name not in ("n", "positives")}


def _records(facts: Mapping[str, Any], name: str) -> str:
    held = facts.get(name)
    held = held.get("value") if isinstance(held, Mapping) else held
    if held is None and name == "n":
        held = next((one["n"] for one in _figures(facts).values() if one.get("n") is not None), None)
    return f"{held:,}" if isinstance(held, int) else ""
