"""Splits: exact, seeded, independent of order, and never through a cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.config.data import SplitConfig
from lossmith.data.splits import (
    TEST,
    TRAIN,
    UNSPLIT,
    VALIDATION,
    CrossingCluster,
    assign,
    hash_text,
    repeats,
    sample,
    split_of_value,
)
from lossmith.errors import DataError


def hashes(names: list[str]) -> np.ndarray:
    return np.array([hash_text(name) for name in names], dtype=np.uint64)


def singles(count: int) -> np.ndarray:
    return hashes([f"record {n}" for n in range(count)])


def unsplit(count: int) -> np.ndarray:
    return np.full(count, UNSPLIT, dtype=np.int8)


@given(count=st.integers(10, 400), test=st.floats(0, 0.4), validation=st.floats(0, 0.4), seed=st.integers(0, 5))
def test_counts_are_exact(count: int, test: float, validation: float, seed: int) -> None:
    split = SplitConfig(test=test, validation=validation)
    result = assign(singles(count), unsplit(count), split=split, seed=seed)
    for name, fraction in ((TEST, test), (VALIDATION, validation)):
        exact = int(count * fraction + 0.5)
        assert (result == name).sum() == (max(1, exact) if fraction else 0)
    assert (result == TRAIN).any()


@given(st.permutations(range(40)), st.integers(0, 3))
def test_a_record_keeps_its_split_in_any_order(order: list[int], seed: int) -> None:
    clusters = hashes([f"cluster {n % 13}" for n in range(40)])
    plain = assign(clusters, unsplit(40), split=SplitConfig(), seed=seed)
    shuffled = assign(clusters[order], unsplit(40), split=SplitConfig(), seed=seed)
    assert (plain[order] == shuffled).all()
    ids = singles(40)
    assert (sample(ids, unsplit(40), 11, seed=seed)[order] == sample(ids[order], unsplit(40), 11, seed=seed)).all()


@given(sizes=st.lists(st.integers(1, 30), min_size=3, max_size=40), seed=st.integers(0, 3))
def test_clusters_stay_whole_and_fractions_come_near(sizes: list[int], seed: int) -> None:
    number = np.repeat(np.arange(len(sizes)), sizes)
    clusters = hashes([f"c{n}" for n in number])
    result = assign(clusters, unsplit(len(number)), split=SplitConfig(test=0.2, validation=0.2), seed=seed)
    for n in range(len(sizes)):
        assert len(set(result[number == n])) == 1
    assert set(result) == {TRAIN, VALIDATION, TEST}
    for name in (TEST, VALIDATION):
        assert abs((result == name).sum() - 0.2 * len(number)) <= max(sizes)


def test_the_seed_changes_the_choice() -> None:
    one, two = (assign(singles(200), unsplit(200), split=SplitConfig(), seed=seed) for seed in (0, 1))
    assert (one != two).any()


def test_the_choice_is_the_same_on_every_machine() -> None:
    result = assign(singles(12), unsplit(12), split=SplitConfig(test=0.25, validation=0.25), seed=0)
    assert result.tolist() == [1, 0, 0, 2, 0, 2, 2, 0, 0, 1, 0, 1]


def test_a_given_test_leaves_it_alone_and_validation_is_cut_from_train() -> None:
    given_split = np.array([TRAIN] * 50 + [TEST] * 10, dtype=np.int8)
    result = assign(singles(60), given_split, split=SplitConfig(), seed=0)
    assert (result[50:] == TEST).all()
    assert (result[:50] == VALIDATION).sum() == 5
    none_cut = assign(singles(60), given_split, split=SplitConfig(validation=0.0), seed=0)
    assert (none_cut == given_split).all()


def test_fractions_divide_the_unsplit_part_alone() -> None:
    given_split = np.array([TRAIN] * 30 + [UNSPLIT] * 20 + [TEST] * 30, dtype=np.int8)
    result = assign(singles(80), given_split, split=SplitConfig(), seed=0)
    assert (result[:30] == TRAIN).all()
    assert (result[50:] == TEST).all()
    assert [(result[30:50] == name).sum() for name in (TRAIN, VALIDATION, TEST)] == [16, 2, 2]


def test_a_cluster_with_two_given_splits_is_refused_and_an_unsplit_record_follows_its_cluster() -> None:
    clusters = hashes(["a", "a", "b", "b", "c", "d"])
    given_split = np.array([TRAIN, UNSPLIT, TEST, UNSPLIT, TRAIN, TRAIN], dtype=np.int8)
    split = SplitConfig(test=0.0, validation=0.0)
    assert assign(clusters, given_split, split=split, seed=0).tolist() == [TRAIN, TRAIN, TEST, TEST, TRAIN, TRAIN]
    given_split[1] = TEST
    with pytest.raises(CrossingCluster) as caught:
        assign(clusters, given_split, split=split, seed=0)
    assert caught.value.records == (0, 1)


def test_one_giant_cluster_stays_in_training() -> None:
    clusters = hashes(["giant"] * 90 + [f"c{n}" for n in range(10)])
    result = assign(clusters, unsplit(100), split=SplitConfig(test=0.05, validation=0.05), seed=0)
    assert (result[:90] == TRAIN).all()
    assert [(result == name).sum() for name in (VALIDATION, TEST)] == [5, 5]


@given(count=st.integers(2, 300), limit=st.integers(1, 300), seed=st.integers(0, 3))
def test_a_limit_is_exact_nested_and_keeps_the_shares(count: int, limit: int, seed: int) -> None:
    given_split = np.array([TEST if n % 4 == 0 else TRAIN for n in range(count)], dtype=np.int8)
    kept = sample(singles(count), given_split, limit, seed=seed)
    assert kept.sum() == min(limit, count)
    share = (given_split == TEST).mean()
    assert abs(kept[given_split == TEST].sum() - share * kept.sum()) <= 1
    alone = sample(singles(count), unsplit(count), limit, seed=seed)
    assert not (alone & ~sample(singles(count), unsplit(count), limit + 7, seed=seed)).any()


def test_a_limit_in_percent() -> None:
    assert sample(singles(250), unsplit(250), "10%", seed=0).sum() == 25
    assert sample(singles(3), unsplit(3), "1%", seed=0).sum() == 1


def test_weights_repeat_and_sample_training_records_exactly() -> None:
    weights = np.array([2.0] * 40 + [0.5] * 41 + [1.75] * 40)
    train = np.ones(121, dtype=bool)
    train[:4] = train[40:44] = False
    counts = repeats(singles(121), weights, train, seed=0)
    assert (counts[:4] == 1).all()
    assert (counts[40:44] == 1).all()
    assert (counts[4:40] == 2).all()
    assert sorted(set(counts[44:81])) == [0, 1]
    assert counts[44:81].sum() == round(37 * 0.5)
    assert counts[81:].sum() == 70


def test_values_of_a_split_column() -> None:
    split = SplitConfig(column="part", map={"gold": "test", "val": "train"})
    assert split_of_value("gold", split) == TEST
    assert split_of_value("val", split) == TRAIN
    assert split_of_value("Dev", split) == VALIDATION
    assert split_of_value(None, split) == UNSPLIT
    with pytest.raises(DataError, match=r"holds 'trian', which is no split(.|\n)*did you mean 'train'"):
        split_of_value("trian", split)
