"""Folds: every record tested once, clusters whole, classes shared out, and inner folds that never see the outer test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.config.data import DataConfig, FoldConfig, SplitConfig
from lossmith.data.dealing import deal_clusters, deal_records, pick_records
from lossmith.data.folds import Dealt, assign_fold, fold_doubts, fold_numbers, folds_of
from lossmith.data.prepare import Prepared
from lossmith.data.splits import TEST, TRAIN, UNSPLIT, VALIDATION, assign, hash_text
from lossmith.errors import ConfigError, DataError

NAMES = ("no", "yes")


def hashes(names: list[str]) -> np.ndarray:
    return np.array([hash_text(name) for name in names], dtype=np.uint64)


def dealt(labels: np.ndarray, clusters: np.ndarray | None = None) -> Dealt:
    ids = hashes([f"id {n}" for n in range(len(labels))])
    own = ids if clusters is None else hashes([f"cluster {n}" for n in clusters])
    return Dealt(ids, own, np.eye(2, dtype=bool)[labels], NAMES)


def rare(count: int, share: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(count) < share).astype(int)


@given(
    sizes=st.lists(st.integers(3, 12), min_size=12, max_size=30),
    k=st.integers(2, 5),
    stratified=st.booleans(),
    clustered=st.booleans(),
    repeat=st.integers(0, 2),
)
def test_every_record_is_tested_once(sizes: list[int], k: int, stratified: bool, clustered: bool, repeat: int) -> None:
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    records = dealt(rare(len(clusters), 0.3), clusters)
    own = np.zeros(len(clusters), dtype=np.int8)
    tested = np.zeros(len(clusters), dtype=int)
    for fold in range(k):
        config = FoldConfig(k=k, fold=fold, repeat=repeat, stratified=stratified, clustered=clustered)
        split = assign_fold(records, own, [config], seed=1)
        tested += split == TEST
        assert set(split) == {TRAIN, VALIDATION, TEST}
        if clustered:
            for number in range(len(sizes)):
                assert len(set(split[clusters == number])) == 1
    assert (tested == 1).all()


@given(order=st.permutations(range(30)), stratified=st.booleans(), clustered=st.booleans())
def test_a_record_keeps_its_fold_in_any_order(order: list[int], stratified: bool, clustered: bool) -> None:
    records = dealt(rare(30, 0.4), np.arange(30) % 11)
    fold = FoldConfig(k=3, stratified=stratified, clustered=clustered)
    plain = fold_numbers(records, fold, seed=0)
    assert (plain[order] == fold_numbers(records.of(np.array(order)), fold, seed=0)).all()


@given(count=st.integers(20, 300), k=st.integers(2, 10), share=st.floats(0.02, 0.5))
def test_stratified_folds_differ_by_one_record_of_a_class(count: int, k: int, share: float) -> None:
    labels = rare(count, share)
    number = fold_numbers(dealt(labels), FoldConfig(k=k, stratified=True), seed=3)
    for members in (np.ones(count, dtype=bool), labels == 0, labels == 1):
        held = np.bincount(number[members], minlength=k)
        assert held.max() - held.min() <= 1


def test_repeats_and_seeds_deal_anew_also_by_cluster() -> None:
    records = dealt(rare(400, 0.1), np.random.default_rng(0).integers(0, 40, 400))
    for clustered in (False, True):
        found = [
            fold_numbers(records, FoldConfig(k=5, repeat=repeat, stratified=True, clustered=clustered), seed=seed)
            for repeat, seed in ((0, 0), (1, 0), (0, 1))
        ]
        for other in found[1:]:
            together = (found[0][:, None] == found[0]) & (other[:, None] == other)
            assert together.sum() < 0.6 * (found[0][:, None] == found[0]).sum()


def test_a_cluster_with_half_of_the_positives_has_a_fold_to_itself() -> None:
    generator = np.random.default_rng(0)
    labels, clusters = rare(2000, 0.05), generator.integers(0, 60, 2000)
    positives = np.flatnonzero(labels)
    clusters[positives[: len(positives) // 2]] = 7
    number = fold_numbers(dealt(labels, clusters), FoldConfig(k=5, stratified=True, clustered=True), seed=0)
    held = np.bincount(number[labels == 1], minlength=5)
    half = number[clusters == 7][0]
    assert held[half] <= (labels[clusters == 7]).sum() + 2
    others = np.delete(held, half)
    assert others.min() >= 0.8 * others.mean()
    sizes = np.bincount(number, minlength=5)
    assert sizes.max() - sizes.min() <= 0.2 * sizes.mean()


def test_clusters_are_shared_out_about_as_well_as_scikit_learn_does(shared_data: Path) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    text = (shared_data / "tos_unfair" / "tos_sentences.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    clusters = np.unique([row["company"] for row in rows], return_inverse=True)[1]
    labels = np.array([row["unfairness_level"] != "fair" for row in rows]).astype(int)
    for k in (5,):
        ours = fold_numbers(dealt(labels, clusters), FoldConfig(k=k, stratified=True, clustered=True), seed=0)
        theirs = np.empty(len(rows), dtype=int)
        folds = StratifiedGroupKFold(k, shuffle=True, random_state=0).split(labels, labels, clusters)
        for number, (_, test) in enumerate(folds):
            theirs[test] = number

        def worst(number: np.ndarray, k: int = k) -> float:
            shares = [np.bincount(number[labels == c], minlength=k) / (labels == c).sum() for c in (0, 1)]
            return float(np.abs(np.array(shares) - 1 / k).max())

        assert worst(ours) <= worst(theirs) + 0.01


def test_shares_of_labels_that_do_not_exclude_each_other() -> None:
    labels = np.random.default_rng(1).random((600, 4)) < [0.4, 0.1, 0.05, 0.02]
    number = deal_records(labels, hashes([f"{n}" for n in range(600)]), parts=5)
    for column in range(4):
        held = np.bincount(number[labels[:, column]], minlength=5)
        assert held.max() - held.min() <= 3
    assert np.ptp(np.bincount(number)) <= 1


@given(count=st.integers(2, 200), share=st.floats(0.01, 0.9))
def test_a_share_is_picked_to_the_record(count: int, share: float) -> None:
    picked = pick_records(np.zeros((count, 0), dtype=bool), hashes([f"{n}" for n in range(count)]), share=share)
    assert picked.sum() == max(1, np.floor(count * share + 0.5))


def test_every_part_has_a_cluster_even_where_shares_are_small() -> None:
    clusters = hashes(["a", "b", "c"])
    part = deal_clusters(clusters, np.zeros((3, 0), dtype=bool), clusters, shares=[0.1, 0.1, 0.8])
    assert sorted(part.tolist()) == [0, 1, 2]


def test_inner_folds_never_see_the_outer_test() -> None:
    records = dealt(rare(300, 0.2), np.arange(300) % 50)
    own = np.full(300, TRAIN, dtype=np.int8)
    own[:30] = TEST
    outer = FoldConfig(k=5, fold=2, stratified=True, clustered=True)
    held_out = assign_fold(records, own, [outer], seed=0) == TEST
    tested = np.zeros(300, dtype=int)
    for fold in range(3):
        split = assign_fold(records, own, [outer, FoldConfig(k=3, fold=fold, stratified=True, clustered=True)], seed=0)
        assert (split[held_out] == -1).all()
        assert (split[own == TEST] == -1).all()
        tested += split == TEST
    assert (tested == (~held_out & (own != TEST))).all()


def test_records_of_the_test_split_are_dealt_out_only_when_asked() -> None:
    records, own = dealt(rare(100, 0.5)), np.full(100, TRAIN, dtype=np.int8)
    own[:20] = TEST
    for all_records, left_out in ((False, 20), (True, 0)):
        split = assign_fold(records, own, [FoldConfig(k=4, all_records=all_records)], seed=0)
        assert (split == -1).sum() == left_out


def test_more_folds_than_there_is_to_fold_is_refused_or_told() -> None:
    records = dealt(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2]))
    with pytest.raises(DataError, match="3 clusters cannot make 5 folds"):
        fold_numbers(records, FoldConfig(k=5, clustered=True), seed=0)
    with pytest.raises(DataError, match="6 records cannot make 7 folds"):
        fold_numbers(records, FoldConfig(k=7), seed=0)
    own = np.full(6, TRAIN, dtype=np.int8)
    assert fold_doubts(records, own, FoldConfig(k=3, stratified=True)) == [
        "only 2 records have the class 'yes', so 1 of 3 folds are without it"
    ]
    assert fold_doubts(records, own, FoldConfig(k=2, stratified=True)) == []
    with pytest.raises(ConfigError, match="there is no fold 5 of 5"):
        folds_of(DataConfig(split=SplitConfig(folds=FoldConfig(k=5, fold=5))))
    with pytest.raises(ConfigError, match="clustered folds need the cluster"):
        folds_of(DataConfig(split=SplitConfig(folds=FoldConfig(k=5, clustered=True))))


@pytest.mark.parametrize("clustered", [False, True])
def test_stratified_splits_have_their_share_of_a_rare_class(clustered: bool) -> None:
    labels = rare(1000, 0.03)
    records = dealt(labels, np.arange(1000) % 300 if clustered else None)
    split = SplitConfig(stratified=True)
    found = assign(records.clusters, np.full(1000, UNSPLIT, dtype=np.int8), split=split, seed=0, labels=records.labels)
    for name in (VALIDATION, TEST):
        assert abs((found == name).sum() - 100) <= (10 if clustered else 1)
        assert abs(labels[found == name].sum() - 0.1 * labels.sum()) <= 1


def test_folds_of_prepared_records(prepare: Callable[..., Prepared], write_jsonl: Callable[..., Path]) -> None:
    import pyarrow.parquet as pq

    rows = [{"text": f"text {n}", "y": "yes" if n % 10 == 0 else "no", "c": f"c{n % 40}"} for n in range(200)]
    data: dict[str, Any] = {"files": str(write_jsonl(rows)), "label": "y", "cluster": "c"}
    tested: Counter[str] = Counter()
    for fold in range(4):
        split = {"folds": {"k": 4, "fold": fold, "stratified": True, "clustered": True, "inner": 0.2}}
        prepared = prepare({**data, "split": split}, task={"kind": "classification"})
        files = {name: prepared.split_file(name) for name in ("train", "validation", "test")}
        tables = {name: pq.read_table(file) for name, file in files.items() if file}
        tested.update(tables["test"].column("id").to_pylist())
        clusters = [set(table.column("cluster").to_pylist()) for table in tables.values()]
        assert not clusters[0] & clusters[1] and not clusters[0] & clusters[2] and not clusters[1] & clusters[2]
        assert prepared.audit["left_out"]["folds"] == 200 - sum(table.num_rows for table in tables.values())
        assert prepared.classes is not None
        assert all(counts[1] for counts in prepared.classes.counts.values())
    assert len(tested) == 180 and set(tested.values()) == {1}


def test_stratified_folds_are_for_classes(prepare: Callable[..., Prepared], write_jsonl: Callable[..., Path]) -> None:
    data = {
        "files": str(write_jsonl([{"text": f"t{n}"} for n in range(9)])),
        "split": {"folds": {"k": 3, "stratified": True}},
    }
    with pytest.raises(ConfigError, match="only a classification"):
        prepare(data)
