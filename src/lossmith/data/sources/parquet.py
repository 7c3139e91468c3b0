"""Parquet, read in small batches."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lossmith.data.records import Problem, Row
from lossmith.errors import DataError

BATCH_ROWS = 128


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows by number from 1, nested columns as lists and dicts, dates as ISO text, NaN as null.

    Raises DataError where the file is no parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield _row(number, values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is damaged or no parquet file", got=str(error).splitlines()[0]) from error


def _row(number: int, values: dict[str, Any]) -> Row:
    try:
        return Row(number, {name: _plain(value) for name, value in values.items()})
    except UnicodeDecodeError as error:
        return Row(number, None, Problem("invalid UTF-8", f"a binary cell, byte {error.start + 1}"))


def _plain(value: Any) -> Any:
    match value:
        case float() if math.isnan(value):
            return None
        case bytes():
            return value.decode("utf-8")
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal():
            return float(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
