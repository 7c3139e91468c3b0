"""The chunks of all documents that are nearest to a direction, by looking at each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossmith.tasks.document_vectors import DocumentVectors

# Vectors looked at together: few enough to stay near the processor.
BLOCK = 4_096


@dataclass(frozen=True)
class Near:
    """A chunk (or token, with an encoder of tokens) by its row and its number there, and its cosine, in [-1, 1]."""

    row: int
    chunk: int
    cosine: float


def nearest_chunks(vectors: DocumentVectors, directions: np.ndarray, k: int) -> list[list[Near]]:
    """For each direction (directions, width) the k chunks of largest cosine among all rows, the nearest first.

    A text that occurs often counts once, where it comes first. Exact: at a million chunks one pass over the vectors
    takes less than building an index that answers faster (benchmarks/corpus_search.py). Memory holds one block.
    """
    places, firsts = np.unique(vectors.places, return_index=True)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    sought = (directions / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    cosines, found = nearest_rows(vectors.stored, places, sought, k)
    ends = np.cumsum(vectors.lengths)
    told = []
    for own, numbers in zip(cosines, firsts[found], strict=True):
        # Of equal cosines the one that comes first.
        order = np.lexsort((numbers, -own))
        rows = np.searchsorted(ends, numbers, side="right")
        within = numbers - (ends - vectors.lengths)[rows]
        told.append([Near(int(rows[n]), int(within[n]), float(own[n])) for n in order])
    return told


def nearest_rows(stored: np.ndarray, places: np.ndarray, sought: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest products of each of `sought` (n, width) with the rows of `stored` at `places`, sorted numbers.

    Returns products and which of the places, each (n, k) in no order; fewer columns where places are fewer.

    >>> stored = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
    >>> nearest_rows(stored, np.array([0, 2]), np.array([[0.0, 1.0]], dtype=np.float32), 1)[1].tolist()
    [[1]]
    """
    best: np.ndarray = np.zeros((len(sought), 0), dtype=np.float32)
    found: np.ndarray = np.zeros((len(sought), 0), dtype=np.int64)
    for start in range(0, len(places), BLOCK):
        own = places[start : start + BLOCK]
        first, last = int(own[0]), int(own[-1])
        # Texts that were encoded together lie together, and need no copy.
        block = stored[first : last + 1] if last - first + 1 == len(own) else stored[own]
        products = (block @ sought.T).T
        numbers = np.arange(start, start + len(own))
        if best.shape[1] == k:
            # After a few blocks hardly any is nearer than what was found.
            nearer = np.flatnonzero((products > best.min(axis=1, keepdims=True)).any(axis=0))
            products, numbers = products[:, nearer], numbers[nearer]
        best = np.concatenate([best, products], axis=1)
        found = np.concatenate([found, np.broadcast_to(numbers, products.shape)], axis=1)
        kept = _largest(best, k)
        best, found = np.take_along_axis(best, kept, axis=1), np.take_along_axis(found, kept, axis=1)
    return best, found


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest of each row, in no order."""
    if values.shape[1] <= k:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, values.shape[1] - k, axis=1)[:, -k:]
