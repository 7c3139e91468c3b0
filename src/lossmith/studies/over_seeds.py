"""A metric over the seeds of an objective: mean, two-level interval, paired difference, permutation test."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from lossmith.metrics.intervals import RESAMPLES, Interval, by_cluster, drawn, percentiles
from lossmith.metrics.paired import PERMUTATIONS, Permutation
from lossmith.metrics.scores import AnyScores

FEWEST_SEEDS = 8
_ALL_SIGNS = 13  # 2 ** 13 sign patterns are fewer than PERMUTATIONS


@dataclass(frozen=True)
class SeedValues:
    """A metric of runs that differ in their seed alone, on the same records.

    `values` are the runs' own, None where undefined. `resampled` (resamples, seeds) are their values on drawn
    clusters, each row on one draw for all runs; None where a metric or a single cluster cannot be resampled.
    """

    values: list[float | None]
    resampled: np.ndarray | None
    seed: int = 0

    @classmethod
    def of(
        cls,
        runs: Sequence[AnyScores],
        *,
        clusters: Sequence[Hashable] | None,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> SeedValues:
        """The values of runs, one for each seed, in one order of the records."""
        values = [run.value() for run in runs]
        columns = []
        for run in runs:
            count, values_of = by_cluster(run, clusters)
            if run.parts == "none" or count < 2:
                return cls(values, None, seed)
            # What is drawn depends on the number of clusters and the seed alone, so it is the same for every run.
            draws = drawn(count, resamples=resamples, seed=seed)
            columns.append(np.concatenate([values_of(times) for times in draws]))
        return cls(values, np.stack(columns, axis=1) if columns else None, seed)

    def __sub__(self, other: SeedValues) -> SeedValues:
        """The difference seed by seed and draw by draw, undefined where a side is."""
        if len(self.values) != len(other.values):
            raise ValueError(f"paired runs need the same seeds: {len(self.values)} and {len(other.values)}")
        pairs = zip(self.values, other.values, strict=True)
        values = [None if one is None or two is None else one - two for one, two in pairs]
        both = None if self.resampled is None or other.resampled is None else self.resampled - other.resampled
        return SeedValues(values, both, self.seed)

    def taken(self, places: Sequence[int]) -> SeedValues:
        """Some of the seeds, by their place."""
        resampled = None if self.resampled is None else self.resampled[:, list(places)]
        return SeedValues([self.values[place] for place in places], resampled, self.seed)


def over_seeds(found: SeedValues) -> dict[str, Any]:
    """Mean of a metric over seeds with its two-level interval, standard deviation over seeds, and the runs' values.

    A run without a value leaves the mean undefined: it is a result of that seed, and leaving it out would choose among
    seeds.

    >>> told = over_seeds(SeedValues([0.4, 0.6], np.array([[0.4, 0.6]] * 1000)))
    >>> told["value"], round(told["sd"], 4), told["low"], told["high"]
    (0.5, 0.1414, 0.4, 0.6)
    """
    defined = [value for value in found.values if value is not None]
    whole = len(defined) == len(found.values) > 0
    interval = _two_level(found)
    lacking = f"{len(found.values) - len(defined)} of {len(found.values)} seeds have no value"
    return {
        "value": float(np.mean(defined)) if whole else None,
        "sd": float(np.std(defined, ddof=1)) if whole and len(defined) > 1 else None,
        "low": interval.low if whole else None,
        "high": interval.high if whole else None,
        "interval": "two-level bootstrap",
        "resamples": interval.resamples,
        "undefined_resamples": interval.undefined,
        "seeds": len(found.values),
        "values": found.values,
        "reason": interval.reason if whole else lacking,
    }


def difference_over_seeds(first: SeedValues, second: SeedValues) -> dict[str, Any]:
    """Mean of the second's less the first's value, seed by seed on the same records, as `over_seeds` tells it.

    `p` says how likely signs drawn by chance for the seeds' differences make a mean as large; it speaks of training
    again on the same records, the interval of other records, too.
    """
    apart = second - first
    told = over_seeds(apart)
    defined = [value for value in apart.values if value is not None]
    tested = Permutation(None) if told["value"] is None else permutation_over_seeds(defined, seed=first.seed)
    return {
        "difference": told.pop("value"),
        "p": tested.p,
        "differences": told.pop("values"),
        **told,
        "reason": told["reason"] or tested.reason,
    }


def permutation_over_seeds(differences: Sequence[float], *, seed: int = 0) -> Permutation:
    """Two-sided: how often signs given by chance make the mean difference at least as large as it is.

    All sign patterns up to 13 seeds, 9,999 drawn ones above. None below 8 seeds: with 5, no p under .0625 exists.

    >>> permutation_over_seeds([0.1] * 8).p
    0.0078125
    >>> permutation_over_seeds([0.1] * 5).p is None
    True
    """
    count = len(differences)
    if count < FEWEST_SEEDS:
        told = "1 seed is" if count == 1 else f"{count} seeds are"
        return Permutation(None, reason=f"{told} too few to test: p needs {FEWEST_SEEDS} or more")
    values = np.asarray(differences, dtype=np.float64)
    # Sums in another order differ in the last bits; an equal sum must count as equal.
    reached = abs(values.sum()) - 1e-12 * float(np.abs(values).sum())
    if count <= _ALL_SIGNS:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
        return Permutation(float(np.mean(np.abs(signs @ values) >= reached)), len(signs))
    signs = np.random.default_rng(seed).integers(2, size=(PERMUTATIONS, count)) * 2.0 - 1.0
    extreme = int(np.sum(np.abs(signs @ values) >= reached))
    return Permutation((extreme + 1) / (PERMUTATIONS + 1), PERMUTATIONS)


def smallest_p(seeds: int) -> float:
    """The smallest p that `permutation_over_seeds` can give.

    >>> smallest_p(8), smallest_p(20)
    (0.0078125, 0.0001)
    """
    return 2 / 2**seeds if seeds <= _ALL_SIGNS else 1 / (PERMUTATIONS + 1)


def _two_level(found: SeedValues) -> Interval:
    """The interval of the mean over drawn seeds on drawn clusters.

    Seeds are drawn with replacement, then clusters, the same for all drawn seeds: every run was measured on the same
    records, so drawing them apart for each seed would average away how much the result depends on these records.
    """
    if found.resampled is None:
        return Interval(None, None, "none", reason="there are no values per record, or one cluster, to resample")
    resamples, count = found.resampled.shape
    if count < 2:
        return Interval(None, None, "none", reason="one seed alone has no spread")
    # Another stream than that of the clusters, which began with the plain seed.
    places = np.random.default_rng([found.seed, count]).integers(count, size=(resamples, count))
    return percentiles(np.take_along_axis(found.resampled, places, axis=1).mean(axis=1))
