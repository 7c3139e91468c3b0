"""Weights by group and samplers in the trainer: however a window is cut, after a resume, and in two processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import lossmith
from lossmith.errors import ConfigError, DataError
from lossmith.runs import RunFolder, read_json, read_jsonl
from lossmith.train.checkpoints import complete_checkpoints

from .building import PLAIN
from .labelled import overrides_for, write_labelled

WORST = "objective={class_cross_entropy: {weights_by: worst_group, group_step_size: 0.7, class_weight: balanced}}"
GROUP = "objective={class_focal: {weights_by: group}}"
Overrides = Callable[..., list[str]]


@pytest.fixture
def overrides(tmp_path: Path) -> Overrides:
    return overrides_for(write_labelled(tmp_path / "labelled.jsonl"), tmp_path)


def history(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(RunFolder(run).history)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def largest_difference(one: Path, other: Path) -> float:
    first, second = weights(one), weights(other)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def same_groups(found: list[dict[str, Any]], true: list[dict[str, Any]]) -> None:
    """Weights and mean losses of all groups in all lines; None where a line has no example of a group."""

    def flat(lines: list[dict[str, Any]]) -> list[float]:
        told = [g for line in lines for term in line["groups"].values() for _, g in sorted(term.items())]
        return [-1.0 if value is None else value for each in told for value in (each["weight"], each["value"])]

    assert len(flat(true)) >= 3 * len(true)
    assert flat(found) == pytest.approx(flat(true), rel=1e-3)


@pytest.mark.parametrize(("objective", "sampler"), [(WORST, "weighted"), (GROUP, "balanced_groups")])
def test_8x1_and_2x4_train_to_the_same_weights(objective: str, sampler: str, overrides: Overrides) -> None:
    steps: dict[str, Any] = {**PLAIN, "learning_rate": 0.2, "num_train_epochs": 2, "sampler": sampler}
    runs = [
        lossmith.train(
            "classification",
            overrides(
                f"{size}x{cut}", objective, per_device_train_batch_size=size, gradient_accumulation_steps=cut, **steps
            ),
            quiet=True,
        ).path
        for size, cut in ((8, 1), (2, 4))
    ]
    first, other = [history(run) for run in runs]
    assert len(first) == 10
    assert largest_difference(*runs) < 1e-4
    same_groups(other, first)
    if objective is WORST:
        q = [line["groups"]["class_cross_entropy"] for line in first]
        assert {name: told["weight"] for name, told in q[0].items()} != {n: t["weight"] for n, t in q[-1].items()}
        # One record in eight has no group and keeps its share.
        assert [sum(told["weight"] for told in line.values()) for line in q] == pytest.approx([0.875] * 10)


def test_a_resumed_training_goes_on_with_the_weights_and_the_draw(overrides: Overrides) -> None:
    steps = {
        "num_train_epochs": 3, "per_device_train_batch_size": 4, "learning_rate": 0.01, "save_strategy": "steps",
        "save_steps": 3, "eval_strategy": "steps", "eval_steps": 6, "logging_steps": 2, "sampler": "balanced",
        "save_total_limit": 20,
    }  # fmt: skip
    objective = WORST.replace(", class_weight: balanced", "")
    whole = lossmith.train("classification", overrides("whole", objective, **steps), quiet=True).path
    cut = lossmith.train("classification", overrides("cut", objective, **steps), quiet=True).path
    # As if killed after step 12 of 30, in the middle of the second epoch.
    shutil.rmtree(RunFolder(cut).model)
    for checkpoint in complete_checkpoints(RunFolder(cut).checkpoints):
        if int(checkpoint.name.split("-")[1]) > 12:
            shutil.rmtree(checkpoint)
    lossmith.train("classification", overrides("cut", objective, **steps), resume=True, quiet=True)
    assert history(cut) == history(whole)
    first, second = weights(whole), weights(cut)
    assert all(torch.equal(first[name], second[name]) for name in first)
    state = read_json(RunFolder(cut).checkpoints / "checkpoint-30" / "groups.json")
    assert state == read_json(RunFolder(whole).checkpoints / "checkpoint-30" / "groups.json")
    assert set(state["class_cross_entropy"]) == {"a", "b", "c"}


def test_two_processes_draw_and_weigh_as_one(overrides: Overrides) -> None:
    steps: dict[str, Any] = {
        **PLAIN,
        "num_train_epochs": 2,
        "sampler": "balanced_groups",
        "per_device_train_batch_size": 4,
    }
    alone = lossmith.train(
        "classification", overrides("alone", WORST, gradient_accumulation_steps=2, **steps), quiet=True
    ).path
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "lossmith.cli",
    ]
    done = subprocess.run(
        [*torchrun, "train", "classification", *overrides("together", WORST, **steps), "--quiet"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    together = alone.parent / "together"
    assert RunFolder(together).manifest()["processes"] == 2
    assert largest_difference(alone, together) < 1e-4
    same_groups(history(together), history(alone))


def test_the_manifest_keeps_what_was_counted_and_drawn_and_a_double_correction_is_told(overrides: Overrides) -> None:
    result = lossmith.train(
        "classification",
        overrides(
            "facts",
            "objective={class_focal: {weights_by: group, class_weight: balanced}}",
            sampler="balanced",
            max_steps=1,
            eval_strategy="no",
            load_best_model_at_end="false",
        ),
        quiet=True,
    )
    manifest = RunFolder(result.path).manifest()
    (term,) = manifest["objective"]
    by_class, by_group = term["counted"]
    assert by_class["counts"] == {"no": 30, "yes": 10}
    assert by_group["counts"] == {"a": 20, "b": 10, "c": 5}
    assert by_group["without_group"] == 5
    assert by_group["weights"] == pytest.approx({"a": 35 / 60, "b": 35 / 30, "c": 35 / 15})
    assert manifest["sampler"]["drawn"] == pytest.approx({"no": 0.5, "yes": 0.5})
    assert any("class_weight weighs the rare ones once more" in warning for warning in manifest["warnings"])


def test_weights_are_counted_on_the_training_split_alone(tmp_path: Path) -> None:
    # Validation and test of the second file have three times the share of yes: nothing of the training may change.
    runs = []
    for name, share in (("plain", 0.25), ("shifted", 0.75)):
        shares = {"validation": share, "test": share}
        file = write_labelled(tmp_path / f"{name}.jsonl", share=shares)
        given = overrides_for(file, tmp_path)(
            name, "objective={class_cross_entropy: {class_weight: balanced}, class_focal: {class_weight: effective_number}}",
            **{**PLAIN, "max_steps": 4},
        )  # fmt: skip
        runs.append(lossmith.train("classification", given, quiet=True).path)
    counted = [RunFolder(run).manifest()["objective"] for run in runs]
    assert counted[0] == counted[1]
    assert counted[0][0]["counted"][0]["weights"] == pytest.approx({"no": 40 / 60, "yes": 2.0})
    # A tokenizer is trained on training texts, and the same texts give the same model.
    assert history(runs[0]) == history(runs[1])
    assert largest_difference(*runs) == 0.0


@pytest.mark.parametrize(
    "given",
    [
        ["objective={class_cross_entropy: {class_weight: balanced}}"],
        ["objective={binary_cross_entropy: {pos_weight: auto}}"],
        ["objective={class_cross_entropy: 1}", "train.sampler=balanced"],
    ],
)
def test_one_positive_in_a_hundred_is_learned(given: list[str], tmp_path: Path) -> None:
    share = {"train": 0.01, "validation": 0.5, "test": 0.5}
    file = write_labelled(tmp_path / "rare.jsonl", train=1000, validation=40, share=share, words=3)
    settings = {
        "learning_rate": 0.003, "num_train_epochs": 5, "per_device_train_batch_size": 32,
        "metric_for_best_model": "roc_auc",
    }  # fmt: skip
    result = lossmith.train("classification", overrides_for(file, tmp_path)("rare", *given, **settings), quiet=True)
    assert result.best_metric is not None
    assert result.best_metric >= 0.9


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ([GROUP, "data.group=null"], ConfigError, r"weights_by needs to know each record's group"),
        ([GROUP, "data.group=nothing"], DataError, "nothing"),
        (["train.sampler=balanced_groups", "data.group=null"], DataError, "draws by data.group"),
        (["train.sampler=weighted", "data.weight=null"], DataError, "draws by data.weight"),
    ],
)
def test_what_is_missing_is_named(given: list[str], error: type[Exception], says: str, overrides: Overrides) -> None:
    with pytest.raises(error, match=says):
        lossmith.train("classification", overrides("refused", *given), quiet=True)
