"""Every figure of metrics.json as rows of two CSV files, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from lossmith.runs import RunFolder, write_text

MODEL = "model"
_FIGURE = ("value", "low", "high", "n", "reason")


def export_figures(folder: RunFolder, split: str | None, metrics: Mapping[str, Any]) -> None:
    """Write `performance_metrics.csv` and `group_metrics.csv`; with a `split`, under names that hold it."""
    own = "" if split is None else f".{split}"
    _write(folder, f"performance_metrics{own}.csv", ("model", "metric", *_FIGURE), performance_rows(metrics))
    _write(folder, f"group_metrics{own}.csv", ("model", "group", "metric", *_FIGURE), group_rows(metrics))


def performance_rows(metrics: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Model (or baseline), metric, and its figure."""
    for model, figures in {MODEL: metrics["metrics"], **metrics["baselines"]}.items():
        for name, entry in figures.items():
            yield [model, name, *(entry[key] for key in _FIGURE)]


def group_rows(metrics: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Model (or baseline), group, metric, and its figure."""
    for model, groups in {MODEL: metrics["groups"], **metrics["baseline_groups"]}.items():
        for group, figures in groups.items():
            for name, entry in figures.items():
                yield [model, group, name, *(entry[key] for key in _FIGURE)]


def _write(folder: RunFolder, name: str, head: tuple[str, ...], rows: Iterator[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    # An undefined figure is an empty cell, with its reason beside it.
    writer.writerows(rows)
    write_text(folder.path / name, text.getvalue())
