"""Banned phrases: no answer holds one as whole words; parts of other words are let be."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from lossmith.generate.phrases import HELD, START, PhraseFinder, phrase_finder
from lossmith.generate.vocabulary import Vocabulary

# Stands for a letter whose bytes are not all there.
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
# Places whose successors are kept, each with one number a token.
_KEPT = 128


class State(NamedTuple):
    """Where an answer stands in the search for phrases, and the bytes of a letter that is not whole yet."""

    place: int
    rest: bytes


class BannedPhrases:
    """A restriction: the text of an answer never holds one of some phrases, however its tokens cut it.

    A phrase is whole when the letter after it is no part of a word, so a word that begins like one may be written: what
    is forbidden then are tokens that end the word, the end of the answer among them.
    """

    def __init__(self, phrases: Sequence[str], vocabulary: Vocabulary) -> None:
        self._finder = phrase_finder(phrases)
        self._vocabulary = vocabulary
        self._letters, self._whole = _letters_of(vocabulary, self._finder)
        self._going_on = [token for token, own in enumerate(vocabulary.tokens) if own[:1] and own[0] & 0xC0 == 0x80]
        self._places: dict[State, np.ndarray] = {}

    def start(self) -> State:
        """An answer without a letter: a word may begin."""
        return State(START, b"")

    def after(self, state: State, token: int) -> State:
        """Past the letters of a token."""
        return self._past(state, self._vocabulary.tokens[token] if token < len(self._vocabulary) else b"")

    def open(self, state: State, *, last: bool) -> np.ndarray:
        """The tokens after which no phrase is held, nor, for the last one, stands at the end."""
        places = self._places_after(state)
        return ~self._finder.held_at_end[places] if last else places != HELD

    def may_end(self, state: State) -> bool:
        """Whether no phrase stands at the end."""
        return not self._finder.held_at_end[state.place]

    def _past(self, state: State, own: bytes) -> State:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        place = state.place
        for character in decoder.decode(state.rest + own):
            place = int(self._finder.steps[place, self._finder.letter(character)])
        return State(place, decoder.getstate()[0])

    def _places_after(self, state: State) -> np.ndarray:
        """(vocab,) place after each token; for a letter that a token leaves unfinished, see `_letters_of`."""
        known = self._places.get(state)
        if known is not None:
            return known
        steps = self._finder.steps
        # Bytes that no token of its own finishes are read as one unknown letter.
        before = steps[state.place, self._finder.letter(_UNKNOWN)] if state.rest else state.place
        places = np.full(len(self._vocabulary), before, dtype=np.int32)
        for column, rows in zip(self._letters, self._whole, strict=True):
            places[rows] = steps[places[rows], column]
        if state.rest:
            for token in self._going_on:
                places[token] = self._past(state, self._vocabulary.tokens[token]).place
        if len(self._places) >= _KEPT:
            self._places.clear()
        self._places[state] = places
        return places


def _letters_of(vocabulary: Vocabulary, finder: PhraseFinder) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """By place, the class of that letter of the tokens that are so long, and which tokens these are.

    A letter that a token leaves unfinished counts as no part of a word: whether the word goes on after a whole phrase
    is not known before it is finished, and it may be then that nothing may follow.
    """
    letter = cache(finder.letter)
    classes = [[letter(c) for c in own.decode("utf-8", errors="replace")] for own in vocabulary.tokens]
    longest = max(map(len, classes), default=0)
    rows = [np.array([t for t, own in enumerate(classes) if len(own) > place]) for place in range(longest)]
    return [np.array([classes[t][place] for t in each], dtype=np.int32) for place, each in enumerate(rows)], rows
