"""Tokenised rows of a split, as the training loop reads them."""

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

    `columns` keeps memory at what the caller reads: training leaves the texts on disk.
    """

    TRAINING = ("id", "input_ids", "prompt_length", "supervised", "spans")

    def __init__(self, file: Path, *, columns: Sequence[str] | None = TRAINING, keep: np.ndarray | None = None):
        self.file = file
        self.table: pa.Table = pq.read_table(file, columns=list(columns) if columns else None)
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
        """Tokens of each row, (rows,)."""
        return np.asarray(pc.list_value_length(self.table.column("input_ids")).to_numpy())

    def ids(self, rows: Sequence[int]) -> list[str]:
        """Record ids of some rows."""
        return [str(self.table.column("id")[int(row)].as_py()) for row in rows]


def sample(count: int, limit: int | None, *, seed: int) -> np.ndarray | None:
    """Row numbers of a seeded sample in file order, or None for all of them.

    >>> sample(5, 2, seed=0).tolist()
    [2, 4]
    """
    if limit is None or limit >= count:
        return None
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])
