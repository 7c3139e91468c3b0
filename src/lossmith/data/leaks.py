"""Records that stand in two parts of the data: the same text, nearly the same text, the same cluster.

Nearly the same is a Jaccard similarity of the words (repeated words count each time) of at least a threshold. All such
pairs are found, none by chance: two sets that alike share a word among the rarest few of each, so only records that
do are compared (prefix filtering; Bayardo 2007).
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLD = 0.8
MOST_COMPARED = 20_000_000
_BLOCK = 1 << 18  # pairs looked at together
_WORDS = 1 << 22  # words of them held at once
_BITMAP = 8  # numbers of 64 bits
_STIR = 0x9E3779B1  # spreads neighbouring ranks over the bits
_LEEWAY = 1e-9  # 0.8 * 5 is 4.000000000000001 in some orders of rounding

# Scripts without blanks between words are compared by their characters.
UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(f"[{UNSPACED}]|[^\\W{UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Leak:
    """Two records of different parts with like texts; `similarity` is 1 for the same text after normalisation."""

    first: str
    second: str
    parts: tuple[int, int]
    similarity: float


@dataclass(frozen=True)
class Leaks:
    """What two parts share.

    `exact` names, for every text that stands in several parts, each later record with the first one of the text;
    `near` every pair of different texts that are alike, one record for a text of a part. `clusters` are those in
    several parts, with the parts. Not `complete`: so many texts are alike in their rare words that comparing stopped.
    """

    exact: tuple[Leak, ...] = ()
    near: tuple[Leak, ...] = ()
    clusters: tuple[tuple[str, tuple[int, ...]], ...] = ()
    complete: bool = True

    def __bool__(self) -> bool:
        return bool(self.exact or self.near or self.clusters)


def find_leaks(
    ids: Sequence[str],
    texts: Sequence[str],
    parts: Sequence[int],
    *,
    clusters: Sequence[str | None] | None = None,
    threshold: float = THRESHOLD,
) -> Leaks:
    """What records of different parts (splits, folds) share; all sequences are (records,).

    Texts are the same when they are alike up to case, white space and Unicode form; empty ones share nothing. Memory is
    that of the words, and of a bounded block of pairs.

    >>> found = find_leaks(["a", "b", "c"], ["Salt the soup well now", "salt  the soup well NOW", "peel"], [0, 1, 0])
    >>> [(leak.first, leak.second, leak.similarity) for leak in found.exact], found.near
    ([('a', 'b', 1.0)], ())
    """
    part = np.asarray(parts, dtype=np.int64)
    plain = [normal_form(text) for text in texts]
    first_seen: dict[str, int] = {}
    number = np.array([first_seen.setdefault(text, row) for row, text in enumerate(plain)], dtype=np.int64)
    exact = [
        Leak(ids[first], ids[row], (int(part[first]), int(part[row])), 1.0)
        for row, first in enumerate(number.tolist())
        if part[first] != part[row] and plain[row]
    ]
    _, kept = np.unique(np.column_stack([number, part]), axis=0, return_index=True)
    kept.sort()
    near, complete = _near([plain[row] for row in kept], number[kept], part[kept], threshold=threshold)
    pairs = [
        Leak(ids[kept[a]], ids[kept[b]], (int(part[kept[a]]), int(part[kept[b]])), similarity)
        for a, b, similarity in near
    ]
    return Leaks(tuple(exact), tuple(pairs), shared_clusters(clusters, parts) if clusters else (), complete)


def normal_form(text: str) -> str:
    """The text in one Unicode form and case, its white space collapsed.

    >>> normal_form(" Ｓalt\\n and  PEPPER")
    'salt and pepper'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shared_clusters(clusters: Sequence[str | None], parts: Sequence[int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Clusters with records in several parts, and those parts."""
    found: dict[str, set[int]] = {}
    for cluster, part in zip(clusters, parts, strict=True):
        if cluster is not None:
            found.setdefault(cluster, set()).add(int(part))
    return tuple((cluster, tuple(sorted(held))) for cluster, held in found.items() if len(held) > 1)


@dataclass(frozen=True)
class _Sets:
    """Texts as sets of words, rarest word first: `words[starts[i]:starts[i + 1]]` are those of text i.

    `bits` (texts, 8) has a bit set for each word: where two texts differ in a bit, they differ in a word.
    """

    words: np.ndarray
    starts: np.ndarray
    bits: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.starts)


def _near(
    texts: Sequence[str], number: np.ndarray, part: np.ndarray, *, threshold: float
) -> tuple[list[tuple[int, int, float]], bool]:
    """Pairs of different texts in different parts that are alike, with their similarity, in order."""
    sets = _sets(texts)
    found: dict[tuple[int, int], float] = {}
    compared = 0
    for first, second in _candidates(sets, threshold):
        wanted = (part[first] != part[second]) & (number[first] != number[second])
        pairs = _once(first[wanted], second[wanted], len(texts))
        pairs = pairs[_may_be_alike(sets, pairs, threshold)]
        similarity = _similarities(sets, pairs)
        for row in np.flatnonzero(similarity >= threshold - _LEEWAY):
            found[int(pairs[row, 0]), int(pairs[row, 1])] = float(similarity[row])
        compared += len(first)
        if compared > MOST_COMPARED:
            return [(*pair, value) for pair, value in sorted(found.items())], False
    return [(*pair, value) for pair, value in sorted(found.items())], True


def _sets(texts: Sequence[str]) -> _Sets:
    names: dict[str, int] = {}
    words = array("q")
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    for row, text in enumerate(texts):
        words.extend([names.setdefault(word, len(names)) for word in _WORD.findall(text)])
        starts[row + 1] = len(words)
    found = np.array(words, dtype=np.int64)
    owner = np.repeat(np.arange(len(texts)), np.diff(starts))
    order = np.lexsort((found, owner))
    found = found[order]  # owner is in order already
    begins = np.flatnonzero(np.diff(owner, prepend=-1) | np.diff(found, prepend=-1))
    repeat = np.arange(len(found)) - np.repeat(begins, np.diff(begins, append=len(found)))
    _, each, held = np.unique(found + len(names) * repeat, return_inverse=True, return_counts=True)
    rank = np.empty(len(held), dtype=np.int64)
    rank[np.argsort(held, kind="stable")] = np.arange(len(held))
    ranked = rank[each]
    ranked = ranked[np.lexsort((ranked, owner))]
    bits = np.zeros((len(texts), _BITMAP), dtype=np.uint64)
    place = ranked * _STIR % (64 * _BITMAP)
    np.bitwise_or.at(bits, (owner, place // 64), np.uint64(1) << (place % 64).astype(np.uint64))
    return _Sets(ranked, starts, bits)


def _candidates(sets: _Sets, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of pairs that share a word of their prefixes and are near enough in size; a pair may come again."""
    sizes = sets.sizes
    prefix = np.where(sizes > 0, sizes - np.ceil(sizes * threshold - _LEEWAY).astype(np.int64) + 1, 0)
    owner = np.repeat(np.arange(len(sizes)), prefix)
    inside = np.arange(len(owner)) - np.repeat(np.cumsum(prefix) - prefix, prefix)
    word = sets.words[sets.starts[owner] + inside]
    order = np.lexsort((sizes[owner], word))
    owner, word = owner[order], word[order]
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    held, left, distance = 0, np.arange(len(owner)), 1
    while len(left):
        # A word's records are ordered by size: who is too small for the one at this distance is for all further.
        left = left[left + distance < len(owner)]
        right = left + distance
        fits = (word[left] == word[right]) & (sizes[owner[left]] >= threshold * sizes[owner[right]] - _LEEWAY)
        left = left[fits]
        waiting.append((owner[left], owner[left + distance]))
        held += len(left)
        distance += 1
        if held >= _BLOCK:
            yield _joined(waiting)
            waiting, held = [], 0
    if held:
        yield _joined(waiting)


def _joined(blocks: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([first for first, _ in blocks]), np.concatenate([second for _, second in blocks])


def _once(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """The pairs, each once, (pairs, 2), the lower number first."""
    codes = np.unique(np.minimum(first, second) * count + np.maximum(first, second))
    return np.column_stack([codes // count, codes % count])


def _may_be_alike(sets: _Sets, pairs: np.ndarray, threshold: float) -> np.ndarray:
    """Pairs whose bits do not differ more than words of alike texts can, (pairs,) of bool."""
    differ = np.bitwise_count(sets.bits[pairs[:, 0]] ^ sets.bits[pairs[:, 1]]).sum(axis=1)
    allowed = (1 - threshold) / (1 + threshold) * sets.sizes[pairs].sum(axis=1)
    return np.asarray(differ <= allowed + _LEEWAY)


def _similarities(sets: _Sets, pairs: np.ndarray) -> np.ndarray:
    """Jaccard similarity of each pair, (pairs,), counted exactly."""
    from scipy.sparse import csr_array

    sizes = sets.sizes
    shape = (len(sizes), int(sets.words.max(initial=0)) + 1)
    table = csr_array((np.ones(len(sets.words), dtype=np.int32), sets.words, sets.starts), shape=shape)
    shared = np.zeros(len(pairs))
    words = np.cumsum(sizes[pairs].sum(axis=1))
    cuts = np.searchsorted(words, np.arange(_WORDS, words.max(initial=0), _WORDS))
    for block in np.split(np.arange(len(pairs)), cuts):
        first, second = pairs[block].T
        shared[block] = table[first].multiply(table[second]).sum(axis=1)
    return shared / (sizes[pairs[:, 0]] + sizes[pairs[:, 1]] - shared)
