"""What a prepared row is judged by: its criterion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from lossmith.labels import CRITERION

_KEPT = f"keep.{CRITERION}"
_PAIR = "pair"
CRITERION_COLUMNS = (_KEPT, _PAIR)


def criterion_of(row: Mapping[str, Any]) -> str | None:
    """The criterion of a prepared row: as the kept column of that name has it, else the second text of its pair.

    >>> criterion_of({"pair": "May it be ended alone?", "keep.criterion": "ter"}), criterion_of({"prompt": "Dear all"})
    ('ter', None)
    """
    found = row.get(_KEPT)
    found = row.get(_PAIR) if found is None else found
    return None if found is None else str(found)


def criteria_of(table: pa.Table) -> list[str | None]:
    """The same of every row of a table."""
    held = [name for name in CRITERION_COLUMNS if name in table.column_names]
    if not held:
        return [None] * int(table.num_rows)
    return [criterion_of(row) for row in table.select(held).to_pylist()]
