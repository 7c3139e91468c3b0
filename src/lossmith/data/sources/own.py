"""A source written by the user: a function that yields one dict a record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.data.records import Problem, Row
from lossmith.data.sources.jsonl import LONE_SURROGATE
from lossmith.errors import DataError, LossmithError
from lossmith.names import load_attribute


def read_own(function: str, paths: Sequence[Path], options: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of `module:function`, called as function([paths as text], **options).

    It must yield the same records each time it is called: it is read more than once. Raises DataError where it
    fails, with the number of the record.
    """
    call = load_attribute(function, what="source")
    number = 0
    try:
        for values in call([str(path) for path in paths], **options):
            number += 1
            yield _row(number, values)
    except LossmithError:
        raise
    except Exception as error:
        raise DataError(
            f"the source {function} failed after {number} records: {type(error).__name__}: {error}",
            got=function,
            expected="function(files, **options), which yields one dict a record",
        ) from error


def _row(number: int, values: Any) -> Row:
    if not isinstance(values, Mapping):
        return Row(number, None, Problem("not a dict", f"the source yielded a {type(values).__name__}"))
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError:
        return Row(number, None, LONE_SURROGATE)
    return Row(number, dict(values))
