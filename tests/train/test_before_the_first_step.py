"""What is told before the first step: learning rates that cannot be meant, and a disk that is too small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from lossmith.config.schema import Config
from lossmith.config.train import TrainConfig
from lossmith.errors import ConfigError, LossmithError
from lossmith.train import checkpoint_space
from lossmith.train.checkpoint_space import checkpoint_bytes, most_checkpoints
from lossmith.train.learning_rate import USUAL, doubts_of_rate, moved_by
from lossmith.train.preflight import Plan

from .building import PLAIN, Built

ADAM: dict[str, object] = {**PLAIN, "optim": "adamw_torch", "learning_rate": 1e-3}


@pytest.mark.parametrize("moved", USUAL)
def test_a_rate_is_judged_by_what_it_moves(moved: Any):
    usual = USUAL[moved]
    for rate in (usual.lowest / 9, usual.lowest, usual.highest, usual.highest * 9):
        assert doubts_of_rate(TrainConfig(learning_rate=rate), moved) == []
    (high,) = doubts_of_rate(TrainConfig(learning_rate=usual.highest * 12), moved)
    (low,) = doubts_of_rate(TrainConfig(learning_rate=usual.lowest / 12), moved)
    assert "12 times the highest" in high and "12 times smaller" in low
    assert all(usual.what in sentence for sentence in (high, low))
    with pytest.raises(ConfigError, match="replace every weight"):
        doubts_of_rate(TrainConfig(learning_rate=2.0), moved)
    for optim in ("sgd", "adafactor", "own:AdamLike"):
        assert doubts_of_rate(TrainConfig(learning_rate=2.0, optim=optim), moved) == []


@pytest.mark.parametrize(
    ("model", "task", "moved"),
    [
        ({"base": "scratch-tiny"}, "causal", "scratch"),
        ({"base": "some/model"}, "causal", "adapter"),
        ({"base": "some/model", "adapter": "none"}, "causal", "full"),
        ({"base": "some/model", "freeze_backbone": True}, "classification", "head"),
        ({"base": "scratch-tiny"}, "retrieval", "head"),
    ],
)
def test_what_a_rate_moves(model: dict[str, Any], task: str, moved: str):
    data = {"template": {"text": "{{ x }}"}, **({} if task == "causal" else {"label": "y"})}
    objective = {"cross_entropy": 1.0} if task == "causal" else {"binary_cross_entropy": 1.0}
    assert moved_by(Config(model=model, task={"kind": task}, data=data, objective=objective)) == moved


def test_an_absurd_rate_is_told_before_training(build: Callable[..., Built]):
    assert any("0.5" in w and "times the highest" in w for w in build("odd", **{**ADAM, "learning_rate": 0.5}).warnings)
    assert not any("learning_rate" in w for w in build("usual", **ADAM).warnings)
    with pytest.raises(ConfigError, match="replace every weight in one step"):
        build("absurd", **{**ADAM, "learning_rate": 20.0})


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_checkpoint_is_as_large_as_foretold(build: Callable[..., Built], adapter: str):
    given = {**ADAM, "save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    built = build(f"sized-{adapter}", f"model.adapter={adapter}", **given)
    foretold = checkpoint_bytes(built.loaded.model, "adamw_torch")
    built.fit()
    (folder, *_) = sorted(built.run.checkpoints.glob("checkpoint-*"))
    heavy = [file for file in folder.iterdir() if file.name in ("optimizer.pt", *_WEIGHTS)]
    written = sum(file.stat().st_size for file in heavy)
    assert len(heavy) == 2 and foretold <= written < 1.1 * foretold + 60_000


_WEIGHTS = ("model.safetensors", "adapter_model.safetensors")


class _Usage(NamedTuple):
    free: int


def test_a_disk_that_is_too_small_is_told_with_numbers(build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch):
    given = {**ADAM, "save_strategy": "steps", "save_steps": 1}
    built = build("roomy", **given)
    one = checkpoint_bytes(built.loaded.model, "adamw_torch")
    plan = Plan(**built.run.manifest()["plan"])
    assert plan.total_steps >= 3 and most_checkpoints(built.train, plan) == 3
    needed = 3 * one + one // 3

    def with_free(free: int) -> None:
        monkeypatch.setattr(checkpoint_space.shutil, "disk_usage", lambda _: _Usage(free))
        checkpoint_space.check_space(built.run, built.train, plan, built.loaded.model)

    with_free(needed)
    with pytest.raises(LossmithError, match="disk will be full") as found:
        with_free(needed - 1)
    told = str(found.value.got) + str(found.value.expected)
    assert "GiB free" in told and "3 checkpoints of" in told
    # What an interrupted training left makes place for what follows.
    (built.run.checkpoints / "checkpoint-1").mkdir(parents=True)
    (built.run.checkpoints / "checkpoint-1" / "optimizer.pt").write_bytes(bytes(one))
    with_free(needed - one)
    monkeypatch.setattr(checkpoint_space.shutil, "disk_usage", lambda _: _Usage(1000))
    with pytest.raises(LossmithError, match="disk will be full"):
        build("crowded", **given)


@pytest.mark.parametrize(
    ("keys", "most"),
    [
        ({"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False}, 0),
        ({"eval_strategy": "no", "load_best_model_at_end": False}, 3),
        ({}, 3),
        ({"save_total_limit": 1}, 3),
        ({"save_total_limit": 1, "eval_strategy": "no", "load_best_model_at_end": False}, 2),
        ({"save_total_limit": None, "save_strategy": "steps", "save_steps": 4}, 8 + 3),
        ({"save_strategy": "no"}, 3),
    ],
)
def test_how_many_checkpoints_lie_on_the_disk(keys: dict[str, Any], most: int):
    plan = Plan(records=80, steps_per_epoch=10, total_steps=30, warmup_steps=0, share_steps=1)
    assert most_checkpoints(TrainConfig(**keys), plan) == most
