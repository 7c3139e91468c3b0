"""Which record goes to which split: by file, by column, by seeded fraction; clusters never cross.

Every choice orders records or clusters by a hash of their name and the seed, so it depends neither on the order of
the files nor on the machine, and a larger limit contains the smaller one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from lossmith.config.data import SplitConfig
from lossmith.data.dealing import deal_clusters, pick_records
from lossmith.data.records import SPLITS
from lossmith.errors import DataError, nearest

UNSPLIT = -1
TRAIN, VALIDATION, TEST = range(3)

# Names that data sets use for the three; anything else is named in data.split.map.
SPLIT_NAMES: Mapping[str, int] = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "development": VALIDATION,
    "test": TEST,
    "testing": TEST,
}


def hash_text(text: str) -> int:
    """64 bits that stand for a text: ids, clusters and duplicates are compared by them."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


def split_of_value(value: str | None, split: SplitConfig) -> int:
    """The split that a value of the split column names; UNSPLIT for an empty one.

    Raises DataError for a value that is neither in data.split.map nor a known name.
    """
    if value is None:
        return UNSPLIT
    if value in split.map:
        return SPLITS.index(split.map[value])
    if value.lower() in SPLIT_NAMES:
        return SPLIT_NAMES[value.lower()]
    near = nearest(value, [*split.map, *SPLIT_NAMES])
    raise DataError(
        f"the column '{split.column}' holds '{value}', which is no split",
        got=value,
        expected=", ".join([*split.map, *SPLITS]),
        fix=f"write data.split.map: {{{value}: train}}" + (f", or did you mean '{near}'?" if near else ""),
    )


def stir(hashes: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Hashes stirred with the seed (splitmix64), so that two choices do not follow one another."""
    state = hashes + np.uint64(hash_text(f"{seed} {purpose}"))
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def sample(ids: np.ndarray, given: np.ndarray, limit: int | str | None, *, seed: int) -> np.ndarray:
    """Which records a limit keeps, (records,) of bool; every given split keeps its share.

    >>> given = np.zeros(10, dtype=np.int8)
    >>> int(sample(np.arange(10, dtype=np.uint64), given, "30%", seed=0).sum())
    3
    """
    count = len(ids)
    if limit is None:
        return np.ones(count, dtype=bool)
    wanted = round(count * float(limit[:-1]) / 100) if isinstance(limit, str) else limit
    wanted = max(1, wanted)
    if wanted >= count:
        return np.ones(count, dtype=bool)
    kept = np.zeros(count, dtype=bool)
    order = stir(ids, seed, "limit").argsort(kind="stable")
    values, sizes = np.unique(given, return_counts=True)
    for value, share in zip(values, _shares(sizes, wanted), strict=True):
        kept[order[given[order] == value][:share]] = True
    return kept


def assign(
    clusters: np.ndarray, given: np.ndarray, *, split: SplitConfig, seed: int, labels: np.ndarray | None = None
) -> np.ndarray:
    """The split of every record, (records,) of int8: 0 train, 1 validation, 2 test.

    `clusters` are hashes (a record without a cluster is a cluster of its own), `given` the split named by
    file or column, or UNSPLIT. Fractions divide the unsplit records; where there are none, a split that was not
    given is cut from the training records. Counts are exact up to the size of a cluster, clusters stay whole, and a
    record without a split follows the records of its cluster that have one. With `labels`, (records, classes) of bool,
    each split has its share of every class too, as far as clusters allow.

    Raises CrossingCluster where one cluster was given two splits.
    """
    _, number = np.unique(clusters, return_inverse=True)
    result = _follow_cluster(given.astype(np.int8), number)
    pool = result == UNSPLIT
    fractions = {TEST: split.test, VALIDATION: split.validation}
    if not pool.any():
        pool = result == TRAIN
        fractions = {s: f for s, f in fractions.items() if not (result == s).any()}
    order = stir(clusters, seed, "split")
    targets = {s: _target(int(pool.sum()), f) for s, f in fractions.items()}
    result[pool] = TRAIN
    if labels is not None:
        members = np.flatnonzero(pool)
        result[members] = _by_class(clusters[members], labels[members], order[members], fractions)
        return result
    wanted = [name for name in (TEST, VALIDATION) if targets.get(name)]
    for name in wanted:
        spare = len(wanted) - wanted.index(name)
        chosen = _whole_clusters(number, order, pool & (result == TRAIN), targets[name], spare=spare)
        result[chosen] = name
    return result


def repeats(ids: np.ndarray, weights: np.ndarray, train: np.ndarray, *, seed: int) -> np.ndarray:
    """How often each record is written, (records,) of int64; a weight counts for training records alone.

    Weight 2.5 writes every training record of that weight twice and half of them, chosen by seed, once more: the
    counts are exact.
    """
    counts = np.ones(len(ids), dtype=np.int64)
    order = stir(ids, seed, "weight").argsort(kind="stable")
    for weight in np.unique(weights[train]):
        members = order[(train & (weights == weight))[order]]
        whole = int(weight)
        counts[members] = whole
        counts[members[: round(len(members) * (weight - whole))]] += 1
    return counts


class CrossingCluster(Exception):  # noqa: N818 - carries a place; the caller, who knows names, raises the error
    """A cluster was given two splits; `records` are the positions of one record in each."""

    def __init__(self, records: tuple[int, int]) -> None:
        self.records = records
        super().__init__(f"records {records[0]} and {records[1]}")


def _follow_cluster(given: np.ndarray, number: np.ndarray) -> np.ndarray:
    named = given != UNSPLIT
    if not named.any():
        return given
    low = np.full(number.max() + 1, len(SPLITS), dtype=np.int8)
    high = np.full(number.max() + 1, UNSPLIT, dtype=np.int8)
    np.minimum.at(low, number[named], given[named])
    np.maximum.at(high, number[named], given[named])
    crossing = np.flatnonzero((low < high) & (high != UNSPLIT))
    if len(crossing):
        members = named & (number == crossing[0])
        first = np.flatnonzero(members & (given == low[crossing[0]]))[0]
        second = np.flatnonzero(members & (given == high[crossing[0]]))[0]
        raise CrossingCluster((int(first), int(second)))
    return np.where(named, given, high[number])


def _by_class(
    clusters: np.ndarray, labels: np.ndarray, order: np.ndarray, fractions: Mapping[int, float]
) -> np.ndarray:
    """Splits of these fractions, the rest training, each with its share of every class."""
    shares = {name: share for name, share in fractions.items() if share > 0}
    result = np.full(len(clusters), TRAIN, dtype=np.int8)
    if len(np.unique(clusters)) < len(clusters):
        named = np.array([*shares, TRAIN], dtype=np.int8)
        return named[deal_clusters(clusters, labels, order, shares=[*shares.values(), 1 - sum(shares.values())])]
    left = 1.0
    for name, share in shares.items():
        rest = np.flatnonzero(result == TRAIN)
        result[rest[pick_records(labels[rest], order[rest], share=share / left)]] = name
        left -= share
    return result


def _whole_clusters(number: np.ndarray, order: np.ndarray, pool: np.ndarray, target: int, *, spare: int) -> np.ndarray:
    """A mask of records whose clusters add up to `target` or come nearest to it.

    `spare` clusters are left for the splits after this one, where the pool has as many.
    """
    members = np.flatnonzero(pool)
    kinds, first, sizes = np.unique(number[members], return_index=True, return_counts=True)
    by_hash = order[members[first]].argsort(kind="stable")
    kinds, sizes = kinds[by_hash], sizes[by_hash]
    may_take = max(len(kinds) - spare, min(1, len(kinds) - 1))
    taken = np.zeros(len(kinds), dtype=bool)
    left, count = target, 0
    for index, size in enumerate(sizes):
        if left == 0 or count == may_take:
            break
        if size <= left:
            taken[index] = True
            left -= int(size)
            count += 1
    if left and count < may_take:
        rest = np.flatnonzero(~taken)
        smallest = rest[sizes[rest].argmin()]
        if int(sizes[smallest]) - left < left or count == 0:
            taken[smallest] = True
    return pool & np.isin(number, kinds[taken])


def _target(count: int, fraction: float) -> int:
    """Records for a split: the nearest whole number, at least one where there are two to divide."""
    if fraction <= 0 or count < 2:
        return 0
    return max(1, int(count * fraction + 0.5))


def _shares(sizes: np.ndarray, wanted: int) -> list[int]:
    """`wanted` divided in proportion to the sizes by largest remainder, at least one each where it suffices."""
    exact = sizes * (wanted / sizes.sum())
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[: wanted - shares.sum()]] += 1
    if wanted >= len(sizes):
        for empty in np.flatnonzero(shares == 0):
            shares[shares.argmax()] -= 1
            shares[empty] += 1
    return [int(share) for share in shares]
