"""Numbers as recipes write them: 2, 1.5, 1,5, 1/2, 1 1/2, 1-1/2, a half, two dozen."""

from __future__ import annotations

import re

# The second number of a mixed one is a fraction below 1: "1-1/2" is one and a half, "1/4-1/2" a range.
_MIXED = re.compile(r"(\d+)(?:\s*-\s*|\s+(?:and|&)\s+|\s+)(\d+)/(\d+)(?![\d/])")
_FRACTION = re.compile(r"(\d+)/(\d+)(?![\d/])")
_DECIMAL = re.compile(r"\d+(?:[.,]\d+)*|\.\d+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PHRASES = (
    (re.compile(r"half a dozen\b", re.IGNORECASE), 6.0),
    (re.compile(r"a dozen\b", re.IGNORECASE), 12.0),
    (re.compile(r"(?:a )?couple(?: of)?\b", re.IGNORECASE), 2.0),
    (re.compile(r"one and a half\b", re.IGNORECASE), 1.5),
    (re.compile(r"three[ -]quarters?(?: of(?: an?)?\b)?(?![\w-])", re.IGNORECASE), 0.75),
    (re.compile(r"(?:an? |one[ -])?(?:quarter|fourth)(?: of)?(?: an?\b)?(?![\w-])", re.IGNORECASE), 0.25),
    (re.compile(r"(?:an? |one[ -])?half(?: of)?(?: an?\b)?(?![\w-])", re.IGNORECASE), 0.5),
)
_SPELLED = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
_WORDS = _SPELLED.split()
_WORD = re.compile(rf"({'|'.join(_WORDS)})(?: (dozen))?(?![\w-])", re.IGNORECASE)
_ARTICLE = re.compile(r"an?(?= (?!few\b|little\b|bit\b|lot\b|taste\b)[a-z])", re.IGNORECASE)


def read_number(text: str, start: int, *, article: bool = False) -> tuple[float, int] | None:
    """The number at `start` and where it ends; None where there is none. `article`: "a" and "an" are 1.

    >>> read_number("1 1/2 cups", 0), read_number("1,5 kg", 0), read_number("1,000 g", 0)
    ((1.5, 5), (1.5, 3), (1000.0, 5))
    >>> read_number("Half a pound", 0), read_number("an egg", 0, article=True), read_number("egg", 0)
    ((0.5, 6), (1.0, 2), None)
    """
    if found := _MIXED.match(text, start):
        whole, top, bottom = (int(part) for part in found.groups())
        if 0 < top < bottom:
            return whole + top / bottom, found.end()
    if (found := _FRACTION.match(text, start)) and int(found[2]):
        return int(found[1]) / int(found[2]), found.end()
    if found := _DECIMAL.match(text, start):
        return _decimal(found[0], start)
    for phrase, value in _PHRASES:
        if found := phrase.match(text, start):
            return value, found.end()
    if found := _WORD.match(text, start):
        value = _WORDS.index(found[1].lower()) + 1.0
        return value * 12 if found[2] else value, found.end()
    if article and (found := _ARTICLE.match(text, start)):
        return 1.0, found.end()
    return None


def _decimal(digits: str, start: int) -> tuple[float, int]:
    if _THOUSANDS.fullmatch(digits):
        return float(digits.replace(",", "")), start + len(digits)
    whole, mark, rest = re.match(r"(\d*)([.,]?)(\d*)", digits).groups()  # type: ignore[union-attr]
    length = len(whole) + len(mark) + len(rest)
    return float(f"{whole or 0}.{rest or 0}"), start + length
