"""The preflight: its steps are the Trainer's own, what cannot work is refused, what is doubtful is said."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

import lossmith
from lossmith.config.train import TrainConfig
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.train.preflight import doubts, plan_steps

from .building import PLAIN, Built

SIZES = list(
    itertools.product(
        (1, 2, 7, 8, 9, 100),  # records
        (1, 3, 8),  # batch
        (1, 2, 5),  # accumulation
        ((0.5, -1), (1, -1), (2.3, -1), (3, 1), (3, 40)),  # epochs, max_steps
        (False, True),  # drop_last
    )
)


def test_the_plan_is_the_trainers_own_number_of_steps(tmp_path: Path):
    model = torch.nn.Linear(1, 1)
    seen = 0
    for records, batch, accumulation, (epochs, max_steps), drop in SIZES:
        if drop and records < batch:
            continue
        train = TrainConfig(
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=epochs,
            max_steps=max_steps,
            hf={"dataloader_drop_last": drop},
        )
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=epochs,
            max_steps=max_steps,
            use_cpu=True,
            report_to=[],
        )
        trainer = Trainer(model=model, args=arguments) if seen == 0 else trainer
        trainer.args, trainer._train_batch_size = arguments, batch
        loader = DataLoader(list(range(records)), batch_size=batch, drop_last=drop)
        own = trainer.set_initial_training_values(arguments, loader)
        plan = plan_steps(train, records=records, processes=1)
        assert (plan.steps_per_epoch, plan.total_steps) == (own[1], own[6]), (records, train)
        seen += 1
    assert seen > 450


@pytest.mark.parametrize(
    ("size", "accumulation", "epochs", "max_steps"), [(3, 2, 0.5, -1), (8, 1, 1.5, -1), (20, 3, 2, -1), (6, 4, 1, 9)]
)
def test_a_training_takes_the_planned_steps(
    build: Callable[..., Built], size: int, accumulation: int, epochs: float, max_steps: int
):
    given = PLAIN | {
        "per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation,
        "num_train_epochs": epochs, "max_steps": max_steps,
    }  # fmt: skip
    built = build("planned", **given)
    history = built.fit()
    plan = built.run.manifest()["plan"]
    assert history[-1]["step"] == plan["total_steps"] == built.run.manifest()["steps"]
    assert plan["records"] == 20


@pytest.mark.parametrize(
    ("steps", "terms", "every"),
    [(3, 2, 1), (30, 2, 3), (60, 4, 6), (200, 4, 20), (600, 2, 12), (600, 5, 25), (5000, 2, 100), (100_000, 5, 2000)],
)
def test_shares_are_measured_ten_to_fifty_times_and_rarely_enough_to_cost_little(steps: int, terms: int, every: int):
    plan = plan_steps(TrainConfig(max_steps=steps), records=8, processes=1, terms=terms)
    assert plan.share_steps == every
    assert plan_steps(TrainConfig(max_steps=steps, share_steps=7), records=8, processes=1).share_steps == 7


def test_two_processes_share_the_batches():
    plan = plan_steps(TrainConfig(per_device_train_batch_size=4, num_train_epochs=1), records=33, processes=2)
    assert plan.total_steps == 5


def test_numbers_are_told_in_sentences(build: Callable[..., Built], caplog: pytest.LogCaptureFixture):
    given = PLAIN | {"per_device_train_batch_size": 5, "num_train_epochs": 3, "warmup_steps": 0.1}
    with caplog.at_level("INFO", logger="lossmith"):
        built = build("told", **given)
    assert "20 training records, 4 optimizer steps an epoch, 12 in all, 2 of them warm-up" in caplog.messages
    (few,) = [warning for warning in built.warnings if "optimizer steps" in warning]
    assert few.startswith("only 12 optimizer steps (fewer than 30): the model will hardly move")
    assert few in built.run.manifest()["warnings"]
    assert any("the engine's logits and the model's differ by" in message for message in caplog.messages)


def test_enough_steps_are_no_doubt(build: Callable[..., Built]):
    built = build("enough", **(PLAIN | {"max_steps": 30}))
    assert not [warning for warning in built.warnings if "optimizer steps" in warning]


@pytest.mark.parametrize(("warmup", "told"), [(12, "train.warmup_steps=12 (12 steps) of 12"), (500, "500 steps")])
def test_warm_up_longer_than_training_is_refused(build: Callable[..., Built], warmup: int, told: str):
    given = PLAIN | {"per_device_train_batch_size": 5, "num_train_epochs": 3, "warmup_steps": warmup}
    with pytest.raises(ConfigError, match="warm-up is longer than training") as caught:
        build("warm", **given)
    assert told in str(caught.value.got)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("model.num_attention_heads=3", "heads do not share the width"),
        ("model.hidden_size=7", "heads do not share the width"),
        ("model.vocab_size=200", "too small for a byte-level tokenizer"),
        ("model.base=scratch-tinny", "scratch-tiny"),
    ],
)
def test_sizes_of_a_scratch_base_are_judged_before_data_are_prepared(
    given: str, told: str, overrides: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "cache"
    monkeypatch.setenv("LOSSMITH_CACHE", str(cache))
    with pytest.raises(InputError, match=told):
        lossmith.train("causal", [*overrides("sizes", **PLAIN), given], quiet=True)
    assert not cache.exists(), "nothing was prepared for a model that cannot be"


@pytest.mark.parametrize("max_steps", [0, -2])
def test_a_number_of_steps_that_is_none_is_refused(max_steps: int):
    with pytest.raises((ConfigError, ValueError), match="max_steps"):
        plan_steps(TrainConfig(max_steps=max_steps), records=8, processes=1)


def test_dropping_the_last_batch_of_too_few_records_is_refused():
    train = TrainConfig(per_device_train_batch_size=8, hf={"dataloader_drop_last": True})
    with pytest.raises(ConfigError, match="no whole batch"):
        plan_steps(train, records=7, processes=1)


def test_an_evaluation_without_validation_records_is_refused(overrides: Callable[..., list[str]]):
    given = overrides("unmeasured", "data.split.map={validation: train}", **(PLAIN | {"eval_strategy": "epoch"}))
    with pytest.raises(DataError, match="no validation split to evaluate on") as caught:
        lossmith.train("causal", given, quiet=True)
    assert "24 training records alone" in str(caught.value.got)


@pytest.mark.parametrize("name", ["nowhere/checkpoint-5", "elsewhere"])
def test_a_checkpoint_that_is_none_is_refused(name: str, overrides: Callable[..., list[str]], tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    given: dict[str, Any] = {**PLAIN, "resume_from_checkpoint": tmp_path / name}
    with pytest.raises(InputError, match="is no checkpoint") as caught:
        lossmith.train("causal", overrides("from", **given), quiet=True)
    assert "train.resume_from_checkpoint" in str(caught.value)


def test_cut_answers_are_told_with_their_number():
    audit = {
        "warnings": [],
        "limits": "data.max_length=64",
        "splits": {"train": {"records": 50, "end_supervised": 48, "truncation": {"cut_answer": 2, "dropped": 1}}},
    }
    plan = plan_steps(TrainConfig(), records=800, processes=1)
    (told,) = doubts(plan, audit)
    assert told.startswith("2 of 50 training answers are cut at data.max_length=64")
