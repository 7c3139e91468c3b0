"""Text of data in a terminal: what is unseen is seen, and nothing moves the cursor."""

from __future__ import annotations

_SIGNS = {"\n": "↵", "\t": "⇥", "\r": "␍"}


def visible(text: str, *, blanks: bool = False) -> str:
    r"""Text whose unseen characters are seen, so that none can move the cursor or hide; with `blanks`, spaces too.

    >>> visible("a\tb\n", blanks=True), visible("\x1b[2J")
    ('a⇥b↵', '\\x1b[2J')
    """
    return "".join(_sign(character, blanks) for character in text)


def _sign(character: str, blanks: bool) -> str:
    if character == " ":
        return "·" if blanks else " "
    if character in _SIGNS:
        return _SIGNS[character]
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
