"""Rows put together to documents: sorted on disk, then one document at a time."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from lossmith.config.data import AssembleConfig, DataConfig
from lossmith.data.columns import MISSING, as_text, lookup, replace
from lossmith.data.labelling import is_flag, read_flag
from lossmith.data.records import Problem, Row
from lossmith.data.rejection import RecordError
from lossmith.data.sources.files import Source
from lossmith.data.sources.formats import read_rows
from lossmith.errors import DataError

_NEW_LINE = re.compile(r"\r\n|\r|\n")
_TABLE = "CREATE TABLE rows (owner INT, place REAL, number INTEGER PRIMARY KEY, source INT, line INT, cells TEXT)"
_IN_ORDER = "SELECT owner, place, source, line, cells FROM rows ORDER BY owner, place, number"


def assemble(
    sources: Sequence[Source], data: DataConfig, *, counted: Counter[str] | None = None
) -> Iterator[tuple[int, Row]]:
    """The documents of all sources, each with the number of the source that its first row is from.

    Rows of one value of `by` are put in the order of `order` (numbers, or dates in ISO form; rows of one place stay in
    the order of the files) and taken `window` at a time; the last document of a value may have fewer. A document has
    each row's text on a line of its own, new lines inside it as blanks. Its 0/1 labels are 1 where they are in any row;
    other columns are those in which all its rows agree, and a label of classes, cluster, split, group and task must. A
    row without place or text comes as it is, with its problem. Memory is that of one document. `counted` is told the
    rows, documents and the rows of one place (tied).

    Raises DataError where rows of one document are in files of two splits or weights.
    """
    config = data.assemble
    assert config is not None, "asked for where rows are put together"
    counted = Counter() if counted is None else counted
    with closing(sqlite3.connect("")) as table:  # on disk where it is large, gone when closed
        table.execute(_TABLE)
        owners: dict[str, int] = {}
        binary = True
        for number, row in _stored(table, sources, data, owners):
            if row.values is None:
                yield number, row
            elif isinstance(data.label, str):
                binary = binary and _may_be_flag(lookup(row.values, data.label))
        merge = _Merge(data, config, binary=binary)
        names = list(owners)
        for owner, found in groupby(table.execute(_IN_ORDER), key=itemgetter(0)):
            for count, window in enumerate(_windows(found, config.window), start=1):
                counted["documents"] += 1
                yield merge.document(window, names[owner], f"{names[owner]}:{count}", counted)


def _stored(
    table: sqlite3.Connection, sources: Sequence[Source], data: DataConfig, owners: dict[str, int]
) -> Iterator[tuple[int, Row]]:
    """Every row, once it is in the table or has its problem."""
    assert data.assemble is not None
    homes: dict[int, Source] = {}
    for number, source in enumerate(sources):
        for row in read_rows(source, data):
            if row.values is None:
                yield number, row
                continue
            try:
                name, place = _place(row.values, data.assemble)
            except RecordError as error:
                yield number, Row(row.line, None, Problem.of(error))
                continue
            owner = owners.setdefault(name, len(owners))
            home = homes.setdefault(owner, source)
            if (home.split, home.weight) != (source.split, source.weight):
                raise _apart(name, data.assemble, home, source)
            cells = json.dumps(row.values, ensure_ascii=False, default=str)
            table.execute("INSERT INTO rows VALUES (?, ?, NULL, ?, ?, ?)", (owner, place, number, row.line, cells))
            yield number, row


def _place(values: Mapping[str, Any], config: AssembleConfig) -> tuple[str, float]:
    """Whose row this is, and where in the document it stands."""
    name = as_text(_cell(values, config.by))
    if name is None:
        raise RecordError(f"no document: column '{config.by}' is empty")
    _cell(values, config.text)
    cell = _cell(values, config.order)
    if isinstance(cell, str | int | float) and not isinstance(cell, bool):
        try:
            place = float(cell)
        except ValueError:
            place = _date(str(cell))
        if not math.isnan(place):
            return name, place
    raise RecordError(f"bad order: column '{config.order}' holds {str(cell)[:40]!r}, neither a number nor a date")


def _date(cell: str) -> float:
    try:
        date = datetime.fromisoformat(cell.strip())
    except ValueError:
        return math.nan
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _cell(values: Mapping[str, Any], column: str) -> Any:
    cell = lookup(values, column)
    if cell is MISSING:
        raise RecordError(f"missing column: '{column}'")
    return cell


def _windows(rows: Iterator[tuple[Any, ...]], size: int | None) -> Iterator[Iterable[tuple[Any, ...]]]:
    if size is None:
        yield rows
        return
    while window := list(islice(rows, size)):
        yield window


class _Merge:
    """How the rows of a document become one row; `binary` says that a single label column holds 0 and 1 alone."""

    def __init__(self, data: DataConfig, config: AssembleConfig, *, binary: bool) -> None:
        label = data.label
        single = isinstance(label, str)
        self._config = config
        self._flags = [*data.pairs, *(label if isinstance(label, list) else [])]
        self._label = label if isinstance(label, str) and binary else None
        groups = [data.group] if isinstance(data.group, str) else data.group or []
        one = [label if single and not binary else None, data.split.column, data.task, data.weight]
        self._same = [str(column) for column in (*data.cluster_columns, *one, *groups) if column is not None]
        self._own = [config.text, *self._flags, *([self._label] if self._label else [])]

    def document(
        self, window: Iterable[tuple[Any, ...]], name: str, own: str, counted: Counter[str]
    ) -> tuple[int, Row]:
        """The document of some rows of the table, with the number of its source."""
        lines: list[str] = []
        cells: dict[str, list[Any]] = {column: [] for column in self._own[1:]}
        shared: Any = None
        first: tuple[Any, ...] | None = None
        before: float | None = None
        for row in window:
            _, place, _, _, text = row
            values = json.loads(text)
            counted["rows"] += 1
            counted["tied"] += place == before
            before = place
            lines.append(_one_line(lookup(values, self._config.text)))
            for column, held in cells.items():
                held.append(lookup(values, column))
            for column in self._own:
                if lookup(values, column) is not MISSING:
                    values = replace(values, column, None)
            if first is None:
                first, shared, columns = row, values, values
            else:
                shared = _agreed(shared, values)
        assert first is not None, "a window has a row"
        _, _, source, line, _ = first
        try:
            made = self._finish(shared, columns, lines, cells)
        except RecordError as error:
            return source, Row(line, None, Problem.of(error), document=own)
        return source, Row(line, made, document=own, cluster=name)

    def _finish(
        self, shared: Any, first: Mapping[str, Any], lines: Sequence[str], cells: Mapping[str, Sequence[Any]]
    ) -> dict[str, Any]:
        for column in self._same:
            if lookup(shared, column) is MISSING and lookup(first, column) is not MISSING:
                raise RecordError(f"rows of one document differ: column '{column}'")
        shared = replace(shared, self._config.text, "\n".join(lines))
        for column, held in cells.items():
            if MISSING in held:
                raise RecordError(f"missing column: '{column}'")
            value = _first_true(held) if column == self._label else _any(held, column)
            shared = replace(shared, column, value)
        return dict(shared)


def _agreed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The columns in which two rows agree, those of nested objects one by one."""
    agreed: dict[str, Any] = {}
    for name, value in first.items():
        other = second.get(name, MISSING)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            agreed[name] = _agreed(value, other)
        elif value == other:
            agreed[name] = value
    return agreed


def _any(cells: Sequence[Any], column: str) -> int | None:
    """1 where any row has the label; else 0, or None where one of them says nothing."""
    flags = [None if as_text(cell) is None else read_flag(cell, column) for cell in cells]
    return 1 if 1 in flags else None if None in flags else 0


def _first_true(cells: Sequence[Any]) -> Any:
    """The class of a document by that of its rows, in the words of its column; None where one of them says nothing."""
    true = next((cell for cell in cells if as_text(cell) is not None and read_flag(cell, "") == 1), None)
    return true if true is not None else next((cell for cell in cells if as_text(cell) is None), cells[0])


def _may_be_flag(cell: Any) -> bool:
    return cell is MISSING or is_flag(cell) or (not isinstance(cell, list | dict) and as_text(cell) is None)


def _one_line(cell: Any) -> str:
    text = cell if isinstance(cell, str) else as_text(cell) or ""
    return _NEW_LINE.sub(" ", text)


def _apart(name: str, config: AssembleConfig, first: Source, second: Source) -> DataError:
    return DataError(
        f"the rows of '{name}' (column '{config.by}') are in files of two splits or weights",
        got=f"{first.name} and {second.name}",
        expected="all rows of a document in files of one split",
        fix="move its rows into one split, or give data.files as one list and let data.split divide the documents",
    )
