"""The first pass: every record is read and checked once, and a few numbers of it are kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np

from lossmith.config.data import DataConfig
from lossmith.data.assemble import assemble
from lossmith.data.cells import ColumnType
from lossmith.data.columns import MISSING, column_names, lookup
from lossmith.data.fields import given_split, to_record
from lossmith.data.labelling import Label, Labelling
from lossmith.data.records import SPLITS, Problem, Record, Row
from lossmith.data.rejected import Rejections
from lossmith.data.rejection import RecordError
from lossmith.data.sources.files import Source
from lossmith.data.sources.formats import check_format, read_rows
from lossmith.data.splits import UNSPLIT, hash_text, split_of_value
from lossmith.errors import ConfigError, DataError, nearest
from lossmith.labels import CRITERION

LOOKED_AT = 100
LISTED_COLUMNS = 30

Progress = Callable[[int, int | None], None]


@dataclass
class Scan:
    """What the first pass keeps of the rows, in the order of the sources; arrays are (rows,).

    `good` marks records that can be used, `duplicate` those refused for their id alone; hashes of other rows are 0.
    `labels` are places in `found_labels`, -1 where the task has no labels; `types` those of `cell_columns`. `assembled`
    counts what documents were put together from, empty where none were.
    """

    good: np.ndarray
    duplicate: np.ndarray
    ids: np.ndarray
    clusters: np.ndarray
    given: np.ndarray
    source: np.ndarray
    labels: np.ndarray
    found_labels: tuple[Label, ...]
    types: Mapping[str, ColumnType]
    assembled: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Kept:
    """Growing columns of a scan: 8 + 8 + 1 + 1 + 2 + 4 bytes a row."""

    ids: array[int] = field(default_factory=lambda: array("Q"))
    clusters: array[int] = field(default_factory=lambda: array("Q"))
    given: array[int] = field(default_factory=lambda: array("b"))
    good: array[int] = field(default_factory=lambda: array("b"))
    source: array[int] = field(default_factory=lambda: array("H"))
    labels: array[int] = field(default_factory=lambda: array("i"))
    found_labels: dict[Label, int] = field(default_factory=dict)

    def add(self, source: int, record: Record | None, given: int) -> None:
        own = hash_text(f"id {record.id}") if record else 0
        self.ids.append(own)
        self.clusters.append(hash_text(f"cluster {record.cluster}") if record and record.cluster else own)
        self.given.append(given)
        self.good.append(record is not None)
        self.source.append(source)
        self.labels.append(-1)

    def add_label(self, label: Label) -> None:
        """Note the label of the record added last."""
        self.labels[-1] = self.found_labels.setdefault(label, len(self.found_labels))


def iterate(
    sources: Sequence[Source], data: DataConfig, *, counted: Counter[str] | None = None
) -> Iterator[tuple[int, Row]]:
    """Every row of every source, with the number of the source.

    Rows that `data.assemble` puts together come as documents, of which `counted` is told; what `data.pairs` pairs with
    criteria comes once for each of them.
    """
    for number, row in _rows(sources, data, counted):
        if row.values is None or not data.pairs:
            yield number, row
            continue
        for column in data.pairs:
            yield number, row._replace(criterion=column)


def _rows(sources: Sequence[Source], data: DataConfig, counted: Counter[str] | None) -> Iterator[tuple[int, Row]]:
    if data.assemble is not None:
        yield from assemble(sources, data, counted=counted)
        return
    for number, source in enumerate(sources):
        for row in read_rows(source, data):
            yield number, row


def scan(
    sources: Sequence[Source],
    data: DataConfig,
    rejections: Rejections,
    *,
    labelling: Labelling | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Read all sources once; memory is 24 bytes a row.

    Raises DataError for a column that no record has, a value that names no split, sources without a record, and a
    label column of too many values to be classes.
    """
    _check_required(sources, data)
    unseen = set(_optional_columns(data))
    cells = cell_columns(data, labelling)
    types = {name: ColumnType() for name in cells}
    kept = _Kept()
    columns: dict[str, None] = {}
    counted: Counter[str] = Counter()
    for number, row in iterate(sources, data, counted=counted):
        rejections.read += 1
        if progress is not None:
            progress(rejections.read, None)
        record, given = _read(sources[number], row, data, rejections, labelling=labelling)
        kept.add(number, record, given)
        if record is None or row.values is None:
            continue
        if unseen:
            columns.update(dict.fromkeys(column_names(row.values)) if len(columns) < LISTED_COLUMNS else {})
            unseen -= {column for column in unseen if lookup(row.values, column) is not MISSING}
        for name, kind in types.items():
            kind.observe(cells[name](record))
        if labelling is not None:
            kept.add_label(record.label)
            labelling.check_number(len(kept.found_labels))
    if unseen and any(kept.good):
        raise _no_such_column(sorted(unseen)[0], columns, data, where="no record")
    return replace(_finish(kept, types), assembled=counted)


def cell_columns(data: DataConfig, labelling: Labelling | None) -> dict[str, Callable[[Record], Any]]:
    """Columns of a prepared file whose type is that of the source's cells, and where a record holds them.

    The label of a classification is none of them: it is text, or a 0 or 1 for each label.
    """
    columns: dict[str, Callable[[Record], Any]] = {}
    if data.label is not None and labelling is None:
        columns["label"] = attrgetter("label")
    kept = [*data.keep, *([CRITERION] if data.pairs else [])]
    return columns | {f"keep.{name}": partial(_kept_cell, name) for name in kept}


def _kept_cell(name: str, record: Record) -> Any:
    return record.keep[name]


def _read(
    source: Source, row: Row, data: DataConfig, rejections: Rejections, *, labelling: Labelling | None
) -> tuple[Record | None, int]:
    problem = row.problem
    if row.values is not None and problem is None:
        try:
            record = to_record(row, data, file=source.name, split="train", labelling=labelling)
        except RecordError as error:
            problem = Problem.of(error)
        else:
            if source.split is not None:
                return record, SPLITS.index(source.split)
            if data.split.column is None:
                return record, UNSPLIT
            return record, split_of_value(given_split(row.values, data.split.column), data.split)
    rejections.add(source.name, row.line, problem or Problem("unreadable"))
    return None, UNSPLIT


def _finish(kept: _Kept, types: Mapping[str, ColumnType]) -> Scan:
    good = np.frombuffer(kept.good, dtype=np.int8).astype(bool) if kept.good else np.zeros(0, dtype=bool)
    ids = np.array(kept.ids, dtype=np.uint64)
    positions = np.flatnonzero(good)
    first = positions[np.unique(ids[positions], return_index=True)[1]]
    duplicate = good.copy()
    duplicate[first] = False
    return Scan(
        good=good & ~duplicate,
        duplicate=duplicate,
        ids=ids,
        clusters=np.array(kept.clusters, dtype=np.uint64),
        given=np.array(kept.given, dtype=np.int8),
        source=np.array(kept.source, dtype=np.uint16),
        labels=np.array(kept.labels, dtype=np.int32),
        found_labels=tuple(kept.found_labels),
        types=types,
    )


def _required_columns(data: DataConfig) -> list[tuple[str, str]]:
    """Columns that every record must have, each with the key that names it."""
    labels = [data.label] if isinstance(data.label, str) else data.label or []
    put_together = data.assemble.model_dump(exclude={"window"}) if data.assemble is not None else {}
    return [
        *((f"data.assemble.{name}", column) for name, column in put_together.items()),
        *((f"data.fields.{name}", column) for name, column in data.fields.items()),
        *(("data.messages", column) for column in [data.messages] if column),
        *(("data.id", column) for column in [data.id] if column),
        *(("data.label", column) for column in labels),
        *(("data.pairs", column) for column in data.pairs),
        *(("data.weight", column) for column in [data.weight] if column),
        *((f"data.spans.{name}.offsets", span.offsets) for name, span in data.spans.items() if span.offsets),
        *((f"data.spans.{name}.tokens", span.tokens) for name, span in data.spans.items() if span.tokens),
    ]


def _optional_columns(data: DataConfig) -> list[str]:
    groups = [data.group] if isinstance(data.group, str) else data.group or []
    single = [*data.cluster_columns, data.task, data.split.column]
    return [*groups, *(column for column in single if column), *data.keep, *data.parse]


def _check_required(sources: Sequence[Source], data: DataConfig) -> None:
    """Look at the first rows of every source, so that a misspelt column is one error and not one a record."""
    if data.split.column is not None and any(source.split is not None for source in sources):
        raise ConfigError(
            "the split is named twice: by data.files and by data.split.column",
            got=data.split.column,
            expected="one of the two",
            fix="give data.files as a plain list, or leave out data.split.column",
        )
    required = _required_columns(data)
    for source in sources:
        check_format(source)
        with closing(read_rows(source, data)) as rows:
            first = [row.values for row in islice(rows, LOOKED_AT) if row.values is not None]
        for key, column in required:
            if first and all(_absent(values, column, data) for values in first):
                names = dict.fromkeys(name for values in first for name in column_names(values))
                raise _no_such_column(column, names, data, where=f"{source.name}: no record", key=key)


def _absent(values: Mapping[str, Any], column: str, data: DataConfig) -> bool:
    """A path into a cell that is still to be parsed cannot be judged yet."""
    inside_parsed = any(column.startswith(f"{parsed}.") for parsed in data.parse)
    return not inside_parsed and lookup(values, column) is MISSING


def _no_such_column(
    column: str, names: Mapping[str, None], data: DataConfig, *, where: str, key: str | None = None
) -> DataError:
    near = nearest(column, names)
    listed = ", ".join(list(names)[:LISTED_COLUMNS])
    hint = "columns of nested objects are written a.b"
    if data.assemble is not None and key is None:
        hint = "a document has the columns in which all its rows agree, and its labels"
    key = key or next((key for key, value in _named(data) if value == column), "data")
    if key == "data.cluster":
        hint = "name the column that tells which records belong together, or data.cluster=null where none does"
    return DataError(
        f"{where} has the column '{column}' that {key} names",
        got=column,
        expected=f"a column of the source: {listed}",
        fix=f"did you mean '{near}'?" if near else hint,
    )


def _named(data: DataConfig) -> list[tuple[str, str]]:
    groups = [data.group] if isinstance(data.group, str) else data.group or []
    pairs = [
        *(("data.cluster", column) for column in data.cluster_columns),
        ("data.task", data.task),
        ("data.split.column", data.split.column),
    ]
    return [
        *(("data.group", column) for column in groups),
        *((key, column) for key, column in pairs if column),
        *(("data.keep", column) for column in data.keep),
        *(("data.parse", column) for column in data.parse),
    ]
