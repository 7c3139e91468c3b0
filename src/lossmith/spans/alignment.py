"""Tokens that stand in a text one after another: which characters they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

Interval = tuple[int, int]


def align_tokens(tokens: Sequence[str], text: str) -> list[Interval] | None:
    """Half-open character intervals of `text` that hold the tokens in their order, each as a whole word.

    Neighbours with nothing but blanks between them make one interval. Where the tokens fit in several ways, the way
    with the fewest intervals is taken, of these the first: people mark phrases, not scattered words. None where the
    tokens do not stand there in this order.

    >>> align_tokens(["the", "salt"], "the pepper and the salt")
    [(15, 23)]
    >>> align_tokens(["salt", "the"], "the salt") is None
    True
    """
    places = [_whole_words(token, text) for token in tokens]
    chosen = _first_fit(places)
    if chosen is None:
        return None
    if chosen != _last_fit(places):
        chosen = _fewest_runs(places, text)
    runs: list[Interval] = []
    for start, end in chosen:
        if runs and not text[runs[-1][1] : start].strip():
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _whole_words(token: str, text: str) -> list[Interval]:
    before = r"(?<!\w)" if re.match(r"\w", token) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", token) else ""
    return [found.span() for found in re.finditer(f"{before}{re.escape(token)}{after}", text)]


def _first_fit(places: Sequence[Sequence[Interval]]) -> list[Interval] | None:
    """Every token at the first place that the tokens before it leave."""
    chosen: list[Interval] = []
    at = 0
    for own in places:
        place = next((interval for interval in own if interval[0] >= at), None)
        if place is None:
            return None
        chosen.append(place)
        at = place[1]
    return chosen


def _last_fit(places: Sequence[Sequence[Interval]]) -> list[Interval]:
    """Every token at the last place that the tokens after it leave; there is one where there is a first."""
    chosen: list[Interval] = []
    at: float = float("inf")
    for own in reversed(places):
        place = next(interval for interval in reversed(own) if interval[1] <= at)
        chosen.append(place)
        at = place[0]
    return chosen[::-1]


def _fewest_runs(places: Sequence[Sequence[Interval]], text: str) -> list[Interval]:
    """The way with the fewest runs.

    Of the places of the token before, only the best so far and the nearest can matter: time is the number of places.
    """
    best: list[list[tuple[int, int]]] = []  # of each place: runs so far, and which place of the token before
    for number, own in enumerate(places):
        if not number:
            best.append([(1, -1)] * len(own))
            continue
        before, runs = places[number - 1], best[-1]
        found: list[tuple[int, int]] = []
        at, cheapest = 0, -1
        for start, _ in own:
            while at < len(before) and before[at][1] <= start:
                if runs[at][1] != _NOWHERE and (cheapest < 0 or runs[at][0] < runs[cheapest][0]):
                    cheapest = at
                at += 1
            if cheapest < 0:
                found.append((0, _NOWHERE))
                continue
            ways = [(runs[cheapest][0] + 1, cheapest)]
            if runs[at - 1][1] != _NOWHERE and not text[before[at - 1][1] : start].strip():
                ways.append((runs[at - 1][0], at - 1))
            found.append(min(ways))
        best.append(found)
    last = min((runs, place) for place, (runs, way) in enumerate(best[-1]) if way != _NOWHERE)[1]
    chosen = []
    for number in range(len(places) - 1, -1, -1):
        chosen.append(places[number][last])
        last = best[number][last][1]
    return chosen[::-1]


_NOWHERE = -2
