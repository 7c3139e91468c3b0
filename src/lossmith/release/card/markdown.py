"""Markdown that holds its shape whatever the text in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

# Two parts or more of an absolute path; what stands before tells it from the rest of an address or a fraction.
_PLACE = re.compile(r"(?<![\w:/.<~-])~?(?:/[^\s/'\"`|,;()\[\]]+){2,}/?")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table with a column for each key, numbers to the right; empty for no rows.

    >>> print(table([{"what": "a | b", "n": 2}]))
    | what | n |
    |:--|--:|
    | a \\| b | 2 |
    """
    if not rows:
        return ""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    numeric = [all(isinstance(row.get(key), int | float | None) for row in rows) for key in keys]
    lines = [keys, [("--:" if right else ":--") for right in numeric]]
    lines = [[_cell(key) for key in keys], lines[1], *([_cell(row.get(key)) for key in keys] for row in rows)]
    head, rule, *body = lines
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "|".join(rule) + "|", *(_line(cells) for cells in body)])


def code(text: str, language: str = "") -> str:
    """A block of code, fenced by more backticks than it holds in a row.

    >>> code("a ``` b").splitlines()[0]
    '````'
    """
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def section(title: str, *parts: str) -> str:
    """A heading with what stands under it; empty where there is nothing."""
    held = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *held]) if held else ""


def without_places(text: str) -> str:
    """The text with absolute paths cut to the name of what they lead to: where a file lay is nobody's business.

    >>> without_places("read /data/dreams/a.jsonl, see https://hf.co/a/b and 1/2/3")
    'read a.jsonl, see https://hf.co/a/b and 1/2/3'
    """
    return _PLACE.sub(lambda found: PurePosixPath(found.group().rstrip("/")).name, text)


def number(value: Any) -> str:
    """A figure as people write it, a dash for none.

    >>> number(None), number(0.123456), number(12)
    ('-', '0.1235', '12')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    told = number(value) if not isinstance(value, str) else value
    return re.sub(r"\s+", " ", told).replace("|", "\\|").strip()
