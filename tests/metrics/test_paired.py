from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test as scipy_permutation

from lossmith.metrics.intervals import bootstrap
from lossmith.metrics.paired import difference, holm, paired_bootstrap, permutation_test
from lossmith.metrics.scores import MEAN, Scores, mean_of, whole


def pair(seed: int, size: int = 60, shift: float = 0.1):
    generator = np.random.default_rng(seed)
    base = generator.normal(size=size)
    return mean_of(base), mean_of(base + generator.normal(shift, 0.3, size=size))


def test_the_bootstrap_of_a_difference_is_that_of_the_differences():
    first, second = pair(0)
    found = paired_bootstrap(first, second, seed=5)
    direct = bootstrap(mean_of(second.stats[:, 0] - first.stats[:, 0]), seed=5)
    assert (found.low, found.high) == pytest.approx((direct.low, direct.high), abs=1e-12)


def test_pairing_is_narrower_than_two_intervals():
    first, second = pair(1)
    found, alone = paired_bootstrap(first, second), bootstrap(second)
    assert found.high - found.low < 0.6 * (alone.high - alone.low)


def test_the_permutation_p_agrees_with_scipy():
    first, second = pair(2)
    found = permutation_test(first, second)
    expected = scipy_permutation(
        (first.stats[:, 0], second.stats[:, 0]),
        lambda x, y, axis: np.mean(y, axis=axis) - np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    assert found.p == pytest.approx(expected.pvalue, abs=0.015)


def test_equal_runs_have_p_one_and_an_interval_at_zero():
    first, _ = pair(3)
    assert permutation_test(first, first).p == 1.0
    found = paired_bootstrap(first, first)
    assert (found.low, found.high) == (0.0, 0.0)


def test_under_no_difference_p_is_uniform():
    p_values = []
    for seed in range(120):
        generator = np.random.default_rng(seed)
        both = generator.normal(size=(30, 2))
        p_values.append(permutation_test(mean_of(both[:, 0]), mean_of(both[:, 1]), permutations=499).p)
    assert 0.4 < np.mean(p_values) < 0.6
    assert np.mean(np.array(p_values) <= 0.05) < 0.12


def test_whole_clusters_are_exchanged():
    # One cluster: exchanging it or not always gives the same size of difference.
    first, second = pair(4, shift=1.0)
    assert permutation_test(first, second).p < 0.01
    assert permutation_test(first, second, clusters=["a"] * 60).p == 1.0
    halves = ["a"] * 30 + ["b"] * 30
    assert permutation_test(first, second, clusters=halves).p == pytest.approx(0.5, abs=0.03)


def test_the_metric_is_recomputed_not_averaged():
    # A ratio of sums: records differ in how much they weigh.
    first = Scores(np.array([[0.0, 1.0], [90.0, 100.0], [1.0, 1.0]]), MEAN)
    second = Scores(np.array([[1.0, 1.0], [80.0, 100.0], [1.0, 1.0]]), MEAN)
    exact = []
    for moved in np.ndindex(2, 2, 2):
        swap = np.array(moved, dtype=bool)[:, None]
        left = np.where(swap, second.stats, first.stats).sum(0)
        right = np.where(swap, first.stats, second.stats).sum(0)
        exact.append(right[0] / right[1] - left[0] / left[1])
    share = np.mean(np.abs(exact) >= abs(difference(first, second)) - 1e-12)
    assert permutation_test(first, second).p == pytest.approx(share, abs=0.02)


def test_a_permutation_without_a_value_counts_against_the_difference():
    first = Scores(np.array([[1.0, 1.0], [0.0, 0.0]]), MEAN)
    second = Scores(np.array([[0.0, 0.0], [0.0, 1.0]]), MEAN)
    found = permutation_test(first, second)
    assert found.undefined > 0
    assert found.p == 1.0


def test_what_can_not_be_tested_says_why():
    first, second = pair(5)
    assert "no sum" in permutation_test(whole(0.1, 60), second).reason
    assert permutation_test(Scores(np.zeros((60, 2)), MEAN), second).p is None
    assert paired_bootstrap(first, whole(0.1, 60)).low is None
    with pytest.raises(ValueError, match="same records"):
        permutation_test(first, mean_of([1.0]))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([None, 0.5]) == [None, 0.5]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_never_lowers_a_p_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert [one is None for one in adjusted] == [one is None for one in p_values]
    pairs = sorted((p, q) for p, q in zip(p_values, adjusted, strict=True) if p is not None)
    assert all(p <= q <= 1.0 for p, q in pairs)
    assert all(left[1] <= right[1] for left, right in pairwise(pairs))
