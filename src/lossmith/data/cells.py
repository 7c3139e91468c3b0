"""One type for a column whose values are seen one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_INT64 = 1 << 63


class ColumnType:
    """Learns the narrowest type that holds every value of a column: bool, int, float or text.

    Mixed types and nested values become text, JSON where they are no text already.

    >>> kind = ColumnType()
    >>> for value in (1, None, 2.5):
    ...     kind.observe(value)
    >>> kind.name, kind.convert(1)
    ('float', 1.0)
    """

    def __init__(self) -> None:
        self.name: str | None = None

    def observe(self, value: Any) -> None:
        """Widen the type so that it holds `value`; null fits every type."""
        if value is None or self.name == "text":
            return
        seen = _type_name(value)
        if self.name in (None, seen):
            self.name = seen
        elif {self.name, seen} == {"int", "float"}:
            self.name = "float"
        else:
            self.name = "text"

    def convert(self, value: Any) -> Any:
        """The value as the column holds it."""
        if value is None:
            return None
        if self.name == "float":
            return float(value)
        if self.name == "text" and not isinstance(value, str):
            return json.dumps(value, ensure_ascii=False, default=str)
        return value

    def arrow(self) -> pa.DataType:
        """The parquet type; a column of nulls alone is text."""
        import pyarrow as pa

        types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
        return types.get(self.name or "", pa.string())


def _type_name(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() if -_INT64 <= value < _INT64:
            return "int"
        case float():
            return "float"
    return "text"
