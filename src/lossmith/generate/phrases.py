"""Phrases in a running text, found letter by letter: as whole words, in upper or lower case, over any blanks."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Classes of letters that no phrase holds, beside the blank; each letter of a phrase is a class of its own.
_BLANK, _WORD, _OTHER = 0, 1, 2
# The state in which a phrase stands in the text; none leads out of it.
HELD = 0
START = 1

_Items = frozenset[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class PhraseFinder:
    """An automaton over classes of letters.

    steps (states, classes): the state after a letter. held_at_end (states,): whether a phrase stands in a text that
    ends there. A phrase is held when it stands in the text as whole words: no letter, digit, underscore or mark goes
    on before its first or after its last character where that is one itself.
    """

    steps: np.ndarray
    held_at_end: np.ndarray
    class_of: dict[str, int]

    def letter(self, character: str) -> int:
        """The class of a character, which is the same in upper and lower case."""
        if character.isspace():
            return _BLANK
        found = self.class_of.get(_folded(character))
        if found is not None:
            return found
        return _WORD if in_word(character) else _OTHER

    def holds(self, text: str) -> bool:
        """Whether a phrase stands in a text.

        >>> finder = phrase_finder(["art", "new york"])
        >>> [finder.holds(text) for text in ("Modern ART!", "artist, start", "New  York", "new yorker")]
        [True, False, True, False]
        """
        state = START
        for character in text:
            state = int(self.steps[state, self.letter(character)])
        return state == HELD or bool(self.held_at_end[state])


def in_word(character: str) -> bool:
    """Whether a character is part of a word: a letter, digit, underscore, or a mark on a letter."""
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def phrase_finder(phrases: Sequence[str]) -> PhraseFinder:
    """The automaton that finds these phrases; its states are the sets of beginnings that stand in a text at once."""
    texts = [[_folded(c) for c in " ".join(phrase.split())] for phrase in phrases]
    letters = sorted({letter for text in texts for letter in text} - {" "})
    class_of = {letter: number + 3 for number, letter in enumerate(letters)}
    classes = [" ", None, None, *letters]
    words = [False, True, False, *(in_word(letter) for letter in letters)]
    start = (frozenset[tuple[int, int]](), False)
    numbers: dict[tuple[_Items, bool], int] = {start: START}
    rows: list[list[int]] = [[HELD] * len(classes)]
    waiting = [start]
    for items, within in waiting:
        row = []
        for letter, word in zip(classes, words, strict=True):
            after = _after(texts, items, within=within, letter=letter, word=word)
            if after is None:
                row.append(HELD)
                continue
            if (key := (after, word)) not in numbers:
                numbers[key] = len(numbers) + 1
                waiting.append(key)
            row.append(numbers[key])
        rows.append(row)
    whole = [True, *(any(place == len(texts[one]) for one, place in items) for items, _ in waiting)]
    return PhraseFinder(np.array(rows, dtype=np.int32), np.array(whole), class_of)


def _after(texts: list[list[str]], items: _Items, *, within: bool, letter: str | None, word: bool) -> _Items | None:
    """The beginnings that stand after a letter, None where a phrase is held; `within` says that a word went before."""
    found: set[tuple[int, int]] = set()
    for one, place in items:
        text = texts[one]
        if place == len(text):
            # Whole, and awaiting what comes after its last letter.
            if not word:
                return None
        elif text[place] == letter:
            found.add((one, place + 1))
        elif letter == " " and text[place - 1] == " ":
            found.add((one, place))
    for one, text in enumerate(texts):
        if text[0] == letter and not (within and in_word(text[0])):
            found.add((one, 1))
    if any(place == len(texts[one]) and not in_word(texts[one][-1]) for one, place in found):
        return None
    return frozenset(found)


def _folded(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character
