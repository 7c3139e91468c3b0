"""Two runs on the same records: the difference, its interval, and how likely chance alone makes it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lossmith.metrics.intervals import (
    RESAMPLES,
    Interval,
    by_cluster,
    cluster_codes,
    cluster_sums,
    drawn,
    percentiles,
    weighed,
)
from lossmith.metrics.scores import AnyScores, Ranked, Scores

PERMUTATIONS = 9999
_CELLS = 1 << 22


@dataclass(frozen=True)
class Permutation:
    """A two-sided p value, None where there is none; `undefined` permutations count against it."""

    p: float | None
    permutations: int = 0
    undefined: int = 0
    reason: str | None = None


def difference(first: AnyScores, second: AnyScores) -> float | None:
    """Value of the second less that of the first; None where one is undefined."""
    one, two = first.value(), second.value()
    return None if one is None or two is None else two - one


def paired_bootstrap(
    first: AnyScores,
    second: AnyScores,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of second less first; both are computed on the same drawn clusters.

    >>> from lossmith.metrics.scores import mean_of
    >>> found = paired_bootstrap(mean_of([0, 1, 0, 1]), mean_of([0.5, 1.5, 0.5, 1.5]))
    >>> (round(found.low, 9), round(found.high, 9))
    (0.5, 0.5)
    """
    _check_pair(first, second)
    if difference(first, second) is None:
        return Interval(None, None, "none", reason="the value of a run is undefined")
    if "none" in (first.parts, second.parts):
        return Interval(None, None, "none", reason="the metric gives one number, with no values per record to resample")
    (count, one), (_, two) = by_cluster(first, clusters), by_cluster(second, clusters)
    if count < 2:
        return Interval(None, None, "none", reason="one cluster alone has no spread")
    blocks = drawn(count, resamples=resamples, seed=seed)
    return percentiles(np.concatenate([two(times) - one(times) for times in blocks]))


def permutation_test(
    first: AnyScores,
    second: AnyScores,
    *,
    clusters: Sequence[Hashable] | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Permutation:
    """How often exchanging the two runs' outputs by chance makes a difference at least as large.

    Each permutation exchanges the outputs of whole clusters with probability 1/2 and computes the metric of
    both sides anew. p = (k + 1) / (permutations + 1), two-sided; a permutation without a value counts in k.

    >>> from lossmith.metrics.scores import mean_of
    >>> permutation_test(mean_of([0.0] * 40), mean_of([1.0] * 40)).p
    0.0001
    """
    _check_pair(first, second)
    if not {first.parts, second.parts} <= {"sums", "weights"}:
        return Permutation(None, reason="the metric is no sum over records, so outputs can't be exchanged one by one")
    observed = difference(first, second)
    if observed is None:
        return Permutation(None, reason="the value of a run is undefined")
    count, differences = _exchanged(first, second, clusters)
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // count)
    extreme = undefined = 0
    for start in range(0, permutations, block):
        rows = min(block, permutations - start)
        values = differences(generator.integers(2, size=(rows, count)).astype(np.float64))
        missing = np.isnan(values)
        # Sums in another order differ in the last bits; an equal difference must count as equal.
        reached = np.abs(values) >= abs(observed) - 1e-12 * max(1.0, abs(observed))
        extreme += int(np.sum(reached | missing))
        undefined += int(np.sum(missing))
    return Permutation((extreme + 1) / (permutations + 1), permutations, undefined)


Differences = Callable[[np.ndarray], np.ndarray]


def _exchanged(first: AnyScores, second: AnyScores, clusters: Sequence[Hashable] | None) -> tuple[int, Differences]:
    """The number of clusters, and a function from which are exchanged (permutations, clusters) to differences."""
    if isinstance(first, Scores) and isinstance(second, Scores):
        return _exchanged_sums(first, second, clusters)
    if not isinstance(first, Ranked) or not isinstance(second, Ranked):
        raise ValueError(f"paired scores are of one metric, not of {type(first).__name__} and {type(second).__name__}")
    codes = np.arange(len(first)) if clusters is None else cluster_codes(clusters)
    # Both runs' records stand one below the other, and a record counts on one side or on the other.
    both = replace(first, columns=np.concatenate([first.columns, second.columns]))
    count = int(codes.max(initial=-1)) + 1
    codes = np.concatenate([codes, codes + count])

    def differences(moved: np.ndarray) -> np.ndarray:
        stay = 1 - moved
        one, two = np.concatenate([stay, moved], axis=1), np.concatenate([moved, stay], axis=1)
        return weighed(both, two, codes) - weighed(both, one, codes)

    return count, differences


def _exchanged_sums(first: Scores, second: Scores, clusters: Sequence[Hashable] | None) -> tuple[int, Differences]:
    one, two = cluster_sums(first.stats, clusters), cluster_sums(second.stats, clusters)
    change, ones, twos = two - one, one.sum(axis=0), two.sum(axis=0)

    def differences(moved: np.ndarray) -> np.ndarray:
        shift = moved @ change
        return np.asarray(second.reduce(twos - shift) - first.reduce(ones + shift))

    return len(one), differences


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values adjusted for being many (Holm 1979); None stays None and is not counted.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def _check_pair(first: AnyScores, second: AnyScores) -> None:
    if len(first) != len(second):
        raise ValueError(f"paired scores need the same records: {len(first)} and {len(second)}")
