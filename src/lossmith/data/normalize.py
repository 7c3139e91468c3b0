"""Named text steps of `data.normalize`."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lossmith.data.british import to_british
from lossmith.errors import unknown_name

Step = Callable[[str], str]

_BLANKS_IN_LINE = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_URL = re.compile(r"(?:https?://|www\.)\S+")
_USER = re.compile(r"(?<![\w@])@\w+")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
UK_SPELLING = "uk_spelling"
_KEPT_CONTROLS = "\t\n"


def _collapse_spaces(text: str) -> str:
    return _BLANK_LINES.sub("\n\n", _BLANKS_IN_LINE.sub(" ", text))


def _remove_control(text: str) -> str:
    return "".join(c for c in text if c in _KEPT_CONTROLS or unicodedata.category(c) != "Cc")


STEPS: Mapping[str, Step] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "strip": str.strip,
    "collapse_whitespace": lambda text: " ".join(text.split()),
    "collapse_spaces": _collapse_spaces,  # line breaks stay, at most one blank line
    "lower": str.lower,
    "unescape_html": html.unescape,
    "straight_quotes": lambda text: text.translate(_QUOTES),
    "remove_control": _remove_control,
    "mask_urls": lambda text: _URL.sub("<url>", text),
    "mask_users": lambda text: _USER.sub("<user>", text),
    UK_SPELLING: to_british,
}


def steps_of(names: Sequence[str], *, respelled: list[tuple[str, str]] | None = None) -> tuple[Step, ...]:
    """The functions of the named steps, in order; `respelled` is told each word that `uk_spelling` changes.

    Raises InputError for an unknown name, with the nearest one.
    """
    for name in names:
        if name not in STEPS:
            raise unknown_name("text step", name, STEPS, where="data.normalize")
    telling = partial(to_british, changed=respelled)
    return tuple(telling if name == UK_SPELLING else STEPS[name] for name in names)


def normalize(value: Any, steps: Sequence[Step]) -> Any:
    """Every text in a value, through the steps; lists and the values of dicts too.

    >>> normalize(["a  b ", 3], steps_of(["collapse_whitespace"]))
    ['a b', 3]
    """
    if isinstance(value, str):
        for step in steps:
            value = step(value)
        return value
    if isinstance(value, list):
        return [normalize(item, steps) for item in value]
    if isinstance(value, dict):
        return {key: normalize(item, steps) for key, item in value.items()}
    return value
