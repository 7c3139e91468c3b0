"""How results look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """A table of rows with the same keys; text is never read as markup."""
    if not rows:
        return
    console = Console()
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for key in rows[0]:
        numeric = all(isinstance(row[key], int | float | None) for row in rows)
        table.add_column(str(key), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    console.print(table)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metric_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of metrics.json for a terminal: one a metric, a column for each baseline."""
    rows = []
    for name, facts in metrics["metrics"].items():
        row: dict[str, Any] = {"metric": name, "value": facts["value"]}
        has_interval = facts.get("low") is not None
        row["95 % interval"] = f"{facts['low']:.4g} to {facts['high']:.4g}" if has_interval else "-"
        row["n"] = facts["n"]
        for baseline, values in metrics["baselines"].items():
            row[baseline] = (values.get(name) or {}).get("value")
        row["better"] = facts["direction"]
        rows.append(row)
    return rows
