"""Two runs on the same records: the difference, its interval, and how likely chance alone makes it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from lossmith.metrics.intervals import RESAMPLES, Interval, cluster_sums, percentiles, resampled
from lossmith.metrics.scores import Scores

PERMUTATIONS = 9999
_CELLS = 1 << 22


@dataclass(frozen=True)
class Permutation:
    """A two-sided p value, None where there is none; `undefined` permutations count against it."""

    p: float | None
    permutations: int = 0
    undefined: int = 0
    reason: str | None = None


def difference(first: Scores, second: Scores) -> float | None:
    """Value of the second less that of the first; None where one is undefined."""
    one, two = first.value(), second.value()
    return None if one is None or two is None else two - one


def paired_bootstrap(
    first: Scores,
    second: Scores,
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
    if "none" in (first.parts, second.parts):
        return Interval(None, None, "none", reason="the metric gives one number, with no values per record to resample")
    if difference(first, second) is None:
        return Interval(None, None, "none", reason="the value of a run is undefined")
    totals, width = _side_by_side(first, second, clusters)
    if len(totals) < 2:
        return Interval(None, None, "none", reason="one cluster alone has no spread")
    blocks = resampled(totals, resamples=resamples, seed=seed)
    values = [second.reduce(sums[:, width:]) - first.reduce(sums[:, :width]) for sums in blocks]
    return percentiles(np.concatenate(values))


def permutation_test(
    first: Scores,
    second: Scores,
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
    if first.parts != "sums" or second.parts != "sums":
        return Permutation(None, reason="the metric is no sum over records, so outputs can't be exchanged one by one")
    observed = difference(first, second)
    if observed is None:
        return Permutation(None, reason="the value of a run is undefined")
    totals, width = _side_by_side(first, second, clusters)
    change = totals[:, width:] - totals[:, :width]
    sums = totals.sum(axis=0)
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // len(totals))
    extreme = undefined = 0
    for start in range(0, permutations, block):
        rows = min(block, permutations - start)
        moved = generator.integers(2, size=(rows, len(totals))).astype(np.float64) @ change
        values = second.reduce(sums[width:] - moved) - first.reduce(sums[:width] + moved)
        missing = np.isnan(values)
        # Sums in another order differ in the last bits; an equal difference must count as equal.
        reached = np.abs(values) >= abs(observed) - 1e-12 * max(1.0, abs(observed))
        extreme += int(np.sum(reached | missing))
        undefined += int(np.sum(missing))
    return Permutation((extreme + 1) / (permutations + 1), permutations, undefined)


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


def _check_pair(first: Scores, second: Scores) -> None:
    if len(first) != len(second):
        raise ValueError(f"paired scores need the same records: {len(first)} and {len(second)}")


def _side_by_side(first: Scores, second: Scores, clusters: Sequence[Hashable] | None) -> tuple[np.ndarray, int]:
    both = np.concatenate([first.stats, second.stats], axis=1)
    return cluster_sums(both, clusters), first.stats.shape[1]
