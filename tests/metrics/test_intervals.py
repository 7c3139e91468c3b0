from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from lossmith.metrics.intervals import bootstrap, cluster_codes, drawn, interval, wilson
from lossmith.metrics.scores import MEAN, Ratio, Scores, mean_of, whole


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(counts):
    successes, trials = counts
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
    found = bootstrap(mean_of(values), resamples=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    inside = 0
    for seed in range(200):
        found = bootstrap(mean_of(generator.exponential(1.0, size=80)), seed=seed)
        inside += found.low <= 1.0 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_clusters_widen_the_interval_of_records_that_agree():
    values = np.repeat(np.random.default_rng(2).normal(size=50), 20)
    clusters = [f"post {place // 20}" for place in range(1000)]
    alone, together = bootstrap(mean_of(values)), bootstrap(mean_of(values), clusters=clusters)
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(20), rel=0.15)


def test_a_proportion_has_wilson_until_records_share_a_cluster():
    scores = mean_of([1.0, 0.0] * 20)
    assert interval(scores, proportion=True).method == "wilson"
    assert interval(scores, proportion=True, clusters=list(range(40))).method == "wilson"
    assert interval(scores, proportion=True, clusters=[place // 2 for place in range(40)]).method == "bootstrap"
    assert interval(scores).method == "bootstrap"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_proportion_on_which_all_clusters_agree_is_not_certain(value: float):
    clusters = [place // 4 for place in range(48)]
    found = interval(mean_of([value] * 48), proportion=True, clusters=clusters)
    assert found.method == "wilson over clusters"
    assert (found.low, found.high) == wilson(12 * value, 12)
    assert found.high - found.low > 0.2, "48 records of 12 clusters are no 48 trials"
    assert "12 clusters" in found.note
    # What is no proportion has no such interval, and a single cluster none at all.
    assert interval(mean_of([value] * 48), clusters=clusters).method == "bootstrap"
    assert interval(mean_of([value] * 48), proportion=True, clusters=["a"] * 48).low is None


def test_undefined_resamples_are_counted():
    stats = np.zeros((6, 2))
    stats[0] = (1.0, 1.0)
    found = bootstrap(Scores(stats, MEAN), resamples=2000)
    assert found.undefined / 2000 == pytest.approx((5 / 6) ** 6, abs=0.04)
    assert (found.low, found.high) == (1.0, 1.0)


def test_what_has_no_interval_says_why():
    assert "undefined" in interval(Scores(np.zeros((4, 2)), MEAN)).reason
    assert "one number" in interval(whole(0.5, 9)).reason
    assert "cluster" in interval(mean_of([1.0, 0.0]), clusters=["a", "a"]).reason


def test_the_same_seed_gives_the_same_numbers_whatever_the_block():
    first = np.concatenate(list(drawn(300, resamples=1000, seed=7)))
    again = np.concatenate(list(drawn(300, resamples=1000, seed=7)))
    other = np.concatenate(list(drawn(300, resamples=1000, seed=8)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draws_that_are_kept_and_draws_that_are_not_are_the_same(monkeypatch):
    kept = np.concatenate(list(drawn(301, resamples=1000, seed=7)))
    monkeypatch.setattr("lossmith.metrics.intervals._KEPT_CELLS", 0)
    assert np.array_equal(kept, np.concatenate(list(drawn(301, resamples=1000, seed=7))))


def test_as_many_clusters_are_drawn_as_there_are():
    counts = np.concatenate(list(drawn(17, resamples=1000, seed=0)))
    assert counts.shape == (1000, 17)
    assert (counts.sum(axis=1) == 17).all() and counts.max() > 2


def test_fewer_than_a_thousand_resamples_are_refused():
    with pytest.raises(ValueError, match="1,000"):
        bootstrap(mean_of([1.0, 2.0]), resamples=999)


def test_records_without_a_cluster_stand_alone():
    assert cluster_codes([None, "a", None, "a", 3]).tolist() == [0, 1, 2, 1, 3]


def test_a_ratio_is_undefined_where_its_bottom_is_zero():
    ratio = Ratio(top=(1, 0), bottom=(0, 1), positive=(0,))
    values = ratio(np.array([[1.0, 2.0], [1.0, 0.0], [0.0, 3.0]]))
    assert values[0] == 0.5
    assert np.isnan(values[1:]).all()


def test_scores_of_a_part_are_those_records():
    scores = mean_of([1.0, 0.0, 0.5])
    assert scores.of(np.array([0, 2])).value() == 0.75
    with pytest.raises(ValueError, match="anew"):
        whole(1.0, 3).of(np.array([0]))
