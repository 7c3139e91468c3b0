"""Named intervals of characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lossmith.errors import ConfigError, DataError

RESERVED = ("answer", "prompt")  # every record has these two; they follow from the template, not from a tag
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class CharSpan:
    """The characters `start` to `end` (half open) of a text, under a name.

    `item` is the running number, in text order, of this occurrence of the name inside the record. Where occurrences
    of one name nest, the outer comes first: whoever paints numbers in order leaves each character with its innermost.
    """

    name: str
    start: int
    end: int
    item: int


def check_name(name: str, *, where: str) -> str:
    """`name`, if a span may be called so.

    Raises ConfigError: a name is letters, digits and underscores, because a term writes `-name` to take a span away.

    >>> check_name("ingredients", where="template")
    'ingredients'
    """
    if name in RESERVED:
        raise ConfigError(
            f"the span name '{name}' in {where} is taken",
            got=name,
            expected="a name of your own",
            fix=f"every record has a span '{name}' already; choose another name",
        )
    if not _NAME.match(name):
        raise ConfigError(
            f"{where} has a span name that no term could name",
            got=repr(name),
            expected="letters, digits and underscores, a letter first",
        )
    return name


def intervals_of(offsets: object) -> list[tuple[int, int]]:
    """Half-open character intervals from `[[start, end], ...]` or from a list of single character indices.

    Runs of neighbouring indices become one interval; the order of the source is not trusted. Raises DataError for
    anything else, for a negative start and for an end before its start.

    >>> intervals_of([[3, 9], [12, 15]])
    [(3, 9), (12, 15)]
    >>> intervals_of([15, 16, 17, 30, 31])
    [(15, 18), (30, 32)]
    """
    if not isinstance(offsets, (list, tuple)):
        raise _not_offsets(offsets)
    if all(_is_index(value) for value in offsets):
        return _runs(offsets)
    intervals: list[tuple[int, int]] = []
    for pair in offsets:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(_is_index(value) for value in pair):
            raise _not_offsets(pair)
        start, end = pair
        if end < start:
            raise _not_offsets(pair)
        intervals.append((start, end))
    return sorted(intervals)


def number_items(found: Iterable[tuple[str, int, int]]) -> tuple[CharSpan, ...]:
    """Spans in text order, the outer before the inner, with item numbers by name.

    >>> [(s.name, s.item) for s in number_items([("b", 4, 6), ("a", 7, 9), ("a", 0, 3)])]
    [('a', 0), ('b', 0), ('a', 1)]
    """
    seen: Counter[str] = Counter()
    spans = []
    for name, start, end in sorted(found, key=lambda span: (span[1], -span[2])):
        spans.append(CharSpan(name, start, end, seen[name]))
        seen[name] += 1
    return tuple(spans)


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _not_offsets(got: object) -> DataError:
    return DataError(
        "these are no character offsets",
        got=repr(got)[:80],
        expected="[[start, end], ...] with 0 <= start <= end, or a list of character indices",
    )
