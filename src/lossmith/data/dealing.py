"""Records dealt out to parts: each part gets its share of the records and of every class, and clusters stay whole.

Records and clusters come in the order of stirred hashes, so nothing depends on the order of the files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def deal_records(labels: np.ndarray, stirred: np.ndarray, *, parts: int) -> np.ndarray:
    """The part of every record, (records,) of int64 from 0 to `parts` - 1, as cards are dealt.

    `labels` is (records, classes) of bool, without columns where classes do not matter; `stirred` is (records,), the
    hashes that decide. Parts differ by one record at most, in all and in each class of labels that exclude each other.

    >>> deal_records(np.eye(2, dtype=bool)[[0, 0, 0, 0, 1, 1]], np.arange(6, dtype=np.uint64), parts=2).tolist()
    [0, 1, 0, 1, 0, 1]
    """
    part = np.empty(len(stirred), dtype=np.int64)
    part[_class_by_class(labels, stirred)] = np.arange(len(stirred)) % parts
    return part


def pick_records(labels: np.ndarray, stirred: np.ndarray, *, share: float) -> np.ndarray:
    """Which records make up `share` of all and of each class, (records,) of bool; at least one where there are two."""
    count = len(stirred)
    due = np.floor(np.arange(count + 1) * share + 0.5)
    picked = np.empty(count, dtype=bool)
    order = _class_by_class(labels, stirred)
    picked[order] = np.diff(due) > 0
    if share > 0 and count > 1 and not picked.any():
        picked[order[0]] = True
    return picked


def deal_clusters(
    clusters: np.ndarray, labels: np.ndarray, stirred: np.ndarray, *, shares: Sequence[float]
) -> np.ndarray:
    """The part of every record, (records,) of int64, where records of one cluster stay together.

    `clusters` is (records,), hashes; `labels` and `stirred` as in `deal_records`, `stirred` one value a cluster. The
    clusters with the largest share of all records or of a class go first, each to the part where the sum over parts
    and classes of load^2 / share grows least, which it does where most is lacking. Clusters of like sizes come in the
    order of their hashes, so that another seed deals otherwise. Every part gets a cluster where there are as many.
    """
    _, first, number = np.unique(clusters, return_index=True, return_inverse=True)
    counted = np.column_stack([labels, np.ones(len(clusters))])
    held = np.zeros((len(first), counted.shape[1]))
    np.add.at(held, number, counted)
    held = held[:, held.any(axis=0)] / held.sum(axis=0)[held.any(axis=0)]
    size_class = np.floor(np.log2(held.max(axis=1)))
    share = np.asarray(shares, dtype=np.float64)
    loads = np.zeros((len(share), held.shape[1]))
    part = np.empty(len(first), dtype=np.int64)
    for cluster in np.lexsort((stirred[first], -size_class)):
        own = held[cluster]
        chosen = int(((2 * loads @ own + own @ own) / share).argmin())
        part[cluster] = chosen
        loads[chosen] += own
    _fill_empty(part, held[:, -1], parts=len(share))
    return part[number]


def _fill_empty(part: np.ndarray, sizes: np.ndarray, *, parts: int) -> None:
    """Give an empty part the smallest cluster of the part that has the most clusters."""
    for empty in range(parts):
        counts = np.bincount(part, minlength=parts)
        if counts[empty] or counts.max() < 2:
            continue
        members = np.flatnonzero(part == counts.argmax())
        part[members[sizes[members].argmin()]] = empty


def _class_by_class(labels: np.ndarray, stirred: np.ndarray) -> np.ndarray:
    """Record numbers, those of a class together (the rarest that holds), those alike in it together, then by hash."""
    if not labels.shape[1]:
        return np.argsort(stirred, kind="stable")
    counts = labels.sum(axis=0)
    rank = np.empty(labels.shape[1], dtype=np.int64)
    rank[np.lexsort((np.arange(labels.shape[1]), counts))] = np.arange(labels.shape[1])
    rarest = np.where(labels, rank, labels.shape[1]).min(axis=1)
    alike = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    return np.lexsort((stirred, alike, rarest))
