from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef

from lossmith.errors import ConfigError
from lossmith.metrics.calibration import COLDEST, fit_temperature
from lossmith.metrics.thresholds import check_aim, choose_by_criterion, choose_threshold

# Few different scores, so that ties are the rule.
records = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30).map(
    lambda rows: (np.array([one for one, _ in rows]), np.array([score / 6 for _, score in rows]))
)


def brute(truth, scores, rate):
    """The rate at each candidate, by counting."""
    found = {}
    for t in sorted(set(scores)):
        said = scores >= t
        found[t] = rate(int((said & truth).sum()), int((said & ~truth).sum()), int((~said & truth).sum()), len(truth))
    return found


@given(records)
def test_recall_takes_the_largest_threshold_that_reaches_it(rows):
    truth, scores = rows
    chosen = choose_threshold({"recall": ">= 0.8"}, truth, scores)
    if truth.all() or not truth.any():
        assert (chosen.value, chosen.reached) == (0.5, False)
        return
    rates = brute(truth, scores, lambda tp, fp, fn, n: tp / (tp + fn))
    assert chosen.value == max(t for t, rate in rates.items() if rate >= 0.8)
    assert chosen.reached and chosen.reason is None


@given(records)
def test_fpr_takes_the_smallest_threshold_that_keeps_it(rows):
    truth, scores = rows
    chosen = choose_threshold({"fpr": "<= 0.25"}, truth, scores)
    if truth.all() or not truth.any():
        return
    rates = brute(truth, scores, lambda tp, fp, fn, n: fp / (n - tp - fn))
    keeping = [t for t, rate in rates.items() if rate <= 0.25]
    assert chosen.reached is bool(keeping)
    assert chosen.value == (min(keeping) if keeping else 0.5)
    if not keeping:
        assert "the best is" in chosen.reason


@settings(deadline=None, max_examples=30)
@given(records)
def test_the_largest_metric_is_found(rows):
    truth, scores = rows
    if truth.all() or not truth.any():
        return
    for name, metric in (("f1", f1_score), ("mcc", matthews_corrcoef)):
        chosen = choose_threshold({"max": name}, truth, scores)
        values = {t: metric(truth, scores >= t) for t in set(scores) if name == "f1" or not (scores >= t).all()}
        if not values:
            assert (chosen.reached, chosen.reason) == (False, "mcc is undefined at every validation score")
            continue
        assert values[chosen.value] == pytest.approx(max(values.values()))


def test_precision_of_at_least_takes_the_most_positives():
    truth = np.array([1, 0, 1, 1, 0, 0], dtype=bool)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.1])
    # 1/1, 1/2, 2/3, 3/4, 3/5, 3/6: it falls and rises again.
    assert choose_threshold({"precision": ">= 0.7"}, truth, scores).value == 0.6
    assert choose_threshold({"precision": "> 0.75"}, truth, scores).value == 0.9
    assert choose_threshold({"selection_rate": "<= 0.5"}, truth, scores).value == 0.7
    assert choose_threshold({"fnr": "<= 0.4"}, truth, scores).value == 0.7
    assert choose_threshold({"specificity": ">= 0.6"}, truth, scores).value == 0.6


def test_a_failed_record_is_wrong_at_every_threshold():
    truth = np.array([True] * 10 + [False] * 10)
    scores = np.concatenate([np.linspace(0.6, 0.9, 10), np.linspace(0.1, 0.4, 10)])
    assert choose_threshold({"recall": ">= 0.95"}, truth, scores).reached
    scores[0] = np.nan
    missed = choose_threshold({"recall": ">= 0.95"}, truth, scores)
    assert (missed.value, missed.reached) == (0.5, False)
    assert missed.reason == "recall >= 0.95 is reached at no validation score: the best is 0.9"
    assert choose_threshold({"fpr": "<= 0.05"}, truth, scores).reached
    scores[-1] = np.nan
    assert not choose_threshold({"fpr": "<= 0.05"}, truth, scores).reached


@pytest.mark.parametrize(
    ("truth", "scores", "reason"),
    [
        ([], [], "no record"),
        ([True, False], [np.nan, np.nan], "no validation record has a score"),
        ([False, False], [0.1, 0.2], "no positive"),
        ([True, True], [0.1, 0.2], "no negative"),
    ],
)
def test_what_can_not_be_chosen_is_a_half_and_says_why(truth, scores, reason):
    found = choose_threshold({"max": "f1"}, np.array(truth, dtype=bool), np.array(scores))
    assert (found.value, found.reached, found.aim) == (0.5, False, "max: f1")
    assert reason in found.reason


@pytest.mark.parametrize(
    ("aim", "message"),
    [
        ({}, "one aim"),
        ({"max": "f1", "recall": ">= 0.9"}, "one aim"),
        ({"max": "balanced"}, "did you mean 'balanced_accuracy'"),
        ({"recal": ">= 0.9"}, "did you mean 'recall'"),
        ({"f1": ">= 0.9"}, "write {max: f1}"),
        ({"recall": "<= 0.9"}, "recall '<= 0.9'"),
        ({"recall": "0.9"}, "recall '0.9'"),
        ({"recall": ">= 95"}, "0 to 1"),
        ({"recall": ">= e"}, "0 to 1"),
    ],
)
def test_aims_that_can_not_be_read(aim, message):
    with pytest.raises(ConfigError, match=message):
        check_aim(aim)


def test_a_temperature_gives_back_what_the_logits_were_spoiled_by():
    generator = np.random.default_rng(0)
    true = generator.normal(0, 1.5, size=(4000, 3))
    p = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < generator.random((4000, 1))).sum(axis=1)
    assert fit_temperature(true * 2.5, labels, multi_label=False) == pytest.approx(2.5, rel=0.06)
    several = (generator.random(true.shape) < 1 / (1 + np.exp(-true))).astype(int)
    assert fit_temperature(true * 0.4, several, multi_label=True) == pytest.approx(0.4, rel=0.06)


def test_a_temperature_is_kept_in_bounds_and_one_where_nothing_can_be_fitted():
    apart = np.array([[9.0, -9.0], [-9.0, 9.0]])
    assert COLDEST <= fit_temperature(apart, np.array([0, 1]), multi_label=False) < 1
    assert fit_temperature(apart, np.array([0, 0]), multi_label=False) == 1.0
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=int), multi_label=False) == 1.0
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]), multi_label=False)
    with pytest.raises(ValueError, match="shape"):
        fit_temperature(apart, np.array([0, 1, 1]), multi_label=False)


def test_a_criterion_has_a_threshold_of_its_own_where_its_records_suffice():
    # Criteria whose scores lie elsewhere: for one of them the other's threshold is no threshold at all.
    truth = np.tile(np.arange(40) >= 20, 2)
    scores = np.concatenate([np.linspace(0.5, 0.9, 40), np.linspace(0.0, 0.4, 40)])
    found = choose_by_criterion({"max": "f1"}, truth, scores, ["high"] * 40 + ["low"] * 40)
    assert {name: one.reached for name, one in found.items()} == {"high": True, "low": True}
    assert found["high"].value == scores[20] and found["low"].value == scores[60]
    few = choose_by_criterion({"max": "f1"}, truth[12:], scores[12:], ["few"] * 17 + ["low"] * 51)
    assert few["few"].reached is False and "8 negatives in validation, of at least 10 each" in few["few"].reason
