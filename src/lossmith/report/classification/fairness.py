"""The groups of a run: error rates, gaps between groups, and how well scores order across them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lossmith.evaluate.groups import RATES
from lossmith.evaluate.outcomes import GROUP_JOINT
from lossmith.report.classification.forest import Forest, forests, too_small
from lossmith.report.measured import Cell, cell_of, metric_decimals, plain_name
from lossmith.report.run_files import Run

AREAS: Mapping[str, str] = {
    "subgroup_auc": "positives and negatives both in the group",
    "bpsn_auc": "positives outside against negatives inside: low where the group's negatives score too high",
    "bnsp_auc": "negatives outside against positives inside: low where the group's positives score too low",
}
_COUNTS = ("n", "positives")
_COMPARED = ("fpr", "fnr")


@dataclass(frozen=True)
class GroupRow:
    """One group: its records, its positives (by class where there is no one positive class), and its figures."""

    name: str
    small: bool
    n: str
    positives: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class GroupTable:
    """Names of the figures, then a row for each group."""

    title: str
    names: Sequence[str]
    rows: Sequence[GroupRow]


@dataclass(frozen=True)
class BesideBaselines:
    """One rate of every group: heads are the run and its baselines."""

    rate: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True)
class Fairness:
    """Everything by group; `areas` are (name, what it is)."""

    forests: Sequence[Forest]
    tables: Sequence[GroupTable]
    beside: Sequence[BesideBaselines]
    areas: Sequence[tuple[str, str]]
    small: Sequence[str]


def fairness(run: Run) -> Fairness | None:
    """The groups of metrics.json, None where it has none."""
    metrics = run.metrics or {}
    groups = {str(name): facts for name, facts in (metrics.get("groups") or {}).items() if isinstance(facts, Mapping)}
    if not groups:
        return None
    figures = {name: _figures(facts) for name, facts in groups.items()}
    single = {name: figures[name] for name in groups if GROUP_JOINT not in name}
    joined = {name: figures[name] for name in groups if GROUP_JOINT in name}
    named = {name.partition(".")[0] for facts in figures.values() for name in facts}
    tables = (_table("By group", single, groups), _table("By intersection of two groups", joined, groups))
    return Fairness(
        forests(single or joined, metrics.get("metrics") or {}),
        [table for table in tables if table.rows],
        _beside(run, metrics, list(single or joined)),
        [(name, about) for name, about in AREAS.items() if name in named],
        [name for name, facts in figures.items() if _small(facts)],
    )


def _table(title: str, figures: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Mapping[str, Any]]) -> GroupTable:
    held = dict.fromkeys(metric for facts in figures.values() for metric in facts)
    first = (*RATES, *AREAS)
    names = sorted(held, key=lambda name: first.index(one) if (one := name.partition(".")[0]) in first else len(first))
    rows = []
    for group, facts in figures.items():
        n = _count(groups[group], "n")
        cells = [cell_of(facts.get(name) or {}, metric_decimals(name), n) for name in names]
        # The badge of the row says it once.
        told = [replace(cell, reason="") if cell.reason.startswith("too small") else cell for cell in cells]
        rows.append(GroupRow(group, _small(facts), "" if n is None else f"{n:,}", _positives(groups[group]), told))
    return GroupTable(title, names, rows)


def _figures(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The figures of a group, without counts and without rates that no class is the positive one of."""
    return {
        name: held
        for name, held in facts.items()
        if isinstance(held, Mapping)
        and name.partition(".")[0] not in _COUNTS
        and not (held.get("value") is None and any(other.startswith(f"{name}.") for other in facts))
    }


def _small(figures: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(too_small(one) for one in figures.values())


def _count(facts: Mapping[str, Any], name: str) -> int | None:
    held = facts.get(name)
    value = held.get("value") if isinstance(held, Mapping) else held
    return int(value) if isinstance(value, int | float) else None


def _positives(facts: Mapping[str, Any]) -> str:
    if (own := _count(facts, "positives")) is not None:
        return f"{own:,}"
    by_class = {name.partition(".")[2]: _count(facts, name) for name in facts if name.startswith("positives.")}
    return ", ".join(f"{name} {held:,}" for name, held in by_class.items() if held is not None)


def _beside(run: Run, metrics: Mapping[str, Any], groups: Sequence[str]) -> list[BesideBaselines]:
    """The error rates of each group, of the run and of what it is held against."""
    theirs: Mapping[str, Mapping[str, Any]] = metrics.get("baseline_groups") or {}
    if not theirs:
        return []
    sources = {run.label: metrics["groups"], **{plain_name(name): held for name, held in theirs.items()}}
    found = []
    for rate in _COMPARED:
        rows = [
            (
                group,
                [cell_of((held.get(group) or {}).get(rate) or {}, metric_decimals(rate)) for held in sources.values()],
            )
            for group in groups
        ]
        if any(cell.value for _, cells in rows for cell in cells):
            found.append(BesideBaselines(rate, list(sources), rows))
    return found
