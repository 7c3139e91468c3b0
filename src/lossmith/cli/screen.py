"""How results look in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lossmith.cli.class_screen import class_rows, decision_line, group_difference_rows, group_rows
from lossmith.data.audit.labels import criterion_table, group_table
from lossmith.data.audit.table import audit_table
from lossmith.evaluate.rows import comparison_rows, figure_rows
from lossmith.names.metrics import compares_groups

RESPELLED_SHOWN = 12
_UNBOUNDED = 10_000


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """A table with a column for each key; text is never read as markup."""
    console = _console()
    console.print(_table(rows, title))


def print_entries(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table where the terminal is wide enough for its words, else a paragraph for each row, under its first cell."""
    console = _console()
    table = _table(rows, None)
    wide = console.options.update(width=_UNBOUNDED)
    for column in table.columns:
        # Left to itself rich breaks the words of a wide column before it narrows the others.
        column.min_width = max(Measurement.get(console, wide, cell).minimum for cell in (column.header, *column.cells))
    if Measurement.get(console, wide, table).minimum <= console.width:
        console.print(table)
        return
    for row in rows:
        (_, name), *cells = row.items()
        console.print(Text(_shown(name), style="bold"))
        for key, value in cells:
            if value not in (None, ""):
                console.print(Padding(Text(f"{key}: {_shown(value)}"), (0, 0, 0, 2)))


def _console() -> Console:
    console = Console()
    # A file or a pipe has no width: every record is one line there.
    return console if console.is_terminal else Console(width=_UNBOUNDED)


def _table(rows: Sequence[Mapping[str, Any]], title: str | None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    for key in keys:
        numeric = all(isinstance(row.get(key), int | float | None) for row in rows)
        # The first column names the row; a name broken in two cannot be searched for or copied.
        table.add_column(key, justify="right" if numeric else "left", overflow="fold", no_wrap=key == keys[0])
    for row in rows:
        table.add_row(*(Text(_shown(row.get(key))) for key in keys))
    return table


def print_metrics(
    metrics: Mapping[str, Any], *, title: str | None = None, decision: Mapping[str, Any] | None = None
) -> None:
    """metrics.json as a table with baselines, what must be said of it first, then its notes and gates.

    Of a classification also each class, the groups and how scores decide; `decision` is what the manifest says of it.
    """
    first = metrics.get("headline", [])
    for sentence in first:
        typer.echo(sentence)
    rows = {}
    for row in figure_rows(metrics):
        low, high, reason = row.pop("low"), row.pop("high"), row.pop("reason")
        rows[row["metric"]] = row | {"95 % interval": reason if low is None else f"{low:.4g} to {high:.4g}"}
    by_class, by_group = class_rows(metrics), group_rows(metrics)
    between = [row for name, row in rows.items() if by_group and compares_groups(name)]
    whole = [row for name, row in rows.items() if row not in between and not (by_class and "." in name)]
    print_rows(whole, title=title or f"{metrics['split']}, {metrics['n']} records")
    for table, what in ((by_class, "by class"), (by_group, "by group, the worst first"), (between, "between groups")):
        if table:
            typer.echo("")
            print_rows(table, title=what)
    if (line := decision_line(metrics, decision or {})) is not None:
        typer.echo(f"\n{line}")
    for note in metrics.get("notes", []):
        if note not in first:
            typer.echo(note)
    for gate in metrics["gates"]:
        why = "" if gate["passed"] else f": {gate['reason']}"
        told = "passed" if gate["passed"] else "MISSED"
        typer.echo(f"gate {gate['rule']}: {told}, value {_shown(gate['value'])}{why}")


def print_comparison(comparison: Mapping[str, Any]) -> None:
    """A comparison as a table, with what the test says in words."""
    rows = []
    for row in comparison_rows(comparison):
        low, high, reason = row.pop("low"), row.pop("high"), row.pop("reason")
        row["95 % interval"] = reason if low is None else f"{low:+.4g} to {high:+.4g}"
        rows.append(row | {"against": Path(row["against"]).name, "run": Path(row["run"]).name})
    print_rows(rows, title=f"paired comparison on {comparison['n']} records")
    if comparison.get("groups"):
        typer.echo("")
        print_rows(group_difference_rows(comparison), title="differences of error rates by group, without tests")


def print_audit(audit: Mapping[str, Any]) -> None:
    """The audit as tables, then its warnings."""
    head, *lines = audit_table(audit)
    print_rows([dict(zip(head, line, strict=True)) for line in lines])
    if put := audit.get("assembled"):
        typer.echo(f"{put['documents']} documents put together from {put['rows']} rows")
    if respelled := audit.get("respelled"):
        typer.echo(f"uk_spelling: {_respelled(respelled)}")
    for name, table in (("group", group_table(audit)), ("criterion", criterion_table(audit))):
        if table:
            head, *lines = table
            rows = [dict(zip(head, line, strict=True)) for line in lines]
            print_rows(rows, title=f"labels by {name}: train / validation / test")
    for sentence in audit["warnings"]:
        typer.echo(f"warning: {sentence}", err=True)


def _respelled(words: Sequence[Mapping[str, Any]]) -> str:
    told = ", ".join(f"{word['from']} > {word['to']} ({word['times']})" for word in words[:RESPELLED_SHOWN])
    more = len(words) - RESPELLED_SHOWN
    return told + (f", and {more} more in audit.json" if more > 0 else "")


@contextmanager
def counting(what: str, unit: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A progress bar for a callback of (done, total), shown from its first call on; None where there is no terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(what, total=None)

    def show(done: int, total: int | None) -> None:
        # Not before: until then the terminal may hold the bar of another stage.
        progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        progress.stop()


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
