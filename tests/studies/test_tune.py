"""Searches of tiny runs: asked, pruned, failed, stopped and gone on with."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import lossmith
from lossmith.config.load import load_config
from lossmith.errors import ConfigError, InputError, LossmithError
from lossmith.runs import read_jsonl
from lossmith.studies.folder import claim_study
from lossmith.studies.tune import Search
from lossmith.studies.tune_aim import aim_of
from lossmith.studies.tune_results import trial_rows
from lossmith.studies.tune_run import Piece, run_trial
from lossmith.studies.tune_space import Choices, grid_of, space_of
from lossmith.studies.tune_trials import ask, open_trials, tell
from tests.command_line import in_this_process
from tests.tiny_runs import overrides_for, write_ragged

RATES = "tune.space.train.learning_rate={low: 1e-4, high: 1e-1, log: true}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Overrides of a search of runs of four steps, evaluated twice; `test` records have a split of their own."""
    monkeypatch.setenv("LOSSMITH_CACHE", str(cache))
    lengths = [6, 9, 5, 12, 7, 8, 10, 6, 9, 11]
    file = write_ragged(tmp_path / "ragged.jsonl", train=lengths, validation=lengths[:4])
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *({**row, "split": "test"} for row in rows[:3])]))
    make = overrides_for(file, tmp_path)
    steps = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "logging_steps": 1}

    def overrides(name: str, *more: str, **train: object) -> list[str]:
        return make(name, "evaluate.metrics=[rougeL]", "generate.max_new_tokens=4", *more, **{**steps, **train})

    return overrides


# No trial is ended early.
ALL = ("tune.pruner=none",)


def _states(study: dict[str, Any]) -> list[str]:
    return [row["state"] for row in study["results"]["trials"]]


def _params(study: dict[str, Any], key: str = "train.learning_rate") -> list[float]:
    return [row["params"][key] for row in study["results"]["trials"]]


# -- what a search leaves ----------------------------------------------------------------------------------------------


def test_a_search_goes_on_where_it_was_and_leaves_a_file_to_run(tiny, tmp_path: Path):
    lossmith.tune("causal", tiny("parts", RATES, "tune.trials=2", *ALL))
    folder = tmp_path / "runs" / "parts"
    first = (folder / "trial-0" / "train.log").read_bytes()
    parts = lossmith.tune("causal", tiny("parts", RATES, "tune.trials=4", *ALL))
    assert (folder / "trial-0" / "train.log").read_bytes() == first
    results = parts["results"]
    assert json.loads((folder / "study.json").read_text())["results"] == results
    assert results["counts"] == {"done": 4, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert (results["metric"], results["direction"], results["split"]) == ("loss", "down", "validation")
    assert all(1e-4 <= rate <= 1e-1 for rate in _params(parts))
    assert len(set(_params(parts))) == 4
    assert results["importances"]["values"] == {"train.learning_rate": 1.0}
    best = min(results["trials"], key=lambda row: row["value"])
    assert results["best"] == best
    for row in results["trials"]:
        run = folder / row["name"]
        evaluated = [line for line in read_jsonl(run / "history.jsonl") if "eval_loss" in line]
        assert row["intermediate"] == [{"step": line["step"], "value": line["eval_loss"]} for line in evaluated]
        assert row["value"] == min(line["eval_loss"] for line in evaluated)
        config = load_config(run / "config.yaml")
        assert config.train is not None
        assert config.train.learning_rate == row["params"]["train.learning_rate"]
        assert config.tune.space == {}
        # The search reads no test record, and keeps no checkpoint of what is done.
        assert not (run / "predictions").exists()
        assert not (run / "checkpoints").exists()
        assert (run / "model" / "config.json").exists()
    found = load_config(folder / "best.yaml")
    assert found.train is not None
    assert (found.train.learning_rate, found.name) == (best["params"]["train.learning_rate"], "parts-best")
    base = load_config("causal", tiny("parts"))
    assert base.train is not None
    assert found.model_dump(exclude={"train", "name", "tune"}) == base.model_dump(exclude={"train", "name", "tune"})


def test_what_is_drawn_depends_on_the_seed_and_on_what_was_told_alone(tiny, tmp_path: Path):
    config = load_config("causal", tiny("draws", RATES, "tune.trials=13"))
    dimensions, drawn = space_of(config), []
    for file in ("one.db", "other.db"):
        url = f"sqlite:///{tmp_path / file}"
        found = []
        for number in range(13):
            # Opened anew for every trial of the second: what is drawn lies in no process.
            if number == 0 or file == "other.db":
                search = open_trials(url, "draws", direction="down", tune=config.tune, seed=0)
            trial = ask(search, url, dimensions, tune=config.tune, seed=0)
            assert trial is not None
            found.append(trial.params["train.learning_rate"])
            value = abs(math.log10(found[-1]) + 2)
            tell(search, trial, {"state": "done", "seconds": 1.0, "result": {"value": value, "pruned": False}})
        assert ask(search, url, dimensions, tune=config.tune, seed=0) is None
        drawn.append(found)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 13


def test_a_trial_s_work_is_plain_values_that_a_worker_takes(tiny, tmp_path: Path):
    config = load_config("causal", tiny("worker", RATES))
    search = Search(claim_study(config, "tune"), config, space_of(config), aim_of(config))
    trials = search.open()
    trial = ask(trials, search.url, search.dimensions, tune=config.tune, seed=0)
    assert trial is not None
    runs = search.runs(trial.params, "trial-0")
    piece = Piece("trial-0", runs, search.aim, search.url, search.name, trial, config.tune)
    done = run_trial(json.loads(json.dumps(piece.values)))
    assert done["pruned"] is False
    history = read_jsonl(tmp_path / "runs" / "worker" / "trial-0" / "history.jsonl")
    assert done["value"] == min(line["eval_loss"] for line in history if "eval_loss" in line)


def test_far_behind_the_others_a_trial_is_pruned_and_its_folder_says_so(tiny, tmp_path: Path):
    order = [point["k"] for point in grid_of([Choices("k", (0, 1, 2, 3))], seed=0)]
    rates = [0.0] * 4
    for index, rate in zip(order, (0.03, 0.04, 0.05, 1e-9), strict=True):
        rates[index] = rate
    space = f"tune.space.train.learning_rate={rates}"
    grid = ["tune.sampler=grid", "tune.startup_trials=2", space]
    study = lossmith.tune("causal", tiny("pruned", *grid))
    assert _states(study) == ["done", "done", "done", "pruned"]
    assert _params(study) == [0.03, 0.04, 0.05, 1e-9]
    last = study["results"]["trials"][-1]
    assert [point["step"] for point in last["intermediate"]] == [2]
    folder = tmp_path / "runs" / "pruned" / last["name"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "worse than the median" in manifest["pruned"]["at"]
    assert any("pruned" in warning for warning in manifest["warnings"])
    assert not (folder / "model").exists()
    assert not (folder / "checkpoints").exists()
    assert study["missing"] == []
    assert study["results"]["best"]["params"]["train.learning_rate"] > 1e-3
    # The same where pruning may begin only after the last step.
    assert _states(lossmith.tune("causal", tiny("late", *grid, "tune.warmup_steps=4"))) == ["done"] * 4


def test_a_failed_trial_is_told_and_does_not_end_the_search(tiny, tmp_path: Path, monkeypatch, capsys, caplog):
    call = in_this_process(monkeypatch, capsys)
    overrides = tiny("failing", "tune.space.data.max_length=[2,600]", "tune.sampler=grid")
    shown = call("tune", "causal", *overrides, "--json")
    assert shown.code == 0
    study = json.loads(shown.out)
    assert sorted(_states(study)) == ["done", "failed"]
    failed = next(row for row in study["results"]["trials"] if row["state"] == "failed")
    assert failed["params"] == {"data.max_length": 2}
    assert failed["error"]
    assert f"{failed['name']} failed: " in caplog.text
    assert study["results"]["best"]["params"] == {"data.max_length": 600}
    # Failed trials count: the same command has nothing left to do, and prints the search.
    again = call("tune", "causal", *overrides)
    assert again.code == 0
    assert f"{failed['name']} failed: " in again.out
    assert f"lossmith run {tmp_path / 'runs' / 'failing' / 'best.yaml'}" in again.out


def test_a_search_of_which_nothing_finished_is_an_error_that_says_why(tiny):
    with pytest.raises(LossmithError, match="no trial of 2 finished") as refused:
        lossmith.tune("causal", tiny("lost", "tune.space.data.max_length=[2,3]", "tune.sampler=grid"))
    assert "trial-0" in str(refused.value)


# -- processes ---------------------------------------------------------------------------------------------------------


def _start(overrides: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lossmith.cli", "tune", "causal", *overrides, "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _wait(until: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not until():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_processes_share_a_search_and_what_a_killed_one_began_goes_on_from_its_checkpoint(tiny, tmp_path: Path):
    steps = {"max_steps": 40, "save_strategy": "steps", "save_steps": 8, "eval_steps": 20}
    database = f"tune.storage=sqlite:///{tmp_path / 'shared.db'}"
    overrides = tiny("shared", RATES, "tune.trials=2", database, **steps)
    folder = tmp_path / "runs" / "shared"
    checkpoint = folder / "trial-0" / "checkpoints" / "checkpoint-8"
    process = _start(overrides)
    _wait(checkpoint.exists, process)
    # It lives on, but the rest of trial-0 has to wait; this process takes the other one.
    process.send_signal(signal.SIGSTOP)
    study = lossmith.tune("causal", overrides)
    assert [(row["name"], row["state"]) for row in study["runs"]] == [("trial-0", "running"), ("trial-1", "done")]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    begun = load_config(folder / "trial-0" / "config.yaml")
    study = lossmith.tune("causal", overrides)
    assert "going on from step" in (folder / "trial-0" / "train.log").read_text()
    assert [(row["name"], row["number"], row["state"]) for row in study["results"]["trials"]] == [
        ("trial-1", 1, "done"),
        ("trial-0", 2, "done"),
    ]
    assert begun.train is not None
    again = study["results"]["trials"][1]
    assert again["params"] == {"train.learning_rate": begun.train.learning_rate}
    assert [point["step"] for point in again["intermediate"]] == [20, 40]


def test_a_trial_that_ends_every_process_is_given_up_after_three(tiny, tmp_path: Path):
    config = load_config("causal", tiny("deadly", RATES, "tune.trials=1"))
    url, dimensions = f"sqlite:///{tmp_path / 'trials.db'}", space_of(config)
    search = open_trials(url, "deadly", direction="down", tune=config.tune, seed=0)
    drawn = []
    for _ in range(3):
        trial = ask(search, url, dimensions, tune=config.tune, seed=0)
        assert trial is not None
        drawn.append((trial.user_attrs["folder"], trial.params))
        gone = {**trial.user_attrs["process"], "started": 0.0}
        trial.set_user_attr("process", gone)
    assert drawn == [drawn[0]] * 3
    assert ask(search, url, dimensions, tune=config.tune, seed=0) is None
    (row,) = trial_rows(search, dimensions)
    assert (row["state"], row["error"]) == ("failed", "its process died, 3 times of 3")
    # Told by a process that was only asleep, it stays so.
    tell(search, trial, {"state": "done", "seconds": 1.0, "result": {"value": 1.0, "pruned": False}})
    assert trial_rows(search, dimensions) == [row]


# -- folds, and metrics on predictions ---------------------------------------------------------------------------------


def test_with_folds_the_value_is_their_mean_and_the_test_split_stays_untouched(tiny, tmp_path: Path):
    choices = "tune.space.train.learning_rate=[0.001, 0.05]"
    study = lossmith.tune("causal", tiny("folds", choices, "tune.folds=2", "tune.sampler=grid", "data.keep=[split]"))
    folder = tmp_path / "runs" / "folds"
    assert (study["results"]["metric"], study["results"]["folds"]) == ("rougeL", 2)
    for row in study["results"]["trials"]:
        runs = [folder / row["name"] / f"fold-{number}" for number in range(2)]
        values = [json.loads((run / "metrics.json").read_text())["metrics"]["rougeL"]["value"] for run in runs]
        assert row["value"] == sum(values) / 2
        assert row["intermediate"] == [{"step": 1, "value": values[0]}, {"step": 2, "value": sum(values) / 2}]
        tables = [pq.read_table(run / "predictions" / "test.parquet") for run in runs]
        assert [set(table["split"].to_pylist()) <= {"train", "validation"} for table in tables] == [True, True]
        ids = [set(table["id"].to_pylist()) for table in tables]
        assert len(ids[0] | ids[1]) == 14
        assert not ids[0] & ids[1]
    best = load_config(folder / "best.yaml")
    assert best.data.split.folds is None
    assert "over inner folds" in (folder / "report.html").read_text()


def test_generation_of_a_base_model_is_searched_without_training(tiny, tmp_path: Path):
    overrides = tiny(
        "generate", "tune.space.generate.max_new_tokens=[1,6]", "tune.sampler=grid", "model.base=scratch-tiny"
    )
    kept = [part for part in overrides if not part.startswith("train.")]
    study = lossmith.tune("causal", [*kept, "train=null"])
    assert (study["results"]["metric"], study["results"]["direction"]) == ("rougeL", "up")
    for row in study["results"]["trials"]:
        run = tmp_path / "runs" / "generate" / row["name"]
        assert [file.name for file in (run / "predictions").iterdir()] == ["validation.parquet"]
        found = json.loads((run / "metrics.json").read_text())
        assert (found["split"], found["metrics"]["rougeL"]["value"]) == ("validation", row["value"])


# -- what is told before the first trial -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({}, ["tune.space is empty"]),
        ({"train.learning_rte": [1e-3]}, ["train.learning_rte", "did you mean 'train.learning_rate'?"]),
        ({"train": {"learning_rte": {"low": 1e-3, "high": 1}}}, ["did you mean 'train.learning_rate'?"]),
        ({"train.learning_rate": {"low": -1.0, "high": 1.0}}, ["train.learning_rate", "-1.0", "greater than 0"]),
        ({"train.per_device_train_batch_size": {"low": 1.0, "high": 8.0}}, ["batch_size", "1.0", "integer"]),
        ({"model.lora_dropout": {"low": 0.0, "high": 1.0}}, ["model.lora_dropout", "less than 1"]),
        ({"train.optim": ["adamw_torch", "adamw_torc"]}, ["tune.space.train.optim", "'adamw_torch"]),
        ({"train.lr_scheduler_type": ["linear", "cosin"]}, ["did you mean 'cosine'?"]),
        ({"objective.foca.weight": [0.1]}, ["objective", "did you mean 'objective.focal'?"]),
        ({"objective.focal": {"weight": [0.1], "gama": [1]}}, ["gama", "gamma"]),
        ({"seed": {"low": 3, "high": 1}}, ["low must lie below high"]),
        ({"train.weight_decay": {"low": 0.0, "high": 0.1, "log": True}}, ["begins above 0"]),
        ({"train.weight_decay": {"low": 0.0, "high": 0.1, "step": 0.03}}, ["a number of steps"]),
        ({"train.weight_decay": {"low": 0.0, "hihg": 0.1}}, ["no range and no list"]),
        ({"train.weight_decay": {"low": 0.0, "high": 0.1, "stpe": 1}}, ["did you mean 'step'?"]),
        ({"train.weight_decay": []}, ["no choices"]),
        ({"train.weight_decay": [0.1, 0.1]}, ["one of them twice"]),
        ({"data.split.validation": [0.1, 0.2]}, ["cannot be searched"]),
        ({"model": ["scratch-tiny", "qwen3-4b"]}, ["cannot be searched", "model.base"]),
    ],
)
def test_a_space_that_cannot_be_searched_is_told_before_the_first_trial(
    tiny, tmp_path: Path, space: dict[str, Any], told: list[str]
):
    file = tmp_path / "search.yaml"
    file.write_text(yaml.safe_dump({"tune": {"space": space}}))
    with pytest.raises(ConfigError) as refused:
        lossmith.tune(file, tiny("refused"))
    for words in told:
        assert words in str(refused.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["tune.metric=rouge1x"], "did you mean 'rouge1'?"),
        (["tune.metric=length_ratio"], "which way"),
        (["tune.metric=selection_rate"], "which way"),
        (["tune.metric=loss", "tune.folds=2"], "not measured on predictions"),
        (["train.eval_strategy=no", "train.eval_steps=null", "train.load_best_model_at_end=false"], "evaluations"),
        (["tune.sampler=grid"], "a range without a step"),
        (["tune.storage=postgresql://me:secret@nowhere/db"], "postgresql://me:***@nowhere/db"),
        (["tune.storage=nonsense"], "nonsense"),
    ],
)
def test_an_aim_that_cannot_be_reached_for_is_told(tiny, settings: list[str], told: str):
    with pytest.raises(LossmithError) as refused:
        lossmith.tune("causal", tiny("refused", RATES, *settings))
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_without_optuna_the_fix_is_told(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'lossmith\[tune\]'"):
        lossmith.tune("causal", tiny("refused", RATES))
