"""Folds, searches and ablations of a retrieval classifier: documents in several pairs, an encoder that is fitted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.config.load import load_config
from lossmith.errors import DataError
from lossmith.runs import read_json
from lossmith.studies.tune_aim import aim_of
from tests.command_line import in_this_process
from tests.stories import ASKED, SMALL, write_pairs

SPACE = (
    "tune.space={task.queries: [2, 6], task.k: {low: 2, high: 6}, task.temperature: {low: 0.05, high: 0.5, log: true},"
    " objective.query_diversity.weight: {low: 0.1, high: 10, log: true}, evaluate.threshold: {low: 0.3, high: 0.7}}"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("stories")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(place / "cache"))
        write_pairs(place / "pairs.jsonl")
        yield place


@pytest.fixture(scope="module")
def given(place: Path) -> list[str]:
    return [
        "model=tfidf-svd",
        f"data.files={place / 'pairs.jsonl'}",
        f"runs_dir={place / 'runs'}",
        "data.id=id",
        *SMALL,
        "train.num_train_epochs=3",
        "evaluate.metrics=[roc_auc, f1]",
    ]


@pytest.fixture(scope="module")
def folds(given: list[str]) -> dict:
    own = ["name=folds", "cv.folds=2", "cv.processes=1", "evaluate.baselines=[mean_pool, training_prior]"]
    return lossmith.cv("criteria/iris", [*given, *own])


def test_the_pairs_of_a_document_lie_in_one_fold_and_are_no_leak(folds):
    assert folds["results"]["kind"] == "stratified-clustered"
    assert folds["results"]["leaks"]["repeats"][0]["exact"] == 0
    pooled = pq.read_table(Path(folds["path"]) / "predictions" / "pooled.parquet").to_pylist()
    assert len(pooled) == 39 * len(ASKED), "the test split stays untouched"
    documents = {fold: {row["prompt"] for row in pooled if row["fold"] == fold} for fold in (0, 1)}
    assert not documents[0] & documents[1]
    assert all(row["evidence"] for row in pooled)


def test_folds_that_part_the_pairs_of_a_document_are_refused(given):
    with pytest.raises(DataError, match="the text of one in another fold"):
        lossmith.cv("criteria/iris", [*given, "name=parted", "cv.folds=2", "data.cluster=null"])


def test_an_encoder_that_is_fitted_knows_the_training_part_of_its_fold_alone(folds):
    path = Path(folds["path"])
    words = [(path / f"fold-{fold}" / "model" / "encoder").glob("*") for fold in (0, 1)]
    first, second = ({file.name: file.read_bytes() for file in files} for files in words)
    assert first.keys() == second.keys()
    assert first != second


def test_pooled_figures_stand_beside_the_mean_of_each_fold(folds):
    path = Path(folds["path"])
    metrics = read_json(path / "metrics.json")
    by_fold = [read_json(path / f"fold-{fold}" / "metrics.json")["baselines"]["mean_pool"] for fold in (0, 1)]
    assert metrics["baselines"]["mean_pool"]["roc_auc"]["n"] == sum(one["roc_auc"]["n"] for one in by_fold)
    assert set(metrics["against_baselines"]["mean_pool"]["differences"]) == {"roc_auc", "f1"}
    assert set(metrics["criteria"]) == set(ASKED.values())
    told = read_json(path / "study.json")["results"]["decisions"]
    assert [one["fitted_on"]["split"] for one in told] == ["validation", "validation"]


@pytest.mark.parametrize("preset", ["criteria/iris", "criteria/mean-pool", "screening/iris", "terms/iris"])
def test_a_search_is_for_a_figure_that_no_weight_of_a_term_changes(preset):
    config = load_config(preset, ["model=tfidf-svd", "data.files=none.jsonl"])
    assert config.train.metric_for_best_model == "eval_loss"
    assert (aim_of(config).metric, aim_of(config).direction) == ("pr_auc", "up")


def test_queries_chunks_temperature_and_penalty_are_searched(given, monkeypatch, capsys):
    command = in_this_process(monkeypatch, capsys)
    own = ["name=search", SPACE, "tune.trials=2", "tune.pruner=none", "tune.metric=f1", "evaluate.baselines=none"]
    told = command("tune", "criteria/iris", *given, *own, "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    tried = [row["params"] for row in found["results"]["trials"]]
    assert len(tried) == 2
    keys = {"task.queries", "task.k", "task.temperature", "objective.query_diversity.weight", "evaluate.threshold"}
    assert all(set(values) == keys for values in tried)


def test_objectives_are_compared_on_the_same_records(given):
    own = [
        "name=parts",
        "ablate.objectives={with: {binary_focal: 1, query_diversity: 5.6}, without: {binary_focal: 1}}",
        "ablate.seeds=1",
        "ablate.processes=1",
    ]
    found = lossmith.ablate("criteria/iris", [*given, *own, "evaluate.baselines=none"])
    assert {row["objective"] for row in found["runs"]} == {"with", "without"}
    prepared = {
        read_json(Path(found["path"]) / row["path"] / "manifest.json")["data"]["folder"] for row in found["runs"]
    }
    assert len(prepared) == 1
