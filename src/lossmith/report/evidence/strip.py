"""Where in a document chunks stand: a strip as long as the document, with a bar for each."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from lossmith.report.evidence.pieces import Mark

LENGTH, HEIGHT = 1000, 12  # of the drawing's own coordinates; the page stretches it
_THINNEST = 3.0


def strip(spoken: str, length: int, marks: Sequence[Mark]) -> Markup:
    """Draw the marks of a document of `length` characters; the stronger a mark, the stronger its colour.

    `spoken` says the picture in words.
    """
    bars = [_bar(mark, length) for mark in sorted(marks, key=lambda mark: abs(mark.strength))] if length else []
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(spoken, LENGTH, HEIGHT, Markup("").join(bars))


def place_in_words(start: int, length: int) -> str:
    """How far into the document a character stands.

    >>> place_in_words(50, 200)
    '25 % in'
    """
    return f"{round(100 * start / length) if length else 0} % in"


def _bar(mark: Mark, length: int) -> Markup:
    width = max(_THINNEST, LENGTH * (mark.end - mark.start) / length)
    left = min(LENGTH * mark.start / length, LENGTH - width)
    return Markup('<rect class="{}" x="{:.1f}" y="0" width="{:.1f}" height="{}" style="--s:{}"/>').format(
        "opposed" if mark.strength < 0 else "for", left, width, HEIGHT, tint(mark.strength)
    )


def tint(strength: float) -> int:
    """How strongly a mark is coloured, 0 to 100, whatever its sign."""
    return round(100 * min(1.0, abs(strength)))
