"""Statistics over seeds and folds against their definitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from lossmith.metrics.scores import mean_of, whole
from lossmith.studies.over_folds import over_folds
from lossmith.studies.over_seeds import (
    SeedValues,
    difference_over_seeds,
    over_seeds,
    permutation_over_seeds,
    smallest_p,
)

RECORDS, SEEDS = 60, 8


@pytest.fixture
def runs() -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Hits of two objectives by seed, and the cluster of each record; hard clusters are hard for every run."""
    chance = np.random.default_rng(3)
    clusters = [f"c{place // 6}" for place in range(RECORDS)]
    hard = np.repeat(chance.uniform(0.2, 0.9, RECORDS // 6), 6)
    hits = [[(chance.random(RECORDS) < hard + extra).astype(float) for _ in range(SEEDS)] for extra in (0.0, 0.1)]
    return hits[0], hits[1], clusters


def test_the_mean_and_its_interval_are_of_seeds_and_clusters(runs):
    first, _, clusters = runs
    found = over_seeds(SeedValues.of([mean_of(one) for one in first], clusters=clusters))
    assert found["value"] == pytest.approx(np.mean([one.mean() for one in first]))
    assert found["sd"] == pytest.approx(np.std([one.mean() for one in first], ddof=1))
    assert found["values"] == [pytest.approx(one.mean()) for one in first]
    # The same drawn by hand, from another stream: seeds, then whole clusters, one draw for all drawn seeds.
    chance = np.random.default_rng(11)
    by_cluster = np.stack(first).reshape(SEEDS, RECORDS // 6, 6).mean(axis=2)
    drawn = [
        by_cluster[np.ix_(chance.integers(SEEDS, size=SEEDS), chance.integers(RECORDS // 6, size=RECORDS // 6))].mean()
        for _ in range(4000)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found["low"] == pytest.approx(low, abs=0.02)
    assert found["high"] == pytest.approx(high, abs=0.02)


def test_more_seeds_do_not_make_the_records_more_than_they_are():
    chance = np.random.default_rng(0)
    hits = (chance.random(50) < 0.5).astype(float)
    one_draw = [mean_of(hits) for _ in range(40)]
    found = over_seeds(SeedValues.of(one_draw, clusters=None))
    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 50)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half, rel=0.15)


def test_the_difference_is_paired_by_seed_and_record(runs):
    first, second, clusters = runs
    sides = [SeedValues.of([mean_of(one) for one in side], clusters=clusters) for side in (first, second)]
    found = difference_over_seeds(*sides)
    by_hand = [two.mean() - one.mean() for one, two in zip(first, second, strict=True)]
    assert found["differences"] == [pytest.approx(value) for value in by_hand]
    assert found["difference"] == pytest.approx(np.mean(by_hand))
    assert found["low"] < found["difference"] < found["high"]
    signed = [abs(np.dot(signs, by_hand)) for signs in product((1, -1), repeat=SEEDS)]
    assert found["p"] == np.mean([value >= abs(sum(by_hand)) - 1e-9 for value in signed])
    apart = over_seeds(sides[1])["high"] - over_seeds(sides[0])["low"]
    assert found["high"] - found["low"] < apart
    same = difference_over_seeds(sides[0], sides[0])
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(("seeds", "smallest"), [(7, None), (8, 2 / 2**8), (13, 2 / 2**13), (30, 1e-4)])
def test_p_exists_from_eight_seeds_on(seeds: int, smallest: float | None):
    found = permutation_over_seeds([0.01] * seeds)
    assert found.p == (None if smallest is None else pytest.approx(smallest))
    assert (found.reason is None) == (smallest is not None)
    if smallest is not None:
        assert smallest_p(seeds) == pytest.approx(smallest)


def test_a_seed_without_a_value_leaves_none():
    scores = [mean_of([1.0, 0.0, 1.0]), mean_of([])]
    values = SeedValues([score.value() for score in scores], np.full((1000, 2), 0.5))
    found = over_seeds(values)
    assert (found["value"], found["low"], found["reason"]) == (None, None, "1 of 2 seeds have no value")
    other = SeedValues([0.5, 0.5], np.full((1000, 2), 0.5))
    assert difference_over_seeds(values, other)["p"] is None


def test_a_metric_of_one_number_has_a_mean_and_no_interval():
    found = over_seeds(SeedValues.of([whole(0.2, 9), whole(0.4, 9)], clusters=None))
    assert found["value"] == pytest.approx(0.3)
    assert (found["low"], found["high"]) == (None, None)
    assert found["reason"]


def test_folds_have_the_corrected_interval():
    values = [0.61, 0.70, 0.55, 0.66, 0.58]
    found = over_folds([{"value": value} for value in values], folds=5)
    sd = np.std(values, ddof=1)
    # Nadeau and Bengio (2003): variance (1/J + test share over training share) s^2, a quarter for five folds.
    half = stats.t.ppf(0.975, 4) * sd * np.sqrt(1 / 5 + 1 / 4)
    assert (found["value"], found["sd"]) == (pytest.approx(np.mean(values)), pytest.approx(sd))
    assert (found["low"], found["high"]) == (
        pytest.approx(np.mean(values) - half),
        pytest.approx(np.mean(values) + half),
    )

    inside = over_folds([{"value": value} for value in (0.1, 0.9)], folds=2, within=(0.0, 1.0))
    assert (inside["low"], inside["high"]) == (0.0, 1.0)


def test_folds_without_a_value_are_told():
    entries = [{"value": 0.5}, {"value": None, "reason": "no positive record"}, {"value": 0.7}]
    found = over_folds(entries, folds=3)
    assert (found["value"], found["n"]) == (pytest.approx(0.6), 2)
    assert found["values"] == [0.5, None, 0.7]
    assert found["reason"] == "1 of 3 folds has no value: no positive record"
    nothing = over_folds(entries[1:2], folds=3)
    assert (nothing["value"], nothing["low"], nothing["n"]) == (None, None, 0)
