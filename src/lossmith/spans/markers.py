"""Marks that ride through a template inside the text, so that offsets are read and never searched for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from lossmith.errors import DataError

# Private-use code points in blocks of 4096, aligned, so that `code >> 12` is the block. F000-FFFF and the last blocks
# of the two planes hold code points that are not private, and are left out.
_BLOCK_BITS = 12
_BLOCK = 1 << _BLOCK_BITS
_BLOCKS = (*range(0xF0, 0xFF), *range(0x100, 0x10F), 0xE)
_FIX = "mark the text after it has been cut or filtered, not before"
_PRIVATE = re.compile("[\ue000-\uefff\U000f0000-\U000fefff\U00100000-\U0010efff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """One marked interval as it stands in the text without marks; `event` is the number `wrap` gave it."""

    name: str
    start: int
    end: int
    event: int


class Markers:
    """Gives out one unused private-use code point per opening and closing, and reads them back.

    `texts` are the rendered texts that the marks will travel in: a block of code points that any of them uses is
    left alone, so a text may hold private-use characters of its own. Raises DataError when every block is in use.

    >>> markers = Markers(["salt and salt"])
    >>> marked = "salt and " + markers.wrap("second", " salt ")
    >>> markers.read(marked, "salt and  salt ", where="the example")
    [Mark(name='second', start=10, end=14, event=0)]
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._base = _free_block(texts)
        self._names: list[str] = []

    @property
    def events(self) -> int:
        """Intervals wrapped so far; the next one gets this number."""
        return len(self._names)

    def name(self, event: int) -> str:
        """The span name of an event."""
        return self._names[event]

    def wrap(self, name: str, text: str) -> str:
        """`text` with an opening and a closing mark inside its outer blanks; a blank text stays as it is."""
        body = text.strip()
        if not body:
            return text
        opening, closing = self._event(name)
        left = len(text) - len(text.lstrip())
        return f"{text[:left]}{opening}{body}{closing}{text[left + len(body) :]}"

    def wrap_intervals(self, text: str, intervals: Sequence[tuple[str, int, int]]) -> str:
        """`text` with marks around each (name, start, end), trimmed of blanks; intervals may overlap."""
        inserts: list[tuple[int, str]] = []
        for name, start, end in intervals:
            part = text[start:end]
            if not part.strip():
                continue
            opening, closing = self._event(name)
            inserts.append((start + len(part) - len(part.lstrip()), opening))
            inserts.append((start + len(part.rstrip()), closing))
        pieces, last = [], 0
        for position, mark in sorted(inserts, key=lambda insert: insert[0]):
            pieces += [text[last:position], mark]
            last = position
        return "".join([*pieces, text[last:]])

    def strip(self, text: str) -> str:
        """`text` without marks."""
        return _pattern(self._base).sub("", text)

    def inside(self, text: str) -> set[int]:
        """The events that have a mark in `text`."""
        return {(ord(mark) - self._base) // 2 for mark in _pattern(self._base).findall(text)}

    def read(self, marked: str, truth: str, *, where: str, fix: str | None = None) -> list[Mark]:
        """Where the marks of `marked` stand in `truth`, the same text rendered without marks.

        An interval that a template writes twice is read twice. Only blanks may differ between the two texts. Raises
        DataError, naming `where` and the span, when anything else differs or a mark has lost its partner; `fix` says
        what to do about that, where the caller knows better.
        """
        parts = _pattern(self._base).split(marked)
        plain = parts[::2]
        positions = accumulate(len(piece) for piece in plain[:-1])
        marks = [(ord(mark) - self._base, at) for mark, at in zip(parts[1::2], positions, strict=True)]
        stripped = "".join(plain)
        if stripped != truth:
            marks = self._realign(stripped, truth, marks, where=where)
        ends: dict[int, list[int]] = defaultdict(list)
        for code, position in marks:
            ends[code].append(position)
        return self._pair(ends, where, fix=fix or _FIX)

    def _event(self, name: str) -> tuple[str, str]:
        code = self._base + 2 * len(self._names)
        if code + 1 >= self._base + _BLOCK:
            raise DataError(
                f"a record has more than {_BLOCK // 2} marked spans",
                got=f"span '{name}' as number {_BLOCK // 2 + 1}",
                fix="mark longer parts, or split the record",
            )
        self._names.append(name)
        return chr(code), chr(code + 1)

    def _pair(self, ends: dict[int, list[int]], where: str, *, fix: str) -> list[Mark]:
        marks = []
        for event in sorted({code // 2 for code in ends}):
            opened, closed = ends.get(2 * event, []), ends.get(2 * event + 1, [])
            if len(opened) != len(closed) or any(a > b for a, b in zip(opened, closed, strict=True)):
                raise DataError(
                    f"span '{self._names[event]}' is cut apart by {where}",
                    got=f"{len(opened)} beginnings and {len(closed)} ends",
                    expected="the text of a span written whole, or not at all",
                    fix=fix,
                )
            marks += [Mark(self._names[event], a, b, event) for a, b in zip(opened, closed, strict=True) if b > a]
        return sorted(marks, key=lambda mark: (mark.start, -mark.end, mark.event))

    def _realign(self, stripped: str, truth: str, marks: list[tuple[int, int]], *, where: str) -> list[tuple[int, int]]:
        """The (code, position) of marks moved into `truth`, counted in characters that are not blank."""
        ours, theirs = "".join(stripped.split()), "".join(truth.split())
        counts = [len("".join(stripped[:position].split())) for _, position in marks]
        if ours != theirs:
            pairs = enumerate(zip(ours, theirs, strict=False))
            at = next((index for index, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
            codes = [code for (code, _), count in zip(marks, counts, strict=True) if count <= at]
            named = f"span '{self._names[codes[-1] // 2]}' is" if codes else "its spans are"
            raise DataError(
                f"{where} writes another text when {named} marked",
                got=ours[max(0, at - 30) : at + 30],
                expected=theirs[max(0, at - 30) : at + 30],
                fix="the template tests, counts or cuts the marked text; mark it after that step",
            )
        solid = [index for index, character in enumerate(truth) if not character.isspace()]
        return [
            (code, solid[count] if code % 2 == 0 else solid[count - 1] + 1)
            for (code, _), count in zip(marks, counts, strict=True)
        ]


def _free_block(texts: Iterable[str]) -> int:
    used: set[int] = set()
    for text in texts:
        if not text.isascii():
            used.update(ord(character) >> _BLOCK_BITS for character in _PRIVATE.findall(text))
    for block in _BLOCKS:
        if block not in used:
            return block << _BLOCK_BITS
    raise DataError(
        "a text uses every block of private-use characters, so none is left to mark spans with",
        fix="remove private-use characters from the source, or the spans from the template",
    )


@lru_cache(maxsize=64)
def _pattern(base: int) -> re.Pattern[str]:
    return re.compile(f"([{chr(base)}-{chr(base + _BLOCK - 1)}])")
