"""The predictions file of a run, as metrics read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lossmith.errors import DataError, InputError


@dataclass(frozen=True)
class Predictions:
    """One row a record, failures included; `where` names the file in errors."""

    table: pa.Table
    where: str

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """The record ids, in file order."""
        return [str(one) for one in self.table["id"].to_pylist()]

    @cached_property
    def failed(self) -> np.ndarray:
        """Mask (records,) of rows that hold an error or no prediction."""
        missing = self.table["prediction"].is_null()
        if "error" in self.table.column_names:
            missing = pc.or_(missing, self.table["error"].is_valid())
        return np.asarray(missing.to_pylist(), dtype=bool)

    @property
    def clusters(self) -> list[Any] | None:
        """The cluster of each record, None where the file names none."""
        return self._optional("cluster")

    @property
    def groups(self) -> list[Any] | None:
        """The group of each record, None where the file names none."""
        return self._optional("group")

    def column(self, name: str) -> list[Any]:
        """A column as a list; the prediction of a failed row is None, whatever text it holds.

        Raises InputError where the file lacks the column, DataError where a record has no target.
        """
        if name not in self.table.column_names:
            raise InputError(
                f"{self.where} has no column '{name}'",
                got=", ".join(self.table.column_names),
                expected=f"a column '{name}', which the asked metric reads",
            )
        values = self.table[name].to_pylist()
        if name == "prediction":
            return [None if failed else value for value, failed in zip(values, self.failed, strict=True)]
        if name == "target":
            lacking = [one for one, value in zip(self.ids, values, strict=True) if value is None or value == []]
            if lacking:
                raise DataError(
                    f"{len(lacking)} records of {self.where} have no target",
                    got=", ".join(lacking[:5]),
                    expected="a target for every record that is scored",
                )
        return values

    def take(self, rows: np.ndarray) -> Predictions:
        """Some of the records, by index."""
        return Predictions(self.table.take(pa.array(rows)), self.where)

    def answering(self, texts: Sequence[str]) -> Predictions:
        """The same records with other predictions, none of them failed."""
        table = self.table.set_column(
            self.table.column_names.index("prediction"), "prediction", pa.array(texts, type=pa.string())
        )
        if "error" in table.column_names:
            table = table.drop_columns(["error"])
        return Predictions(table, self.where)

    def _optional(self, name: str) -> list[Any] | None:
        if name not in self.table.column_names or self.table[name].null_count == len(self):
            return None
        return list(self.table[name].to_pylist())


def read_predictions(path: Path) -> Predictions:
    """Read `predictions/<split>.parquet`.

    Raises InputError where it is missing, damaged, empty, or where ids are lacking or repeat.
    """
    if not path.exists():
        raise InputError(
            f"there are no predictions at {path}",
            expected="the file that `lossmith predict` writes",
            fix=f"lossmith predict {path.parent.parent} --split {path.stem}",
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no readable parquet file: {error}", fix="predict the split again") from error
    for name in ("id", "prediction"):
        if name not in table.column_names:
            raise InputError(f"{path} has no column '{name}'", got=", ".join(table.column_names), expected=name)
    if table.num_rows == 0:
        raise InputError(f"{path} holds no record", expected="at least one predicted record")
    predictions = Predictions(table, str(path))
    if repeated := [one for one, times in Counter(predictions.ids).items() if times > 1]:
        raise DataError(
            f"{len(repeated)} ids stand more than once in {path}",
            got=", ".join(repeated[:5]),
            expected="one row a record",
            fix="name a unique column in data.id",
        )
    return predictions
