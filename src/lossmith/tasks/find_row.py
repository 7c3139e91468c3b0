"""One prepared row among many, by the id of its record."""

from __future__ import annotations

import heapq
import os.path
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lossmith.errors import nearest

_COMPARED = 2000  # ids that a misspelt one is compared with


def numbers_of(file: Path, id: str) -> list[int]:  # noqa: A002
    """The numbers of the rows of a prepared file that are of this record: one, or several where it is repeated."""
    ids = pq.read_table(file, columns=["id"]).column("id").combine_chunks()
    return list(pc.indices_nonzero(pc.equal(ids, pa.scalar(id, ids.type))).to_pylist())


def read_row(file: Path, number: int) -> dict[str, Any]:
    """One row of a prepared file as the training loop has it; reads the group of rows around it alone."""
    return {"row": number, **row_table(file, number).to_pylist()[0]}


def row_table(file: Path, number: int) -> pa.Table:
    """The same as a table of one row."""
    return next(_tables(file, [number], columns=None))[1]


def read_rows(file: Path, numbers: Iterable[int], *, columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Some columns of some rows by their numbers; memory is that of one group of rows."""
    return {
        number: row
        for own, table in _tables(file, sorted(set(numbers)), columns=columns)
        for number, row in zip(own, table.to_pylist(), strict=True)
    }


def _tables(
    file: Path, numbers: Sequence[int], *, columns: Sequence[str] | None
) -> Iterator[tuple[Sequence[int], pa.Table]]:
    """The rows of each group that are among the numbers, which rise, and those."""
    parquet = pq.ParquetFile(file)
    first = 0
    for group in range(parquet.num_row_groups):
        size = parquet.metadata.row_group(group).num_rows
        own = [number for number in numbers if first <= number < first + size]
        if own:
            table = parquet.read_row_group(group, columns=None if columns is None else list(columns))
            yield own, table.take(pa.array([number - first for number in own]))
        first += size
    if numbers and numbers[-1] >= first:
        raise IndexError(f"{file} has no row {numbers[-1]}")


def near_ids(id: str, known: Iterable[str], *, count: int = 1) -> list[str]:  # noqa: A002
    """The ids that a misspelt one most likely meant, the likeliest first.

    >>> near_ids("recipes:21", ["recipes:1", "recipes:12", "beeton:21"], count=2)
    ['recipes:1', 'recipes:12']
    """
    # Comparing with every id of a large source would take minutes.
    compared = heapq.nlargest(_COMPARED, set(known), key=lambda own: (len(os.path.commonprefix([own, id])), own))
    found: list[str] = []
    while len(found) < count and (near := nearest(id, compared)) is not None:
        found.append(near)
        compared.remove(near)
    return found
