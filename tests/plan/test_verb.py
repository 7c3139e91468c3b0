"""`lossmith plan` as it is called: what it tells, what it is held against, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lossmith.runs import read_json
from tests.command_line import in_this_process

MIB = 2**20


@pytest.fixture
def lossmith(monkeypatch, capsys):
    return in_this_process(monkeypatch, capsys)


@pytest.mark.parametrize("preset", ["causal", "seq2seq", "classification"])
def test_a_plan_adds_up(lossmith, configured, preset):
    done = lossmith("plan", *configured(preset), "--json", "train.num_train_epochs=2")
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    memory = plan["memory"]
    assert memory["peak_bytes"] == sum(memory["at_peak_bytes"].values()) == max(memory["phases_bytes"].values())
    assert memory["fits"] and memory["room_bytes"] > memory["peak_bytes"]
    parts = memory["parts_bytes"]
    assert parts["weights"] >= plan["parameters"] * 4
    assert parts["gradients"] == plan["trainable_parameters"] * 4
    assert parts["optimizer"] >= plan["trainable_parameters"] * 8
    steps = plan["steps"]
    assert steps["total"] == 2 * steps["per_epoch"] == 2 * -(-steps["records"] // 3)
    assert steps["evaluations"] == 2
    assert plan["tokens"]["total"] == 2 * plan["tokens"]["per_epoch"]
    seconds = plan["seconds"]
    assert seconds["total"] == pytest.approx(steps["total"] * seconds["step"] + 2 * seconds["evaluation"])


def test_a_plan_is_that_of_the_training_that_follows(lossmith, configured):
    arguments = [*configured("causal"), "name=followed", "train.num_train_epochs=1"]
    plan = json.loads(lossmith("plan", *arguments, "--json").out)
    assert lossmith("train", *arguments, "--quiet").code == 0
    runs = next(part for part in arguments if part.startswith("runs_dir=")).removeprefix("runs_dir=")
    manifest = read_json(Path(runs) / "followed" / "manifest.json")
    assert manifest["plan"]["total_steps"] == plan["steps"]["total"]
    assert manifest["model"]["trainable_parameters"] == plan["trainable_parameters"]
    assert manifest["model"]["parameters"] == plan["parameters"]


def test_a_plan_is_near_what_real_steps_take(configured):
    arguments = configured("causal", "model.hidden_size=256", "model.num_hidden_layers=3")
    # A process of its own: this one holds what other tests left.
    command = [sys.executable, "-m", "lossmith.cli", "plan", *arguments, "--json", "--measure"]
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert plan["measured"]["steps"] == 6
    assert plan["measured"]["peak_bytes"] == pytest.approx(plan["memory"]["peak_bytes"], rel=0.15)
    assert plan["measured"]["step_seconds"] > 0


def test_what_does_not_fit_is_told_with_what_would(lossmith, configured):
    arguments = [
        *configured("causal", "model.hidden_size=128", "model.num_hidden_layers=3"),
        "train.per_device_train_batch_size=16",
        "train.per_device_eval_batch_size=1",
    ]
    whole = json.loads(lossmith("plan", *arguments, "--json").out)["memory"]
    smaller = whole["peak_bytes"] - 12 * MIB
    done = lossmith("plan", *arguments, "--memory", smaller / 2**30)
    assert done.code == 0
    assert "does not fit" in done.out
    assert ", fits: train.per_device_train_batch_size=1 train.gradient_accumulation_steps=16" in done.out
    done = lossmith("plan", *arguments, "--memory", "0.01", "--json")
    plan = json.loads(done.out)
    assert not plan["memory"]["fits"]
    assert plan["changes"] and not any(change["fits"] for change in plan["changes"])


@pytest.mark.parametrize(
    ("preset", "more", "said"),
    [
        ("causal", ["train=null"], "there is nothing to plan"),
        ("causal", ["train.warmup_steps=1000"], "warm-up is longer than training"),
        ("causal", ["--memory", "0"], "--memory is no amount of memory"),
        ("causal", ["model.base=nowhere/at-all"], "nowhere/at-all"),
        ("classification", ["model.freeze_backbone=true"], "stored vectors"),
    ],
)
def test_what_cannot_be_planned_is_refused(lossmith, configured, preset, more, said):
    done = lossmith("plan", *configured(preset), *more)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_documents_are_refused_by_name(lossmith, pairs):
    fields = ["data.template={text: '{{ source }}'}", "data.label=kind", "model=tfidf-svd"]
    done = lossmith("plan", "retrieval", f"data.files={pairs}", *fields)
    assert done.code == 2
    assert "task.kind=retrieval" in done.err
