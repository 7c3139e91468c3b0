"""A document cut where its evidence begins and ends, so that overlapping chunks can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CONTEXT = 240  # characters beside a mark that stay where the rest is hidden
_LOOK = 160  # characters within which such a stretch may end with a line or a word


@dataclass(frozen=True)
class Mark:
    """A chunk in characters of the document, half open; `strength` is its importance over the largest, -1 to 1."""

    start: int
    end: int
    strength: float


@dataclass(frozen=True)
class Piece:
    """A stretch of text under the same marks.

    `marks` are the numbers of those that cover it, the strongest first, and `begins` of those that begin with it. Of an
    unmarked stretch `far` is the part that lies away from every mark; it stands between `text` and `after`.
    """

    text: str
    marks: tuple[int, ...] = ()
    begins: tuple[int, ...] = ()
    strength: float = 0.0
    far: str = ""
    after: str = ""


def pieces(text: str, marks: Sequence[Mark]) -> list[Piece]:
    """The whole text in order; marks past its end are cut to it, and those of no length are left out.

    >>> held = pieces("abcdef", [Mark(1, 4, 1.0), Mark(3, 6, 0.5)])
    >>> [(one.text, one.marks, one.begins) for one in held]
    [('a', (), ()), ('bc', (0,), (0,)), ('d', (0, 1), (1,)), ('ef', (1,), ())]
    """
    held = {
        number: (_whole_line(text, max(0, mark.start)), _whole_line(text, min(len(text), mark.end)))
        for number, mark in enumerate(marks)
    }
    held = {number: span for number, span in held.items() if span[0] < span[1]}
    starting: dict[int, list[int]] = {}
    ending: dict[int, list[int]] = {}
    for number, (start, end) in held.items():
        starting.setdefault(start, []).append(number)
        ending.setdefault(end, []).append(number)
    cuts = sorted({0, len(text), *starting, *ending})
    found = []
    active: set[int] = set()
    for start, end in pairwise(cuts):
        begins = tuple(sorted(starting.get(start, ())))
        active = (active - set(ending.get(start, ()))) | set(begins)
        if not active:
            found.append(_unmarked(text[start:end], first=start == 0, last=end == len(text)))
            continue
        covering = sorted(active, key=lambda number: (-abs(marks[number].strength), number))
        found.append(Piece(text[start:end], tuple(covering), begins, marks[covering[0]].strength))
    return found


def shown_alone(found: Sequence[Piece]) -> int:
    """Characters that stand away from every mark."""
    return sum(len(piece.far) for piece in found)


def _whole_line(text: str, cut: int) -> int:
    """The cut, moved behind a line's end of two characters that it would part."""
    return cut + 1 if 0 < cut < len(text) and text[cut - 1 : cut + 1] == "\r\n" else cut


def _unmarked(text: str, *, first: bool, last: bool) -> Piece:
    """Unmarked text with the middle set apart where that is worth it; the document's ends have a mark at one side."""
    start = 0 if first else CONTEXT
    end = len(text) if last else len(text) - CONTEXT
    if end - start < 2 * CONTEXT:
        return Piece(text)
    start, end = _beside_blank(text, start, step=-1), _beside_blank(text, end, step=1)
    return Piece(text[:start], far=text[start:end], after=text[end:])


def _beside_blank(text: str, cut: int, *, step: int) -> int:
    """The nearest beginning of a line in the direction of `step`, or else of a word, so that none is cut."""
    near = [place for place in range(cut, cut + step * _LOOK, step) if 0 < place < len(text)]
    lines = (place for place in near if text[place - 1] == "\n")
    words = (place for place in near if text[place - 1].isspace())
    return next(lines, next(words, cut))
