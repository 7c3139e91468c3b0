"""Columns by dotted path, and cells that hold lists as text."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from lossmith.data.rejection import RecordError
from lossmith.data.sources.jsonl import parse_json

MAX_LITERAL_CHARACTERS = 1 << 20
LIST_JOINT = " & "


class _Missing:
    """The value of a column that a record does not have; None is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def lookup(values: Any, path: str) -> Any:
    """The value at a dotted path into dicts and lists, or MISSING.

    A key that itself holds dots goes before the path.

    >>> lookup({"a": [{"b": 1}]}, "a.0.b"), lookup({"a.b": 2}, "a.b"), lookup({}, "a")
    (1, 2, MISSING)
    """
    if isinstance(values, Mapping):
        if path in values:
            return values[path]
        for dot in _dots(path):
            if (head := path[:dot]) in values:
                found = lookup(values[head], path[dot + 1 :])
                if found is not MISSING:
                    return found
        return MISSING
    if isinstance(values, list):
        head, _, rest = path.partition(".")
        if head.isascii() and head.isdigit() and int(head) < len(values):
            return lookup(values[int(head)], rest) if rest else values[int(head)]
    return MISSING


def replace(values: Any, path: str, value: Any) -> Any:
    """`values` with the value at an existing path exchanged; what lies on the path is copied, nothing is changed.

    >>> replace({"a": ["x", "y"]}, "a.1", 2)
    {'a': ['x', 2]}
    """
    if isinstance(values, list):
        head, _, rest = path.partition(".")
        changed = list(values)
        changed[int(head)] = replace(values[int(head)], rest, value) if rest else value
        return changed
    if path in values:
        return {**values, path: value}
    for dot in _dots(path):
        head, rest = path[:dot], path[dot + 1 :]
        if head in values and lookup(values[head], rest) is not MISSING:
            return {**values, head: replace(values[head], rest, value)}
    raise KeyError(path)


def column_names(values: Mapping[str, Any]) -> list[str]:
    """Names that a configuration may give: the columns, and those of nested objects as dotted paths."""
    names: list[str] = []
    for name, value in values.items():
        names.append(name)
        if isinstance(value, Mapping):
            names += [f"{name}.{inner}" for inner in column_names(value)]
    return names


def as_text(value: Any) -> str | None:
    """A cell as the text of an id, a group, a cluster or a class; an empty or blank one is None.

    >>> as_text(True), as_text(2.0), as_text(["b", "a"]), as_text(" ")
    ('true', '2', 'a & b', None)
    """
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            texts = sorted(text for item in value if (text := as_text(item)) is not None)
            return LIST_JOINT.join(texts) or None
    return str(value).strip() or None


def parse_cell(value: Any, how: str) -> Any:
    """What a text cell holds, read as `how` says; what is no text (a list already, null) stays.

    `json` is JSON, `literal` a Python literal, `list` one of the two where it begins with a bracket, else one item
    a line, or, in one line, items between commas and semicolons outside brackets.

    Raises RecordError.

    >>> parse_cell("[15, 16]", "literal"), parse_cell("hep-th, math.AG", "list")
    ([15, 16], ['hep-th', 'math.AG'])
    """
    if not isinstance(value, str):
        return value
    return PARSERS[how](value)


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"cell is not JSON: {str(error) or type(error).__name__}") from None


def _literal(text: str) -> Any:
    if len(text) > MAX_LITERAL_CHARACTERS:
        raise RecordError(f"cell is no literal: more than {MAX_LITERAL_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        what = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise RecordError(f"cell is no literal: {what}") from None


def _list(text: str) -> list[Any]:
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            read = parse_json(stripped)
        except (ValueError, RecursionError):
            read = _literal(stripped)
        if not isinstance(read, list):
            raise RecordError(f"cell is no list: a {type(read).__name__}")
        return read
    parts = stripped.splitlines() if "\n" in stripped else _outside_brackets(stripped)
    return [part.strip() for part in parts if part.strip()]


def _outside_brackets(text: str) -> list[str]:
    parts, start, depth = [], 0, 0
    for mark in re.finditer(r"[()\[\],;]", text):
        if mark[0] in "([":
            depth += 1
        elif mark[0] in ")]":
            depth = max(0, depth - 1)
        elif depth == 0:
            parts.append(text[start : mark.start()])
            start = mark.end()
    return [*parts, text[start:]]


def _dots(path: str) -> list[int]:
    return [found.start() for found in re.finditer(r"\.", path)]


PARSERS: Mapping[str, Callable[[str], Any]] = {"json": _json, "literal": _literal, "list": _list}
