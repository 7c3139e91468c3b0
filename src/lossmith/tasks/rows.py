"""Prepared rows of a split, as the training loop reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch.utils.data import Dataset


class Rows(Dataset[dict[str, Any]]):
    """The rows of a prepared parquet file; rows that hold an error (a prompt that did not fit) have no tokens.

    `columns` keeps memory at what the caller reads: training leaves the texts on disk. `numbers` are those of the
    rows in the file.
    """

    TRAINING = ("id", "task", "input_ids", "prompt_length", "supervised", "spans")

    def __init__(self, file: Path, *, columns: Sequence[str] | None = TRAINING, keep: np.ndarray | None = None):
        self.file = file
        self.table: pa.Table = pq.read_table(file, columns=list(columns) if columns else None)
        self.numbers = np.arange(self.table.num_rows) if keep is None else np.asarray(keep)
        if keep is not None:
            self.table = self.table.take(pa.array(keep))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"row": index}
        for name in self.table.column_names:
            row[name] = self.table.column(name)[index].as_py()
        return row

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, or chunks of its document, (rows,)."""
        unit = "chunks" if "chunks" in self.table.column_names else "input_ids"
        return np.asarray(pc.list_value_length(self.table.column(unit)).to_numpy())

    def ids(self, rows: Sequence[int]) -> list[str]:
        """Record ids of some rows."""
        return [str(self.table.column("id")[int(row)].as_py()) for row in rows]


def records_by_task(file: Path) -> dict[str | None, int]:
    """How many rows of a prepared file each task has, most first; None for those without a task."""
    counted = pq.read_table(file, columns=["task"]).group_by("task").aggregate([([], "count_all")])
    pairs = zip(counted.column("task").to_pylist(), counted.column("count_all").to_pylist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0] or "")))


def positions_of_task(rows: Rows, task: str | None, *, other_than: Sequence[str] = ()) -> dict[str, Any]:
    """What the audit tells of a split, of the rows of one task alone; with None, of those of no task in `other_than`.

    Keys: records, tokens, supervised_tokens, and spans, each with its tokens.
    """
    column = rows.table.column("task")
    own = pc.equal(column, task) if task else pc.invert(pc.is_in(column, value_set=pa.array(other_than, pa.string())))
    table = rows.table.select(["input_ids", "supervised", "spans"]).filter(pc.fill_null(own, False))

    def lengths(intervals: pa.Array) -> np.ndarray:
        ends, starts = (pc.struct_field(intervals, side).to_numpy() for side in ("end", "start"))
        return np.asarray(ends - starts)

    spans = table.column("spans").combine_chunks().flatten()
    names = np.asarray(pc.struct_field(spans, "name").to_pylist(), dtype=object)
    tokens = lengths(spans)
    return {
        "records": table.num_rows,
        "tokens": pc.sum(pc.list_value_length(table.column("input_ids"))).as_py() or 0,
        "supervised_tokens": int(lengths(table.column("supervised").combine_chunks().flatten()).sum()),
        "spans": {name: {"tokens": int(tokens[names == name].sum())} for name in dict.fromkeys(names)},
    }


def sample(count: int, limit: int | None, *, seed: int) -> np.ndarray | None:
    """Row numbers of a seeded sample in file order, or None for all of them.

    >>> sample(5, 2, seed=0).tolist()
    [2, 4]
    """
    if limit is None or limit >= count:
        return None
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])
