"""The baseline that a retrieval run trains beside itself, as files that it left."""

from __future__ import annotations

import numpy as np
import pytest

from lossmith.config.load import load_config
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, InputError
from lossmith.evaluate.baselines import check_baselines
from lossmith.evaluate.mean_pool import mean_pool_config, mean_pool_folder
from lossmith.evaluate.run import evaluate_run
from lossmith.runs import RunFolder

from .classified_files import two_scores, write_two


def iris(*overrides: str) -> Config:
    return load_config("criteria/iris", ["data.files=a.jsonl", *overrides])


def test_it_is_the_same_run_on_the_mean_without_terms_on_queries(tmp_path):
    config = iris("seed=3", "train.num_train_epochs=7", "evaluate.require=['f1 >= 0.2']", "objective.brier={loss: a:b}")
    own = mean_pool_config(config, RunFolder(tmp_path / "runs" / "one"))
    assert (own.task.aggregate, own.runs_dir, own.name) == ("mean", f"{tmp_path}/runs/one/baselines", "mean_pool")
    assert own.objective == {"binary_focal": {"weight": 1.0, "gamma": 2.0}, "brier": {"loss": "a:b"}}
    assert (own.seed, own.data, own.model) == (3, config.data, config.model)
    assert own.train == config.train
    assert own.evaluate.threshold == config.evaluate.threshold
    assert (own.evaluate.baselines, own.evaluate.require) == ("none", [])


def test_terms_by_task_that_read_queries_are_left_out_too(tmp_path):
    by_task = "objective={by_task: {a: {binary_focal: 1, query_diversity: 2}, b: {binary_cross_entropy: 1}}}"
    own = mean_pool_config(iris(by_task, "data.task=kind"), RunFolder(tmp_path))
    assert own.objective == {"by_task": {"a": {"binary_focal": 1}, "b": {"binary_cross_entropy": 1}}}


def test_a_run_that_is_chosen_by_its_queries_has_no_peer(tmp_path):
    with pytest.raises(ConfigError, match="query_diversity"):
        mean_pool_config(iris("train.metric_for_best_model=query_diversity"), RunFolder(tmp_path))


def test_auto_asks_for_it_where_queries_are_trained():
    assert "mean_pool" in check_baselines(iris())
    for other in (iris("train=null"), load_config("criteria/mean-pool"), load_config("screening/bce")):
        assert "mean_pool" not in check_baselines(other)
    with pytest.raises(InputError, match="unknown baseline 'mean_pool'"):
        check_baselines(load_config("screening/bce", ["evaluate.baselines=[mean_pool]"]))


def test_it_stands_in_the_table_with_its_paired_difference(tmp_path):
    gold = np.array([0, 1] * 100)
    config = iris("evaluate.metrics=[roc_auc, f1]", "evaluate.baselines=[mean_pool]")
    run = write_two(tmp_path / "run", gold, two_scores(gold, spread=0.15), criterion=["a", "b"] * 100)
    without = evaluate_run(run, config)
    assert "there are no predictions" in without["baselines_absent"]["mean_pool"]
    write_two(mean_pool_folder(RunFolder(run)).path, gold, two_scores(gold, seed=1, spread=0.6))
    found = evaluate_run(run, config)
    assert 0.5 < found["baselines"]["mean_pool"]["roc_auc"]["value"] < found["metrics"]["roc_auc"]["value"]
    assert found["against_baselines"]["mean_pool"]["beats"] is True
    assert found["against_baselines"]["mean_pool"]["differences"]["f1"]["low"] > 0
