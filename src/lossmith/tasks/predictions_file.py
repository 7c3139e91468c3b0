"""The predictions file: what is kept of each record, and beside it what a model said of it, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.runs import atomic_path
from lossmith.tasks.references import REFERENCES
from lossmith.tasks.rows import Rows

CHUNK = 256
_OF_THE_RECORD = ("id", "group", "cluster", "task", "prompt", "target", REFERENCES)


def write_rows(rows: Rows, answers: Iterator[dict[str, Any]], path: Path, *, made: pa.Schema) -> tuple[int, int]:
    """Write one row a record, a chunk at a time; returns rows and failures.

    `answers` holds for each record, in order, the columns that `made` names, `error` among them. Before them stand id,
    group, cluster and task where the records have them, what is kept of the source, prompt and target, and all
    references where records share them. A kept column of a name that the file needs is `keep.NAME`. What `made` has as
    metadata stays with the file.
    """
    facts = _facts(rows.table, made)
    schema = pa.schema([*facts.schema, *made], metadata=made.metadata)
    failures, done = 0, 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while chunk := list(islice(answers, CHUNK)):
            writer.write_table(_beside(facts.slice(done, len(chunk)), chunk, made))
            done += len(chunk)
            failures += sum(answer["error"] is not None for answer in chunk)
    return done, failures


def table_of_rows(rows: Rows, answers: Iterator[dict[str, Any]], *, made: pa.Schema) -> pa.Table:
    """The same in memory."""
    return _beside(_facts(rows.table, made), list(answers), made)


def _facts(table: pa.Table, made: pa.Schema) -> pa.Table:
    given = [n for n in ("group", "cluster", "task") if n in table.column_names and _holds_something(table, n)]
    kept = [n for n in table.column_names if n.startswith("keep.")]
    shared = [n for n in (REFERENCES,) if n in table.column_names]
    columns = ["id", *given, *kept, "prompt", "target", *shared]
    reserved = {*_OF_THE_RECORD, *made.names}
    names = [n.removeprefix("keep.") for n in columns]
    told = [own if n == own or own not in reserved else n for n, own in zip(columns, names, strict=True)]
    return table.select(columns).rename_columns(told).replace_schema_metadata(None)


def _holds_something(table: pa.Table, name: str) -> bool:
    return bool(table[name].null_count < table.num_rows)


def _beside(facts: pa.Table, answers: list[dict[str, Any]], made: pa.Schema) -> pa.Table:
    columns = [*facts.columns, *(pa.array([one[n] for one in answers], made.field(n).type) for n in made.names)]
    return pa.Table.from_arrays(columns, schema=pa.schema([*facts.schema, *made], metadata=made.metadata))
