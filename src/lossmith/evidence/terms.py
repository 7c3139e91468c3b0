"""The terms that stand out in the chunks that each query reads."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from lossmith.metrics.evidence import weighted_log_odds

_TERM = re.compile(r"[^\W\d_](?:[\w'’-]*\w)")


class TermCounts:
    """Occurrences of every term in what each query reads, and in all chunks; added to document by document.

    A term is a word of two characters or more that begins with a letter, in lower case. A word counts once for each
    chunk that it stands in or that stands in it, so that chunks which share a sentence share its words, and chunks that
    are parts of words count whole words. For a query it counts by the query's weight on the chunk: of k chunks that are
    read, often one alone is looked at.

    >>> counts = TermCounts(1)
    >>> counts.add("we owe nothing. you owe us", [(0, 15), (16, 26)], np.array([[1.0, 0.0]]))
    >>> counts.top(0, 2)
    [('nothing', 0.83), ('we', 0.83)]
    """

    def __init__(self, queries: int) -> None:
        self._numbers: dict[str, int] = {}
        self._read = np.zeros((queries, 1024))
        self._all = np.zeros(1024)

    def add(self, text: str, chunks: Sequence[tuple[int, int]], weights: np.ndarray) -> None:
        """Count a document; `chunks` are character intervals of its text, `weights` (queries, chunks) in 0..1."""
        found = list(_TERM.finditer(text))
        if not found or not len(chunks):
            return
        terms = [self._numbers.setdefault(match.group().lower(), len(self._numbers)) for match in found]
        self._grow(len(self._numbers))
        starts = np.array([match.start() for match in found])
        ends = np.array([match.end() for match in found])
        intervals = np.asarray(chunks)
        first = np.searchsorted(ends, intervals[:, 0], side="right")
        last = np.maximum(first, np.searchsorted(starts, intervals[:, 1], side="left"))
        np.add.at(self._all, terms, _covering(first, last, np.ones(len(first)), words=len(terms)))
        for query, own in enumerate(weights):
            np.add.at(self._read[query], terms, _covering(first, last, own, words=len(terms)))

    def top(self, query: int, count: int) -> list[tuple[str, float]]:
        """The terms that a query reads oftener than the other chunks have them, with their weighted log-odds."""
        size = len(self._numbers)
        scores = weighted_log_odds(self._read[query, :size], self._all[:size] - self._read[query, :size])
        names = list(self._numbers)
        order = sorted(range(size), key=lambda place: (-scores[place], names[place]))
        return [(names[place], round(float(scores[place]), 2)) for place in order[:count] if scores[place] > 0]

    def _grow(self, size: int) -> None:
        held = len(self._all)
        if size <= held:
            return
        more = max(size, 2 * held) - held
        self._all = np.pad(self._all, (0, more))
        self._read = np.pad(self._read, ((0, 0), (0, more)))


def _covering(first: np.ndarray, last: np.ndarray, weights: np.ndarray, *, words: int) -> np.ndarray:
    """The sum of the weights of the intervals [first, last) of word numbers that hold each word, (words,)."""
    edges = np.zeros(words + 1)
    np.add.at(edges, first, weights)
    np.add.at(edges, last, -weights)
    return np.maximum(0.0, np.cumsum(edges[:-1]))
