"""The figures of each criterion that records were judged by: in a picture the worst first, and in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.classification.forest import Forest, forest
from lossmith.report.figures import number
from lossmith.report.measured import Cell, cell_of, main_metric, metric_decimals
from lossmith.report.run_files import Run
from lossmith.report.safe_text import clipped

_TEXT = 300  # characters of a criterion's text


@dataclass(frozen=True)
class Criterion:
    """One criterion: its name, its text where the configuration has it, its records, where it is decided from, and its
    figures.
    """

    name: str
    text: str
    n: str
    threshold: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class ByCriterion:
    """Names of the figures, a row for each criterion, and a picture of the main one.

    `thresholds` says whether some criterion has one of its own.
    """

    names: Sequence[str]
    rows: Sequence[Criterion]
    forest: Forest | None
    thresholds: bool


def by_criterion(run: Run) -> ByCriterion | None:
    """The criteria of metrics.json, None where records name none."""
    metrics = run.metrics or {}
    found: Mapping[str, Mapping[str, Any]] = metrics.get("criteria") or {}
    names = list(dict.fromkeys(metric for figures in found.values() for metric in figures))
    if not names:
        return None
    own: Mapping[str, float] = metrics.get("criterion_thresholds") or {}
    rows = [_row(run, str(name), figures, names) for name, figures in found.items()]
    main = main_metric([run])
    return ByCriterion(
        names,
        rows,
        forest(main, found, (metrics.get("metrics") or {}).get(main)) if main in names and len(found) > 1 else None,
        bool(own),
    )


def _row(run: Run, name: str, figures: Mapping[str, Any], names: Sequence[str]) -> Criterion:
    held = [figures.get(metric) or {} for metric in names]
    n = next((facts["n"] for facts in held if facts.get("n") is not None), None)
    text = (run.setting("data", "pairs") or {}).get(name)
    return Criterion(
        name,
        clipped(str(text or ""), _TEXT)[0],
        "" if n is None else f"{n:,}",
        _threshold(run.metrics or {}, name),
        [cell_of(facts, metric_decimals(metric), n) for facts, metric in zip(held, names, strict=True)],
    )


def _threshold(metrics: Mapping[str, Any], name: str) -> str:
    own, of_all = (metrics.get("criterion_thresholds") or {}).get(name), metrics.get("threshold")
    if own is not None:
        return number(float(own), decimals=3)
    return f"{number(float(of_all), decimals=3)}, that of all" if isinstance(of_all, int | float) else ""
