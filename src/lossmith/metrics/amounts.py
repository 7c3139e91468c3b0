"""Amounts in an ingredient line: number or range, unit, and the same amount in other units beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lossmith.metrics.numbers import read_number
from lossmith.metrics.units import CONTAINERS, PIECE_OF, unit_named


@dataclass(frozen=True, slots=True)
class Amount:
    """From `low` to `high` (equal without a range) of g, ml or pieces; `piece` says what is counted."""

    low: float
    high: float
    unit: str
    piece: str | None = None

    @property
    def middle(self) -> float:
        """The middle of the range."""
        return (self.low + self.high) / 2

    def times(self, factor: float) -> Amount:
        """So many of it."""
        return replace(self, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, slots=True)
class _Found:
    amount: Amount
    end: int
    bare: bool  # a number without a unit


_APPROXIMATELY = re.compile(
    r"(?:[~\u2248]|(?:about|approximately|approx|appr|around|roughly|circa|ca|nearly|almost|up to|at least"
    r"|at most|from|between|scant|rather more than|say)\b\.?)\s*",
    re.IGNORECASE,
)
_TIMES = re.compile(r"(\d+)\s*x\s*(?=[~\d.])", re.IGNORECASE)
_TO = re.compile(r"\s*(?:-|\bto\b|\bor\b|\band\b)\s*~?\s*", re.IGNORECASE)
_NO_AMOUNT = re.compile(r"\s*(?:%|\u00b0|st\b|nd\b|rd\b|th\b)|[.:/]\d", re.IGNORECASE)
_BARE_END = re.compile(r"(?:x(?!\w))?\+?")
_AFTER_NUMBER = re.compile(r"(?:x(?!\w))?\+?(?:\s*of)?(?:\s+an?\b)?\s*", re.IGNORECASE)
_SIZE = re.compile(
    r"(?:small|medium|large|big|huge|heaped|heaping|level|scant|rounded|generous|good|full|metric|whole|thick|thin"
    r"|short|long|medium[ -]sized|(?:very )?thin|thinly cut|packed)(?:/[a-z-]+)?\s+",
    re.IGNORECASE,
)
_FLUID = re.compile(r"fl(?:uid)?\.?\s*(?:oz|ounces?)\b\.?", re.IGNORECASE)
_WORD = re.compile(r"([^\W\d_]+)(?:\(s\))?(?!['\u2019]|-[^\W\d_])")
_AND_A_HALF = re.compile(r"\s+and\s+(?:a|one)[ -](half|quarter)\b", re.IGNORECASE)
_PLUS = re.compile(r"\s*(?:\+|\bplus\b|\band\b)\s*", re.IGNORECASE)
_OTHERWISE = re.compile(r"\s*(?:[/|=]|-|,?\s*\bor\b)\s*", re.IGNORECASE)
_BRACKET = re.compile(r"\s*\(([^()]*)\)")
_OF = re.compile(r"\s*\.?\s*(?:of\b|each\b)?\s*", re.IGNORECASE)


def read_amounts(text: str, start: int = 0, *, article: bool = False) -> tuple[tuple[Amount, ...], int] | None:
    """The amount at `start`, the same in other units beside it, and where they end; None without a number.

    `text` is plain (see lines.plain). `article`: "a" and "an" count as one.

    >>> read_amounts("1-1/2 cups (350 ml) milk")[0][1]
    Amount(low=350.0, high=350.0, unit='ml', piece=None)
    >>> read_amounts("2 to 3 cloves of garlic")
    ((Amount(low=2.0, high=3.0, unit='piece', piece='clove'),), 17)
    """
    found = _one(text, start, article=article)
    if found is None:
        return None
    amounts, end, bare = [found.amount], found.end, found.bare
    if (bare or found.amount.piece) and (sized := _size_of_each(text, end, found)):
        (amounts, end), bare = sized, False
    while further := _alternative(text, end, bare):
        others, end = further
        amounts += others
        if bare and (named := _unit(text, _skip(_SIZE, text, _AFTER_NUMBER.match(text, end).end()))):  # type: ignore[union-attr]
            # "4.5 (650 g) cups": the unit of the number stands after the bracket.
            (unit, size, piece), end = named
            amounts[0] = replace(amounts[0].times(size), unit=unit, piece=piece)
        bare = False
    return tuple(amounts), _container(text, end)


def _one(text: str, start: int, *, article: bool = False) -> _Found | None:
    position = _skip(_APPROXIMATELY, text, start)
    factor = 1.0
    if times := _TIMES.match(text, position):
        factor, position = float(times[1]), times.end()
    number = read_number(text, position, article=article)
    if number is None:
        return None
    (low, position), high = number, number[0]
    if _NO_AMOUNT.match(text, position):
        return None
    if further := _second(text, position, low):
        high, position = further
        if _NO_AMOUNT.match(text, position):
            return None
    named = _unit_after(text, position)
    if named is None:
        after = _BARE_END.match(text, position)
        return _Found(Amount(low, high, "piece").times(factor), after.end() if after else position, bare=True)
    (unit, size, piece), position = named
    amount = Amount(low * size, high * size, unit, piece)
    amount, position = _extended(text, position, amount, size)
    return _Found(amount.times(factor), position, bare=False)


def _second(text: str, position: int, low: float) -> tuple[float, int] | None:
    """The upper end of a range whose unit, if any, stands behind it."""
    separator = _TO.match(text, position)
    number = read_number(text, separator.end()) if separator else None
    return number if number and number[0] > low else None


def _extended(text: str, position: int, amount: Amount, size: float) -> tuple[Amount, int]:
    """The amount with what its unit is followed by: "and a half", "to 70 g", "plus 2 tablespoons"."""
    if half := _AND_A_HALF.match(text, position):
        more = size * (0.5 if half[1].lower() == "half" else 0.25)
        return replace(amount, low=amount.low + more, high=amount.high + more), half.end()
    for separator, joins in ((_TO, False), (_PLUS, True)):
        found = separator.match(text, position)
        number = read_number(text, found.end()) if found else None
        named = _unit_after(text, number[1]) if number else None
        if number is None or named is None or (named[0][0], named[0][2]) != (amount.unit, amount.piece):
            continue
        other = number[0] * named[0][1]
        if joins and amount.piece is None:
            return replace(amount, low=amount.low + other, high=amount.high + other), named[1]
        if not joins and other > amount.high and found and found[0].strip().lower() != "or":
            return replace(amount, high=other), named[1]
    return amount, position


def _alternative(text: str, position: int, bare: bool) -> tuple[list[Amount], int] | None:
    if bracket := _BRACKET.match(text, position):
        start = bracket.start(1)
        inside = _one(text, start + len(bracket[1]) - len(bracket[1].lstrip()))
        if inside is None or inside.bare:
            return None
        others, end = [inside.amount], inside.end
        while end < bracket.end(1) and (further := _alternative(text, end, False)):
            others += further[0]
            end = further[1]
        return others, bracket.end()
    if separator := _OTHERWISE.match(text, position):
        found = _one(text, separator.end())
        # A bare number behind "-" or "or" belongs to the name ("2 7-Up"), behind "/" it is another count.
        if found and (not found.bare or (bare and "/" in separator[0])):
            return [found.amount], found.end
    return None


def _size_of_each(text: str, position: int, counted: _Found) -> tuple[list[Amount], int] | None:
    """The count, and count times size, in "4 28 oz cans" and "1 bottle 700 ml"."""
    if not text.startswith(" ", position):
        return None
    each = _one(text, position + 1)
    if each is None or each.bare or each.amount.piece:
        return None
    bracketless = _skip(_SIZE, text, _OF.match(text, each.end).end())  # type: ignore[union-attr]
    container = _unit(text, bracketless)
    if container and container[0][2] in CONTAINERS:
        amount, end = replace(counted.amount, piece=container[0][2]), container[1]
    elif counted.amount.piece in CONTAINERS:
        amount, end = counted.amount, each.end
    else:
        return None
    return [amount, each.amount.times(amount.middle)], end


def _unit_after(text: str, position: int) -> tuple[tuple[str, float, str | None], int] | None:
    if text.startswith('"', position):
        return ("piece", 1.0, "inch"), position + 1
    if text.startswith("-", position):
        return _unit(text, position + 1)
    plain = _AFTER_NUMBER.match(text, position)
    at = plain.end() if plain else position
    return _unit(text, _skip(_SIZE, text, at)) or _unit(text, at)


def _unit(text: str, position: int) -> tuple[tuple[str, float, str | None], int] | None:
    if fluid := _FLUID.match(text, position):
        return unit_named("floz"), fluid.end()  # type: ignore[return-value]
    word = _WORD.match(text, position)
    named = unit_named(word[1]) if word else None
    if word is None or named is None:
        return None
    return named, word.end() + text.startswith(".", word.end())


def _container(text: str, position: int) -> int:
    """Past a container's name ("400 ml can coconut milk") and "of"."""
    position = _OF.match(text, position).end()  # type: ignore[union-attr]
    sized = _skip(_SIZE, text, position)
    word = _WORD.match(text, sized)
    if word and PIECE_OF.get(word[1].lower()) in CONTAINERS:
        return _OF.match(text, word.end()).end()  # type: ignore[union-attr]
    return position


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    while found := pattern.match(text, position):
        position = found.end()
    return position
