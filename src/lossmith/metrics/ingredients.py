"""An ingredient line as quantity, unit and name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from lossmith.metrics.amounts import Amount, read_amounts
from lossmith.metrics.ingredient_names import compared_name
from lossmith.metrics.lines import plain
from lossmith.metrics.units import LOOSE, PIECE_OF


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One line: the name it is compared by and its amount, with the same amount in other units beside it.

    No amounts: the line gives none ("salt to taste").
    """

    line: str
    name: str
    amounts: tuple[Amount, ...]
    optional: bool


_OPTIONAL = re.compile(r"\(?\s*\b(?:very )?optional(?:ly)?\b\s*\)?\s*[.:]?", re.IGNORECASE)
_PART_OF = re.compile(
    r"(?:the )?(juice|zest|peel|rind|yolk|white)s?(?: and (?:juice|zest|peel|rind))? (?:of|from) ",
    re.IGNORECASE,
)
_LOOSE_UNIT = re.compile(r"(?:(?:small|medium|large|big|good|generous|few) )?([a-z]+)(?: of)? (?=[a-z])", re.IGNORECASE)
_BEFORE_AMOUNT = re.compile(r"\s*(?:[:,;]|\s-|\s(?=[\d.~]))\s*")
_BRACKET_OPENS = re.compile(r"\(\s*")
_ANYWHERE = re.compile(r"(?<![\w.,/])(?=[\d.])")
_LEFT_OVER = re.compile(r"[\s.)*]*(?:\([^()]*\)[\s.)*]*)*")


@lru_cache(maxsize=1 << 15)
def parse_ingredient(line: str) -> Ingredient:
    """Read one ingredient line.

    The amount may lead ("2 cups flour"), follow a mark ("flour: 2 cups", "flour, 2 cups"), end the line
    ("flour 2 cups") or stand in brackets ("flour (200 g)"). Preparation behind a comma is no part of the
    name.

    >>> found = parse_ingredient("1-1/2 cups (190 g) all-purpose flour, sifted")
    >>> found.name, [(round(amount.middle), amount.unit) for amount in found.amounts]
    ('all purpose flour', [(355, 'ml'), (190, 'g')])
    >>> parse_ingredient("salt to taste").amounts
    ()
    """
    whole = plain(line)
    text = _trimmed(_OPTIONAL.sub(" ", whole))
    amounts, name = next(_readings(text), ((), text))
    compared = compared_name(name) or compared_name(text) or whole.casefold()
    return Ingredient(line, compared, amounts, optional=text != _trimmed(whole))


def is_heading(line: str) -> bool:
    """Whether a line in a list of ingredients names a group of them ("For the sauce:").

    >>> is_heading("For the sauce:"), is_heading("2 eggs"), is_heading("eggs: 2")
    (True, False, False)
    """
    text = plain(line)
    return text.endswith(":") and not any(character.isdigit() for character in text)


def _readings(text: str) -> Iterator[tuple[tuple[Amount, ...], str]]:
    """Amounts and name, by falling certainty; the first is taken."""
    if found := read_amounts(text, article=True):
        yield found[0], _named(text[found[1] :], text)
    if (part := _PART_OF.match(text)) and (found := read_amounts(text, part.end(), article=True)):
        yield found[0], f"{text[found[1] :]} {part[1]}"
    if (loose := _LOOSE_UNIT.match(text)) and _is_measure_of(loose):
        piece = PIECE_OF[loose[1].lower()]
        known = () if _plural(loose[1]) else (Amount(1.0, 1.0, "piece", piece),)
        yield known, text[loose.end() :]
    for mark in _BEFORE_AMOUNT.finditer(text):
        found = None if _in_bracket(text, mark.start()) else read_amounts(text, mark.end())
        if mark.start() and found and _LEFT_OVER.fullmatch(text, found[1]):
            yield found[0], text[: mark.start()]
    for bracket in _BRACKET_OPENS.finditer(text):
        if bracket.start() and (found := read_amounts(text, bracket.end())) and _is_amount(found[0], text, found[1]):
            yield found[0], text[: bracket.start()]
    for place in _ANYWHERE.finditer(text):
        found = read_amounts(text, place.start())
        if found and place.start() and any(amount.unit != "piece" for amount in found[0]):
            yield found[0], text[: place.start()]


def _trimmed(text: str) -> str:
    # A dot in front belongs to a number: ".5 tsp".
    return text.lstrip(" ,").rstrip(" ,.")


def _named(rest: str, text: str) -> str:
    """What follows the amount; the counted thing itself where nothing does ("3 cloves")."""
    return rest if any(character.isalpha() for character in _LEFT_OVER.sub("", rest)) else text


def _in_bracket(text: str, position: int) -> bool:
    return text.count("(", 0, position) > text.count(")", 0, position)


def _is_measure_of(found: re.Match[str]) -> bool:
    word = found[1].lower()
    return word in PIECE_OF and (PIECE_OF[word] in LOOSE or found[0].lower().endswith(" of "))


def _plural(word: str) -> bool:
    return word.lower() != PIECE_OF[word.lower()] and word.lower().endswith("s")


def _is_amount(amounts: tuple[Amount, ...], text: str, end: int) -> bool:
    """In brackets a measure always counts, a bare number only where little but it stands there."""
    closing = text.find(")", end)
    rest = text[end : closing if closing >= 0 else len(text)]
    return any(amount.unit != "piece" for amount in amounts) or len(rest.split()) <= 2
