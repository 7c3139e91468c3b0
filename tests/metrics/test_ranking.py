from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lossmith.labels import Classes
from lossmith.metrics.confusion import f1_macro
from lossmith.metrics.group_gaps import bias_score, equalized_odds_difference, fpr_gap, worst_group_f1
from lossmith.metrics.group_ranking import bnsp_auc, bpsn_auc, subgroup_auc, worst_group_bpsn_auc
from lossmith.metrics.intervals import bootstrap, by_cluster, drawn
from lossmith.metrics.outcomes import Binary, Groups, outcomes
from lossmith.metrics.paired import difference, paired_bootstrap, permutation_test
from lossmith.metrics.ranking import pr_auc, roc_auc, roc_auc_macro, wss95


def binary(gold, scores, **more) -> Binary:
    gold = np.asarray(gold) == 1
    return Binary("yes", gold, np.nan_to_num(scores) >= 0.5, np.asarray(scores, dtype=float), **more)


def example(seed: int = 0, size: int = 80) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    gold = generator.integers(2, size=size)
    return gold, np.clip(0.3 * gold + generator.random(size), 0, 1).round(1)


records = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25)


@settings(deadline=None, max_examples=50)
@given(records)
def test_weights_are_numbers_of_records(rows):
    gold, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    repeated = np.repeat(np.arange(len(gold)), weights)
    both = set(gold[repeated]) == {0, 1}
    for metric, reference in ((roc_auc, roc_auc_score), (pr_auc, average_precision_score)):
        found = metric(binary(gold, scores / 4))
        value = found.weigh(found.columns, weights[None].astype(float))[0]
        if both:
            assert value == pytest.approx(reference(gold[repeated], scores[repeated]), abs=1e-12)
        elif metric is roc_auc or not gold[repeated].any():
            assert np.isnan(value)


@pytest.mark.parametrize(("metric", "reference"), [(roc_auc, roc_auc_score), (pr_auc, average_precision_score)])
def test_the_bootstrap_is_that_of_a_loop_over_resamples(metric, reference):
    gold, scores = example()
    count, values_of = by_cluster(metric(binary(gold, scores)), None)
    times = next(drawn(count, resamples=1000, seed=3))[:60]
    rows = [np.repeat(np.arange(80), one) for one in times.astype(int)]
    assert values_of(times) == pytest.approx([reference(gold[row], scores[row]) for row in rows], abs=1e-12)


def test_clusters_are_drawn_whole():
    gold, scores = example()
    clusters = [row // 8 for row in range(80)]
    count, values_of = by_cluster(roc_auc(binary(gold, scores)), clusters)
    assert count == 10
    times = np.zeros((1, 10))
    times[0, [2, 5]] = 1, 2
    rows = [*range(16, 24), *range(40, 48), *range(40, 48)]
    assert values_of(times)[0] == pytest.approx(roc_auc_score(gold[rows], scores[rows]))
    # A cluster of one class alone leaves resamples without a value, which are counted.
    lone = bootstrap(roc_auc(binary([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3])))
    assert lone.undefined == pytest.approx(1000 * 0.75**4, abs=60)


def test_blocks_do_not_change_the_values(monkeypatch):
    found = roc_auc(binary(*example()))
    whole = bootstrap(found)
    monkeypatch.setattr("lossmith.metrics.intervals._CELLS", 500)
    assert bootstrap(found) == whole


def test_a_paired_difference_draws_both_runs_alike():
    gold, scores = example()
    other = np.clip(scores + np.random.default_rng(1).normal(0, 0.2, 80), 0, 1)
    first, second = roc_auc(binary(gold, scores)), roc_auc(binary(gold, other))
    found = paired_bootstrap(first, second, seed=2)
    times = np.concatenate(list(drawn(80, resamples=1000, seed=2)))
    values = [second.weigh(second.columns, one[None])[0] - first.weigh(first.columns, one[None])[0] for one in times]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12)
    same = paired_bootstrap(first, first)
    assert (same.low, same.high) == (0.0, 0.0)


def test_a_permutation_exchanges_the_scores_of_whole_clusters():
    gold, scores = example(size=24)
    other = np.clip(scores + np.random.default_rng(4).normal(0, 0.4, 24), 0, 1)
    clusters = [row // 8 for row in range(24)]
    first, second = roc_auc(binary(gold, scores)), roc_auc(binary(gold, other))
    observed = abs(difference(first, second))
    reached = []
    for moved in np.ndindex(2, 2, 2):
        swap = np.repeat(np.array(moved, dtype=bool), 8)
        left, right = np.where(swap, other, scores), np.where(swap, scores, other)
        reached.append(abs(roc_auc_score(gold, right) - roc_auc_score(gold, left)) >= observed - 1e-12)
    found = permutation_test(first, second, clusters=clusters)
    assert found.p == pytest.approx(np.mean(reached), abs=0.02)
    assert permutation_test(first, first).p == 1.0
    with pytest.raises(ValueError, match="one metric"):
        permutation_test(first, worst_group_f1(binary(gold, scores, groups=Groups(("a",), np.ones((24, 1)) == 1))))


def test_a_record_without_a_score_is_left_out_and_n_says_so():
    gold, scores = example()
    scores[:5] = np.nan
    found = roc_auc(binary(gold, scores))
    assert (len(found), found.n) == (80, 75)
    assert found.value() == pytest.approx(roc_auc_score(gold[5:], scores[5:]))
    nothing = roc_auc(binary(gold, np.full(80, np.nan)))
    assert nothing.value() is None and nothing.undefined == "no record has a score"


def test_wss95_reads_ties_together():
    # Of 20 positives 19 reach .95; the nineteenth shares its score with two negatives.
    gold = np.array([1] * 18 + [1, 0, 0] + [1] + [0] * 18)
    scores = np.array([0.9] * 18 + [0.5] * 3 + [0.4] + [0.1] * 18)
    assert wss95(binary(gold, scores)).value() == pytest.approx(19 / 40 - 0.05)


def test_areas_of_a_group_by_their_definition():
    gold, scores = example(size=120)
    inside = np.random.default_rng(5).random(120) < 0.4
    found = binary(gold, scores)
    positive = gold == 1
    for metric, rows in (
        (subgroup_auc, inside),
        (bpsn_auc, (positive & ~inside) | (~positive & inside)),
        (bnsp_auc, (~positive & ~inside) | (positive & inside)),
    ):
        assert metric(found, inside).value() == pytest.approx(roc_auc_score(gold[rows], scores[rows]))
        assert metric(found, inside).n == rows.sum()


def groups_of(names: list[str], smallest: int = 10) -> Groups:
    every = tuple(sorted(set(names)))
    return Groups(every, np.array([[one == name for name in every] for one in names]), smallest)


def test_gaps_by_hand():
    # Group a: 10 negatives with 2 false alarms, 10 positives with 5 missed; b: 10 and 6, 10 and 1; c is too small.
    names = ["a"] * 20 + ["b"] * 20 + ["c"] * 3
    gold = np.array([0] * 10 + [1] * 10 + [0] * 10 + [1] * 10 + [0] * 3)
    said = np.array([1] * 2 + [0] * 8 + [0] * 5 + [1] * 5 + [1] * 6 + [0] * 4 + [0] + [1] * 9 + [1] * 3)
    found = Binary("yes", gold == 1, said == 1, np.full(43, np.nan), groups_of(names))
    gap = fpr_gap(found)
    assert gap.value() == pytest.approx(0.4)
    assert (
        gap.notes[:2]
        == (
            "fpr is 0.2 in a and 0.6 in b",
            "groups left out: c (3 of at least 10 records)",
        )
        or "groups left out: c (3 of at least 10 records)" in gap.notes
    )
    assert equalized_odds_difference(found).value() == pytest.approx(0.4)
    assert bias_score(found).value() == pytest.approx(1 - ((0.2 + 0.5) / 2 + (0.6 + 0.1) / 2) / 2)
    assert worst_group_f1(found).value() == pytest.approx(10 / (10 + 2 + 5))


def test_a_group_without_positives_counts_where_its_rate_is_defined():
    names = ["a"] * 20 + ["b"] * 20 + ["c"] * 20
    gold = np.array([0, 1] * 10 + [0, 1] * 10 + [0] * 20)
    said = np.array([0, 1] * 10 + [0, 1] * 5 + [1, 0] * 5 + [1] * 20)
    found = Binary("yes", gold == 1, said == 1, np.full(60, np.nan), groups_of(names))
    assert fpr_gap(found).value() == pytest.approx(1.0)
    assert equalized_odds_difference(found).value() == pytest.approx(1.0)
    score = bias_score(found)
    assert score.value() == pytest.approx(1 - (0 + 0.5) / 2)
    assert "c (undefined)" in " ".join(score.notes)
    alone = Binary("yes", gold[:20] == 1, said[:20] == 1, np.full(20, np.nan), groups_of(names[:20]))
    assert fpr_gap(alone).value() is None
    assert fpr_gap(alone).undefined == "fewer than two groups are large enough and defined"
    assert fpr_gap(Binary("yes", gold == 1, said == 1, np.zeros(60))).undefined == "the records name no group"


def test_groups_that_are_alike_have_no_ends():
    gold = np.array([0, 1] * 20)
    found = Binary("yes", gold == 1, gold == 1, np.full(40, np.nan), groups_of(["a"] * 20 + ["b"] * 20))
    assert fpr_gap(found).value() == 0
    assert "fpr is 0 in every group" in fpr_gap(found).notes


def test_a_small_group_stays_in_the_mean_and_out_of_the_gaps():
    names = ["a"] * 20 + ["b"] * 20 + ["c"] * 3
    gold = np.array([0, 1] * 10 + [0, 1] * 10 + [0, 1, 1])
    said = np.array([0, 1] * 10 + [0, 1] * 5 + [1, 0] * 5 + [1, 0, 1])
    found = Binary("yes", gold == 1, said == 1, np.full(43, np.nan), groups_of(names))
    assert fpr_gap(found).value() == pytest.approx(0.5)
    assert bias_score(found).value() == pytest.approx(1 - (0 + 0.5 + (1 + 0.5) / 2) / 3)


def test_a_resample_without_a_figure_of_a_group_has_no_value():
    names = ["a"] * 12 + ["b"] * 12
    gold = np.array([1] + [0] * 11 + [1, 0] * 6)
    found = Binary("yes", gold == 1, gold == 1, np.full(24, np.nan), groups_of(names))
    interval = bootstrap(equalized_odds_difference(found))
    # The one positive of group a is left out of 1 in e resamples.
    assert interval.undefined == pytest.approx(1000 * (23 / 24) ** 24, abs=60)


def test_the_worst_area_of_several_groups():
    gold, scores = example(size=120)
    members = np.stack([np.arange(120) % 3 == one for one in range(3)], axis=1)
    found = worst_group_bpsn_auc(binary(gold, scores, groups=Groups(("a", "b", "c"), members)))
    each = [bpsn_auc(binary(gold, scores), members[:, one]).value() for one in range(3)]
    assert found.value() == pytest.approx(min(each))
    assert found.notes == (f"the worst group is {'abc'[int(np.argmin(each))]}",)


def test_macro_values_leave_out_the_classes_of_a_resample_that_do_not_occur():
    three = Classes(("a", "b", "c"))
    scores = np.random.default_rng(6).dirichlet([1, 1, 1], size=30)
    gold = [0, 1] * 14 + [2, 2]
    found = outcomes(three, gold=gold, said=gold, scores=scores)
    times = np.ones((1, 30))
    times[0, 28:] = 0
    area = roc_auc_macro(found)
    expected = np.mean([roc_auc_score(np.array(gold[:28]) == one, scores[:28, one]) for one in range(2)])
    assert area.weigh(area.columns, times)[0] == pytest.approx(expected)
    macro = f1_macro(found)
    assert macro.reduce(times @ macro.stats)[0] == 1.0
