"""Formulas of evidence against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from lossmith.labels import Classes
from lossmith.metrics.evidence import (
    asked_about,
    beyond_chance,
    by_importance,
    curve,
    first_of,
    importance,
    log_odds,
    overlap,
    similarity,
    usage,
    weighted_log_odds,
)

logits = arrays(np.float64, (3, 4), elements=st.floats(-20, 20))


@given(logits)
def test_log_odds_are_those_of_the_probabilities(given: np.ndarray):
    p = softmax(given, axis=1)
    with np.errstate(divide="ignore"):
        expected = np.log(p) - np.log([[np.delete(row, at).sum() for at in range(4)] for row in p])
    np.testing.assert_allclose(log_odds(given, multi_label=False), expected, atol=1e-6)


def test_of_two_classes_importance_is_the_fall_of_the_logit_of_the_one_asked_about():
    whole, without = np.array([[0.0, 1.5]] * 2), np.array([[0.0, 0.5], [0.0, 2.5]])
    yes = importance(whole, without, np.array([False, True]), multi_label=False)
    no = importance(whole, without, np.array([True, False]), multi_label=False)
    np.testing.assert_allclose(yes, [1.0, -1.0])
    np.testing.assert_allclose(no, -yes)


def test_importance_of_labels_is_the_mean_over_those_asked_about():
    whole, without = np.array([2.0, -1.0, 1.0]), np.array([[1.0, -1.0, 0.0], [2.0, -4.0, 1.0]])
    both = importance(whole, without, np.array([True, False, True]), multi_label=True)
    np.testing.assert_allclose(both, [1.0, 0.0])


def test_evidence_is_about_the_positive_class_and_of_others_about_what_is_predicted():
    two, three = Classes(("no", "yes"), positive="yes"), Classes(("a", "b", "c"))
    labels = Classes(("a", "b", "c"), multi_label=True)
    for predicted in ([True, False], [False, True]):
        assert asked_about(np.array([3.0, 0.0]), np.array(predicted), two).tolist() == [False, True]
    second, nothing = np.array([False, True, False]), np.zeros(3, dtype=bool)
    assert asked_about(np.array([3.0, 0.0, 0.0]), second, three).tolist() == second.tolist()
    assert asked_about(np.array([3.0, 0.0, 0.0]), second, labels).tolist() == second.tolist()
    assert asked_about(np.array([-3.0, -1.0, -2.0]), nothing, labels).tolist() == second.tolist()


def test_equal_importance_is_ordered_by_weight_and_then_by_place():
    assert by_importance(np.array([0.0, 2.0, 0.0, 0.0]), np.array([0.1, 0.0, 0.5, 0.1])).tolist() == [1, 2, 0, 3]


def test_the_first_chunks_of_an_order_are_nested():
    masks = first_of(np.array([3, 1, 0, 2]), [1, 2, 4])
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [[3], [1, 3], [0, 1, 2, 3]]


def test_a_curve_leaves_out_documents_that_are_too_short_and_says_how_many_are_left():
    falls = np.array([[0.2, 0.4], [0.4, np.nan], [0.6, 0.8], [0.2, np.nan]])
    one, two = curve(falls, ["a", "b", "c", "c"])
    assert one["value"] == pytest.approx(0.35)
    assert (one["n"], two["n"]) == (4, 2)
    assert two["value"] == pytest.approx(0.6)
    assert one["low"] < 0.35 < one["high"]


def test_copies_of_a_cluster_do_not_make_an_interval_narrower():
    falls = np.array([[0.1], [0.5], [0.9], [0.3]])
    clusters = ["a", "b", "c", "d"]
    alone, copied = (
        curve(falls, clusters)[0],
        curve(np.repeat(falls, 25, axis=0), [c for c in clusters for _ in range(25)])[0],
    )
    assert (copied["low"], copied["high"]) == pytest.approx((alone["low"], alone["high"]))
    loose = curve(np.repeat(falls, 25, axis=0), None)[0]
    assert loose["high"] - loose["low"] < (alone["high"] - alone["low"]) / 3


def test_the_difference_to_chance_is_paired():
    generator = np.random.default_rng(0)
    chance = generator.normal(size=(60, 3))
    found = beyond_chance(chance + 0.1, chance, None)
    assert found["value"] == pytest.approx(0.1)
    assert (found["low"], found["high"]) == pytest.approx((0.1, 0.1))
    assert beyond_chance(np.full((2, 3), np.nan), np.full((2, 3), np.nan), None)["value"] is None


def test_overlap_is_undefined_where_nothing_is_read():
    shares = overlap(np.array([[True, True, False, False], [False, True, True, True], [False] * 4]))
    assert shares[0, 1] == pytest.approx(1 / 4)
    assert shares[0, 0] == 1
    assert shares[0, 2] == 0
    assert np.isnan(shares[2, 2])


def test_similarity_does_not_read_lengths():
    queries = np.random.default_rng(1).normal(size=(4, 6))
    np.testing.assert_allclose(similarity(queries), similarity(queries * [[1], [9], [0.1], [3]]))
    assert similarity(np.zeros((2, 3))).tolist() == [[0, 0], [0, 0]]


def test_shares_of_queries_add_up_to_one_over_documents_that_have_any():
    falls = np.array([[1.0, 3.0, -2.0], [-1.0, -1.0, -1.0], [0.0, 0.0, 5.0]])
    assert usage(falls).tolist() == pytest.approx([0.125, 0.375, 0.5])
    assert np.isnan(usage(-np.ones((2, 3)))).all()


def test_weighted_log_odds_are_those_of_the_paper():
    counts, rest = np.array([30.0, 5.0, 2.0, 0.0]), np.array([10.0, 40.0, 2.0, 0.0])
    prior = 0.1 * (counts + rest)
    n, m, a0 = counts.sum(), rest.sum(), prior.sum()
    for w in range(3):
        inside = (counts[w] + prior[w]) / (n + a0 - counts[w] - prior[w])
        outside = (rest[w] + prior[w]) / (m + a0 - rest[w] - prior[w])
        variance = 1 / (counts[w] + prior[w]) + 1 / (rest[w] + prior[w])
        expected = (np.log(inside) - np.log(outside)) / np.sqrt(variance)
        assert weighted_log_odds(counts, rest)[w] == pytest.approx(expected)
    assert weighted_log_odds(counts, rest)[3] == 0
    assert weighted_log_odds(np.array([4.0]), np.array([1.0])).tolist() == [0]


def test_a_frequent_term_stands_out_more_than_a_rare_one_of_the_same_ratio():
    scores = weighted_log_odds(np.array([300.0, 3.0, 500.0]), np.array([100.0, 1.0, 800.0]))
    assert scores[0] > 3 * scores[1] > 0
