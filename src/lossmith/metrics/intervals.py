"""95 % intervals: Wilson for proportions of independent records or clusters that all agree, else a bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lossmith.metrics.scores import AnyScores, Ranked, Ratio, Scores

LEVEL = 0.95
RESAMPLES = 1000
_CELLS = 1 << 22  # numbers held at once while resampling
_KEPT_CELLS = 1 << 24  # draws that are kept for the next metric of the same records


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, how it was found, and how many resamples had no value.

    `low` and `high` are None where there is none; `reason` then says why. `note` is what has to be known beside them.
    """

    low: float | None
    high: float | None
    method: str
    resamples: int = 0
    undefined: int = 0
    reason: str | None = None
    note: str | None = None


def interval(
    scores: AnyScores,
    *,
    clusters: Sequence[Hashable] | None = None,
    proportion: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of a metric's value.

    A `proportion` (a ratio of successes to trials) has Wilson's interval while every record is a cluster of
    its own; once records share a cluster they are no independent trials, and clusters are resampled. Where all
    succeed, or none, every resample would say so with certainty: then Wilson's interval counts clusters as trials.
    """
    value = scores.value()
    if value is None:
        return Interval(None, None, "none", reason="the value is undefined")
    if scores.parts == "none":
        return Interval(None, None, "none", reason="the metric gives one number, with no values per record to resample")
    if not proportion or not isinstance(scores, Scores) or not isinstance(scores.reduce, Ratio):
        return bootstrap(scores, clusters=clusters, resamples=resamples, seed=seed)
    if not shared_clusters(clusters):
        successes, trials = scores.reduce.parts(scores.stats.sum(axis=0))
        low, high = wilson(float(successes), float(trials))
        return Interval(low, high, "wilson")
    if value in (0.0, 1.0):
        return _of_agreeing_clusters(scores, scores.reduce, clusters)
    return bootstrap(scores, clusters=clusters, resamples=resamples, seed=seed)


def _of_agreeing_clusters(scores: Scores, ratio: Ratio, clusters: Sequence[Hashable] | None) -> Interval:
    """The interval of a proportion of 0 or 1, each cluster with a trial taken as one trial."""
    trials = int((ratio.parts(cluster_sums(scores.stats, clusters))[1] > 0).sum())
    if trials < 2:
        return Interval(None, None, "none", reason="one cluster alone has no spread")
    low, high = wilson(trials * (scores.value() or 0.0), trials)
    note = f"all {trials:,} clusters agree, so that resampling has no spread: the interval is Wilson's on their number"
    return Interval(low, high, "wilson over clusters", note=note)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion, inside [0, 1] (Wilson 1927).

    >>> tuple(round(bound, 4) for bound in wilson(8, 10))
    (0.4902, 0.9433)
    """
    from scipy.stats import norm

    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"a proportion needs 0 <= successes <= trials and a trial, not {successes} of {trials}")
    z = float(norm.ppf(0.5 + LEVEL / 2))
    share, squared = successes / trials, z * z / trials
    centre = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * np.sqrt(share * (1 - share) / trials + squared / (4 * trials))
    # At 0 and at all successes the bound is exact; rounding would leave 1e-17.
    low = 0.0 if successes == 0 else float(max(0.0, centre - half))
    high = 1.0 if successes == trials else float(min(1.0, centre + half))
    return low, high


def bootstrap(
    scores: AnyScores, *, clusters: Sequence[Hashable] | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap over clusters (records, where there are none) drawn with replacement.

    Resamples without a value (no pair to score, say) are left out of the percentiles and counted. Chance makes gaps
    larger and the worst of several worse in resamples than in the records: where the percentiles miss the value, the
    interval is widened to it and says so.
    """
    if resamples < 1000:
        raise ValueError(f"an interval needs at least 1,000 resamples, not {resamples}")
    count, values_of = by_cluster(scores, clusters)
    if count < 2:
        return Interval(None, None, "none", reason="one cluster alone has no spread")
    found = percentiles(np.concatenate([values_of(times) for times in drawn(count, resamples=resamples, seed=seed)]))
    return _holding(found, scores.value())


def _holding(found: Interval, value: float | None) -> Interval:
    if value is None or found.low is None or found.high is None:
        return found
    # Sums in another order differ in the last bits.
    if found.low - 1e-9 <= value <= found.high + 1e-9:
        return found
    note = "the percentiles of the resamples miss the value, as those of gaps and worst groups can: widened to it"
    return replace(found, low=min(found.low, value), high=max(found.high, value), note=note)


def percentiles(values: np.ndarray) -> Interval:
    """The interval that resampled values (resamples,) span; nan is an undefined resample."""
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(defined):
        return Interval(None, None, "none", len(values), undefined, "no resample has a value")
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(float(low), float(high), "bootstrap", len(values), undefined)


def by_cluster(
    scores: AnyScores, clusters: Sequence[Hashable] | None
) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """The number of clusters, and a function from how often each is taken (resamples, clusters) to values."""
    if isinstance(scores, Scores):
        totals = cluster_sums(scores.stats, clusters)
        return len(totals), lambda times: scores.reduce(times @ totals)
    codes = np.arange(len(scores)) if clusters is None else cluster_codes(clusters)
    return int(codes.max(initial=-1)) + 1, lambda times: weighed(scores, times, codes)


def weighed(scores: Ranked, times: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Values (resamples,) where the cluster of each record (`codes`) is taken so often, in bounded blocks."""
    rows = max(1, _CELLS // max(1, len(codes)))
    parts = [times[start : start + rows] for start in range(0, len(times), rows)]
    return np.concatenate([scores.weigh(scores.columns, part[:, codes]) for part in parts])


def drawn(count: int, *, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of `count` clusters is drawn with replacement (some resamples, count), in bounded blocks."""
    block = max(1, _CELLS // count)
    if count * resamples > _KEPT_CELLS:
        yield from (times.astype(np.float64) for times in _draws(count, resamples, seed, block))
        return
    kept = _kept_draws(count, resamples, seed)
    for start in range(0, resamples, block):
        yield kept[start : start + block].astype(np.float64)


@lru_cache(maxsize=4)
def _kept_draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """All draws at once: every metric of the same records is resampled alike, and drawing costs more than scoring."""
    return np.concatenate(list(_draws(count, resamples, seed, max(1, _CELLS // count))))


def _draws(count: int, resamples: int, seed: int, block: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    # Above 65,535 clusters none is drawn so often; below, none can be drawn more often than there are clusters.
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        taken = generator.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(taken.ravel(), minlength=rows * count).reshape(rows, count).astype(np.uint16)


def cluster_sums(stats: np.ndarray, clusters: Sequence[Hashable] | None) -> np.ndarray:
    """Statistics summed by cluster (clusters, k), in the order of first appearance.

    A record whose cluster is None is a cluster of its own.

    >>> cluster_sums(np.array([[1.0], [2.0], [4.0]]), ["a", None, "a"]).tolist()
    [[5.0], [2.0]]
    """
    if clusters is None:
        return stats
    if len(clusters) != len(stats):
        raise ValueError(f"{len(clusters)} clusters for {len(stats)} records")
    codes = cluster_codes(clusters)
    sums = np.zeros((codes.max(initial=-1) + 1, stats.shape[1]))
    np.add.at(sums, codes, stats)
    return sums


def cluster_codes(clusters: Sequence[Hashable]) -> np.ndarray:
    """Running numbers (records,) of the clusters, by first appearance.

    >>> cluster_codes(["b", "a", "b", None, None]).tolist()
    [0, 1, 0, 2, 3]
    """
    known: dict[Hashable, int] = {}
    # A tuple can't equal a cluster's own name.
    keys = (("record", row) if name is None else name for row, name in enumerate(clusters))
    return np.fromiter((known.setdefault(key, len(known)) for key in keys), dtype=np.int64, count=len(clusters))


def shared_clusters(clusters: Sequence[Hashable] | None) -> bool:
    """Whether any two records share a cluster."""
    if clusters is None:
        return False
    named = [name for name in clusters if name is not None]
    return len(set(named)) < len(named)
