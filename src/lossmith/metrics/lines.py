"""A line of a recipe in plain characters: one way to write a fraction, a dash, a blank; no markdown."""

from __future__ import annotations

import re
import unicodedata

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_SPOON = re.compile(r"\b(table|tea|salt|dessert)[ -]spoon", re.IGNORECASE)
_GLASS = re.compile(r"\b(wine)[ -]glass", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-\u2022\u2023\u25e6\u2043\u00b7+]\s+|\d{1,3}[.)]\s+(?=\S))")
_BLANKS = re.compile(r"\s+")


def plain(line: str) -> str:
    """The line with vulgar fractions as `1/2`, dashes as `-`, blanks collapsed, links and emphasis as bare
    text.

    >>> plain("**1½** cups [garam masala](/garam-masala) – 2⅛\u00a0g")
    '1 1/2 cups garam masala - 2 1/8 g'
    """
    text = "".join(_spelled(character) for character in line)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("\u2215", "/").replace("\u00d7", "x")
    text = _DASHES.sub("-", _MARKS.sub("", _LINK.sub(r"\1", text)))
    text = _GLASS.sub(r"\1glass", _SPOON.sub(r"\1spoon", text))
    return _BLANKS.sub(" ", text).strip()


def unbulleted(line: str) -> str:
    """The line without its bullet or running number.

    >>> unbulleted("- 2 eggs"), unbulleted("3. Stir."), unbulleted("1.5 cups milk")
    ('2 eggs', 'Stir.', '1.5 cups milk')
    """
    return _BULLET.sub("", line.replace("* ", "- ", 1) if line.lstrip().startswith("* ") else line).strip()


def _spelled(character: str) -> str:
    if unicodedata.decomposition(character).startswith("<fraction>"):
        return " " + unicodedata.normalize("NFKC", character)
    return character
