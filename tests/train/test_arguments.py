"""From the `train` group to transformers' arguments: what the laws rest on is fixed, the rest is handed on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from lossmith.config.train import TrainConfig
from lossmith.errors import InputError
from lossmith.models.precision import choose_precision
from lossmith.train.arguments import EveryEpoch, greater_is_better, own_optimizer, own_scheduler, training_arguments

from .building import PLAIN, Built, row


def arguments(tmp_path: Path, **train: Any) -> TrainingArguments:
    return training_arguments(
        TrainConfig(**train), output_dir=tmp_path, seed=3, precision=choose_precision(device="cpu"), report_to=[]
    )


def test_what_the_laws_rest_on_is_fixed(tmp_path: Path):
    found = arguments(tmp_path)
    assert (found.remove_unused_columns, found.logging_nan_inf_filter) == (False, False)
    assert found.restore_callback_states_from_checkpoint
    assert (found.seed, found.data_seed) == (3, 3)
    assert found.ddp_find_unused_parameters is False
    assert found.report_to == []
    assert (found.use_cpu, found.bf16, found.fp16) == (True, False, False)
    assert found.ignore_data_skip is False


def test_one_process_takes_one_gpu_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def two_gpus(self: TrainingArguments) -> torch.device:
        self._n_gpu = 2
        return torch.device("cpu")

    # The hardware's answer alone is made up.
    devices = functools.cached_property(two_gpus)
    devices.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", devices)
    assert TrainingArguments(output_dir=str(tmp_path), report_to=[]).n_gpu == 2
    found = arguments(tmp_path)
    assert (found.n_gpu, found.train_batch_size) == (1, found.per_device_train_batch_size)


def test_names_of_training_arguments_are_handed_on(tmp_path: Path):
    given = {
        "learning_rate": 3e-4, "weight_decay": 0.1, "adam_beta2": 0.95, "max_grad_norm": 0.5, "warmup_steps": 0.05,
        "lr_scheduler_type": "cosine_with_min_lr", "gradient_accumulation_steps": 4, "eval_strategy": "steps",
        "eval_steps": 7, "save_strategy": "steps", "save_steps": 5, "num_train_epochs": 0.5,
    }  # fmt: skip
    found = arguments(tmp_path, **given, lr_scheduler_kwargs={"min_lr_rate": 0.01})
    assert {key: getattr(found, key) for key in given} == given
    assert found.lr_scheduler_kwargs == {"min_lr_rate": 0.01}
    # Saves need not fall on evaluations: every new best is saved here anyway.
    assert found.load_best_model_at_end


def test_other_keys_go_in_under_hf(tmp_path: Path):
    found = arguments(tmp_path, hf={"dataloader_prefetch_factor": None, "neftune_noise_alpha": 5.0})
    assert found.neftune_noise_alpha == 5.0
    assert arguments(tmp_path, hf={"logging_first_step": False}).logging_first_step is False
    assert arguments(tmp_path).logging_first_step is True


@pytest.mark.parametrize(
    ("hf", "told"),
    [
        ({"learning_rate": 1e-4}, "write train.learning_rate"),
        ({"seed": 1}, "train.hf.seed is set by lossmith"),
        ({"remove_unused_columns": True}, "set by lossmith"),
        ({"disable_tqdm": False}, "set by lossmith"),
        ({"label_smoothing_factor": 0.1}, "objective.cross_entropy.label_smoothing"),
        ({"neftune_noise_alfa": 1}, "did you mean 'neftune_noise_alpha'?"),
    ],
)
def test_keys_under_hf_that_cannot_be(tmp_path: Path, hf: dict[str, Any], told: str):
    with pytest.raises(InputError) as caught:
        arguments(tmp_path, hf=hf)
    assert told in str(caught.value)
    assert next(iter(hf)) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "name", "near"),
    [("optim", "adamw_torc", "adamw_torch"), ("lr_scheduler_type", "cosin", "cosine")],
)
def test_unknown_names_get_the_nearest(tmp_path: Path, key: str, name: str, near: str):
    with pytest.raises(InputError, match=f"did you mean '{near}'") as caught:
        arguments(tmp_path, **{key: name})
    assert f"train.{key}" in str(caught.value)


def test_keywords_of_a_named_optimizer_arrive(build: Callable[..., Built]):
    given = PLAIN | {"optim": "sgd", "optim_args": "{momentum: 0.5}"}
    built = build("named", **given)
    built.fit()
    assert built.trainer.optimizer.param_groups[0]["momentum"] == 0.5


def test_an_optimizer_and_a_scheduler_of_ones_own(build: Callable[..., Built]):
    given = PLAIN | {
        "optim": "torch.optim:RMSprop", "optim_args": "{alpha: 0.9}", "learning_rate": 0.01,
        "lr_scheduler_type": "torch.optim.lr_scheduler:StepLR",
        "lr_scheduler_kwargs": "{step_size: 1, gamma: 0.1, interval: epoch}",
        "num_train_epochs": 3, "per_device_train_batch_size": 5,
    }  # fmt: skip
    built = build("own", **given)
    history = built.fit()
    optimizer = built.trainer.optimizer.optimizer
    assert isinstance(optimizer, torch.optim.RMSprop)
    assert optimizer.param_groups[0]["alpha"] == 0.9
    rates = [line["learning_rate"] for line in history]
    # The rate of a step is that it was taken with: 4 steps an epoch.
    assert rates == pytest.approx([0.01] * 4 + [1e-3] * 4 + [1e-4] * 4)


def test_a_scheduler_stepped_once_a_step_and_the_state_of_one_stepped_once_an_epoch():
    def fresh(interval: str) -> tuple[Any, Any]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        train = TrainConfig(
            lr_scheduler_type="torch.optim.lr_scheduler:ExponentialLR",
            lr_scheduler_kwargs={"gamma": 0.5, "interval": interval},
        )
        return optimizer, own_scheduler(train, optimizer, steps_per_epoch=3)

    optimizer, scheduler = fresh("step")
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5]
    optimizer, scheduler = fresh("epoch")
    assert isinstance(scheduler, EveryEpoch)
    rates = []
    for _ in range(7):
        optimizer.step()
        scheduler.step()
        rates += scheduler.get_last_lr()
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    again_optimizer, again = fresh("epoch")
    again.load_state_dict(scheduler.state_dict())
    again_optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(2):
        again_optimizer.step()
        again.step()
    assert again.get_last_lr() == [0.125]


@pytest.mark.parametrize(
    ("path", "keywords", "told"),
    [
        ("torch.optim.lr_scheduler:StepLR", {"step_sise": 1}, "refused its keywords"),
        ("torch.optim.lr_scheduler:StepLR", {"step_size": 1, "interval": "day"}, "interval is wrong"),
        ("torch.optim.lr_scheduler:StepLT", {"step_size": 1}, "StepLR"),
        ("torch.optim.lr_scheduler:ReduceLROnPlateau", {"interval": "epoch"}, "follows evaluations"),
    ],
)
def test_schedulers_that_cannot_be(path: str, keywords: dict[str, Any], told: str):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    train = TrainConfig(lr_scheduler_type=path, lr_scheduler_kwargs=keywords)
    with pytest.raises(InputError, match=told):
        own_scheduler(train, optimizer, steps_per_epoch=3)


def test_an_optimizer_that_refuses_its_keywords_is_told_by_name(build: Callable[..., Built]):
    given = PLAIN | {"optim": "torch.optim:RMSprop", "optim_args": "{alfa: 0.9}", "per_device_train_batch_size": 5}
    with pytest.raises(InputError, match=r"the optimizer torch.optim:RMSprop could not be made: .*alfa"):
        build("refused", **given)
    assert own_optimizer(TrainConfig(optim="adamw_torch")) is None


def test_a_scheduler_that_follows_evaluations(build: Callable[..., Built]):
    given = PLAIN | {
        "lr_scheduler_type": "torch.optim.lr_scheduler:ReduceLROnPlateau",
        "lr_scheduler_kwargs": "{patience: 0, factor: 0.5, threshold: 1000000, threshold_mode: abs}",
        "eval_strategy": "steps", "eval_steps": 1, "per_device_train_batch_size": 5, "learning_rate": 0.25,
    }  # fmt: skip
    rates = [line["learning_rate"] for line in build("plateau", **given).fit() if "loss" in line]
    assert rates == [0.25, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize(
    ("given", "larger"),
    [
        ({}, False),
        ({"metric_for_best_model": "rouge1"}, True),
        ({"metric_for_best_model": "eval_rouge1"}, True),
        ({"metric_for_best_model": "edit_distance"}, False),
        ({"metric_for_best_model": "my:metric", "greater_is_better": True}, True),
        ({"metric_for_best_model": "eval_loss", "greater_is_better": True}, True),
    ],
)
def test_direction_comes_from_the_table_unless_it_is_said(given: dict[str, Any], larger: bool):
    assert greater_is_better(TrainConfig(**given)) is larger


def test_a_metric_that_is_best_at_one_chooses_nothing():
    with pytest.raises(InputError, match="cannot choose a checkpoint"):
        greater_is_better(TrainConfig(metric_for_best_model="length_ratio"))


def test_a_term_of_the_evaluation_may_choose_the_checkpoint(build: Callable[..., Built]):
    rows = [row(n, prompt=2, answer=6, items=3) for n in range(8)]
    given = PLAIN | {
        "eval_strategy": "epoch", "metric_for_best_model": "eval_focal", "greater_is_better": "false",
        "load_best_model_at_end": "true", "save_strategy": "epoch",
    }  # fmt: skip
    terms = "objective={cross_entropy: 1, focal: {weight: 1, span: items}}"
    built = build("by-term", terms, rows=rows, validation=rows, **given)
    history = built.fit()
    (value,) = [line["eval_focal"] for line in history if "eval_loss" in line]
    best = built.run.manifest()["best"]
    assert (best["metric"], best["value"]) == ("eval_focal", value)
    assert math.isfinite(value)
