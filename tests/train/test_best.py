"""The model that is kept: the best checkpoint bit for bit, whatever is saved when and however many are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import lossmith
from lossmith.runs import RunFolder, read_jsonl
from lossmith.train.checkpoints import complete_checkpoints, step_of

# 8 records learnt by heart: the loss on the others falls for some steps and then rises.
MEMORISE = {
    "num_train_epochs": 12,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.02,
    "lr_scheduler_type": "constant",
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 5,
    "logging_steps": 50,
}


@pytest.fixture
def memorise(overrides: Callable[..., list[str]], tmp_path: Path) -> Callable[..., RunFolder]:
    def make(name: str, *more: str, **train: object) -> RunFolder:
        given = overrides(name, "data.limit=12", *more, **(MEMORISE | train))
        lossmith.train("causal", given, quiet=True)
        return RunFolder(tmp_path / "runs" / name)

    return make


def evaluations(run: RunFolder, key: str = "eval_loss") -> dict[int, float]:
    return {line["step"]: line[key] for line in read_jsonl(run.history) if "eval_loss" in line}


def lines(run: RunFolder) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(run.history)]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_model_is_the_best_checkpoint_and_not_the_last(memorise: Callable[..., RunFolder]):
    run = memorise("best", save_total_limit=2, num_train_epochs=40, save_steps=61)
    losses = evaluations(run)
    best = min(losses, key=losses.__getitem__)
    assert 2 < best < max(losses), "the loss must fall and rise again, or this shows nothing"
    kept = {step_of(path): path for path in complete_checkpoints(run.checkpoints)}
    assert set(kept) == {best, max(kept)}
    assert best != 61, "the best evaluation falls between two saves"
    assert same_weights(run.model, kept[best])
    assert not same_weights(run.model, kept[max(kept)])
    assert run.manifest()["best"] == {"step": best, "metric": "eval_loss", "value": losses[best]}


def test_the_largest_is_the_best_where_that_is_said(memorise: Callable[..., RunFolder]):
    more = "objective={cross_entropy: 1, entropy_penalty: 0.01}"
    run = memorise("largest", more, metric_for_best_model="eval_loss", greater_is_better="true", save_total_limit=1)
    losses = evaluations(run)
    best = max(losses, key=losses.__getitem__)
    assert run.manifest()["best"]["step"] == best
    assert same_weights(run.model, run.checkpoints / f"checkpoint-{best}")


def test_without_it_the_last_weights_are_the_model(memorise: Callable[..., RunFolder]):
    # A limit of 1, and a best evaluation at whose step nothing was saved.
    run = memorise("last", load_best_model_at_end="false", save_total_limit=1, save_steps=36)
    kept = complete_checkpoints(run.checkpoints)
    assert [step_of(path) for path in kept] == [36]
    assert same_weights(run.model, kept[-1])


def test_without_it_no_step_is_saved_for_being_best(memorise: Callable[..., RunFolder]):
    run = memorise("saves", load_best_model_at_end="false", save_total_limit="null")
    assert [step_of(path) for path in complete_checkpoints(run.checkpoints)] == [5, 10, 15, 20, 25, 30, 35, 36]


def test_early_stopping_keeps_the_best_and_stops(memorise: Callable[..., RunFolder]):
    whole = evaluations(memorise("whole"))
    run = memorise("early", early_stopping_patience=3)
    losses = evaluations(run)
    best = min(losses, key=losses.__getitem__)
    assert max(losses) == best + 3 * 2 < max(whole)
    assert losses == {step: whole[step] for step in losses}, "stopping changes nothing before it"
    assert same_weights(run.model, run.checkpoints / f"checkpoint-{best}")
    assert run.manifest()["steps"] == max(losses)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_training_that_was_done_but_for_the_model_gives_the_same(
    adapter: str, memorise: Callable[..., RunFolder], overrides: Callable[..., list[str]]
):
    more: dict[str, Any] = {"early_stopping_patience": 3, "save_total_limit": 2, "save_steps": 2}
    names = [f"model.adapter={adapter}", "model.lora_target_modules=all-linear"] if adapter == "lora" else []
    run = memorise("done", *names, **more)
    before, history = run.path.parent / "before", lines(run)
    shutil.move(run.model, before)
    given = overrides("done", "data.limit=12", *names, **(MEMORISE | more))
    lossmith.train("causal", given, quiet=True, resume=True)
    assert same_weights(before, run.model)
    assert lines(run) == history


def test_an_evaluation_whose_metric_has_no_value_chooses_nothing(memorise: Callable[..., RunFolder]):
    # A few letters hold no recipe, so that the precision of their ingredients has no value.
    run = memorise(
        "undefined", "generate.max_new_tokens=2", metric_for_best_model="ingredient_precision", max_steps=4, save_steps=2,
        max_eval_samples=2, early_stopping_patience=2,
    )  # fmt: skip
    told = [warning for warning in run.manifest()["warnings"] if "chooses no checkpoint" in warning]
    assert [warning.split(":")[0] for warning in told] == [
        f"eval_ingredient_precision has no value at step {step}" for step in (2, 4)
    ]
    assert "best" not in run.manifest()
    assert same_weights(run.model, complete_checkpoints(run.checkpoints)[-1])


def test_a_metric_of_the_generated_answers_chooses_the_checkpoint(memorise: Callable[..., RunFolder]):
    run = memorise(
        "measured", "generate.max_new_tokens=3", metric_for_best_model="edit_distance", max_steps=4, save_steps=2,
        max_eval_samples=2,
    )  # fmt: skip
    distances = evaluations(run, "eval_edit_distance")
    assert list(distances) == [2, 4]
    best = min(distances, key=distances.__getitem__)
    assert run.manifest()["best"] == {"step": best, "metric": "edit_distance", "value": distances[best]}
    assert same_weights(run.model, run.checkpoints / f"checkpoint-{best}")
