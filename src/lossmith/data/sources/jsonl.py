"""JSON Lines: one object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from lossmith.data.records import Problem, Row
from lossmith.data.sources.lines import MAX_BYTES, Line, decode, read_lines

LONE_SURROGATE = Problem("lone surrogate", "half of a \\ud800-\\udfff pair, which UTF-8 cannot hold")

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_jsonl(stream: BinaryIO) -> Iterator[Row]:
    """One row a line that is not blank; a damaged line becomes a row with its problem, and reading goes on.

    >>> import io
    >>> [row.values or row.problem.reason for row in read_jsonl(io.BytesIO(b'{"a": 1}\\n{"a": \\n'))]
    [{'a': 1}, 'bad JSON']
    """
    for line in read_lines(stream):
        if line.content is None:
            yield Row(line.number, None, Problem("line too long", f"more than {MAX_BYTES} bytes"))
        elif line.content.strip():
            yield _read_line(line)


def _read_line(line: Line) -> Row:
    try:
        text = decode(line.content or b"")
    except UnicodeDecodeError as error:
        return Row(line.number, None, Problem("invalid UTF-8", f"byte {error.start + 1} of the line"))
    except ValueError as error:
        return Row(line.number, None, Problem("NUL in the line", str(error)))
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:
        reason = "bad JSON" if line.ended else "truncated last line"
        return Row(line.number, None, Problem(reason, str(error) or type(error).__name__))
    if (problem := object_problem(value, text)) is not None:
        return Row(line.number, None, problem)
    return Row(line.number, value)


def parse_json(text: str) -> Any:
    """JSON with NaN read as null, as pandas writes missing numbers; Infinity is refused.

    >>> parse_json('{"a": NaN}')
    {'a': None}
    """
    return json.loads(text, parse_constant=read_constant)


def object_problem(value: Any, text: str) -> Problem | None:
    """Why a JSON value is no record: it is no object, or holds half of a surrogate pair, which UTF-8 cannot write."""
    if not isinstance(value, dict):
        return Problem("not an object", f"a JSON {type(value).__name__} where an object was expected")
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return LONE_SURROGATE
    return None


def read_constant(name: str) -> None:
    """NaN as null; raises ValueError for Infinity."""
    if name != "NaN":
        raise ValueError(f"{name} is not JSON")
