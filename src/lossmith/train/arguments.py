"""From the `train` group to transformers' TrainingArguments, optimizer and scheduler."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments

from lossmith.config.train import TrainConfig
from lossmith.errors import ConfigError, unknown_name
from lossmith.models.precision import Precision
from lossmith.names import known_metric, load_attribute

# Ours, or carried out by us: the Trainer never sees them.
_OWN = {
    "load_best_model_at_end",
    "save_total_limit",
    "device",
    "max_eval_samples",
    "share_steps",
    "sampler",
    "tile_mib",
    "early_stopping_patience",
    "early_stopping_threshold",
    "callbacks",
    "init_from",
    "resume_from_checkpoint",
    "hf",
    "gradient_checkpointing",
    "optim",
    "optim_args",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
}
# Changing these through train.hf would break a law or a file of the run folder.
_FIXED = {
    "output_dir",
    "remove_unused_columns",
    "logging_nan_inf_filter",
    "restore_callback_states_from_checkpoint",
    "ddp_find_unused_parameters",
    "report_to",
    "seed",
    "data_seed",
    "bf16",
    "fp16",
    "use_cpu",
    "push_to_hub",
    "ignore_data_skip",
    "disable_tqdm",
    "save_only_model",
    "auto_find_batch_size",
    "label_smoothing_factor",
}
# Where else the thing is said.
_ELSEWHERE = {"label_smoothing_factor": "write objective.cross_entropy.label_smoothing, beside its weight"}


def greater_is_better(train: TrainConfig) -> bool:
    """Direction of the metric that chooses the best checkpoint, from the configuration or the table."""
    if train.greater_is_better is not None:
        return train.greater_is_better
    metric = train.metric_for_best_model.removeprefix("eval_")
    row = known_metric(metric)
    direction = row.direction if row else "down"
    if direction not in ("up", "down"):
        raise ConfigError(
            f"'{metric}' is {'best at 1' if direction == 'one' else 'better on neither side'}, so it cannot choose a "
            "checkpoint",
            got=f"train.metric_for_best_model={metric}",
            expected="a metric whose direction is up or down",
        )
    return direction == "up"


def training_arguments(
    train: TrainConfig, *, output_dir: Path, seed: int, precision: Precision, report_to: list[str]
) -> TrainingArguments:
    """The arguments, with the settings that the laws rest on fixed.

    Raises ConfigError for an unknown name under train.hf, optim or lr_scheduler_type.
    """
    _check_hf(train)
    values: dict[str, Any] = {k: v for k, v in train.model_dump().items() if k not in _OWN and v is not None}
    values |= _named(train)
    try:
        arguments = TrainingArguments(
            output_dir=str(output_dir),
            seed=seed,
            data_seed=seed,
            use_cpu=precision.device.type == "cpu",
            bf16=precision.dtype == torch.bfloat16,
            fp16=precision.dtype == torch.float16,
            report_to=report_to,
            remove_unused_columns=False,
            logging_nan_inf_filter=False,
            restore_callback_states_from_checkpoint=True,
            # The head's gradient comes from the objective, outside the wrapped forward: DDP must not call it unused.
            ddp_find_unused_parameters=False,
            disable_tqdm=True,
            **(values | {"greater_is_better": greater_is_better(train), "logging_first_step": True} | train.hf),
        )
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"train does not hold together: {error}", got=train.hf or None) from error
    # Set afterwards: at construction it asks that saves fall on evaluations, but every new best is saved here anyway.
    arguments.load_best_model_at_end = train.load_best_model_at_end
    # With several GPUs in sight and one process the Trainer would deal batches out to copies of the model
    # (nn.DataParallel): larger windows than planned, and hidden states that nobody captures.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def check_names(train: TrainConfig) -> None:
    """Judge the names under `train` before anything is prepared for them.

    Raises ConfigError or InputError with the nearest name.
    """
    _check_hf(train)
    _named(train)
    _try_scheduler(train)
    greater_is_better(train)
    own = [("optimizer", train.optim), ("scheduler", train.lr_scheduler_type)]
    for what, path in [pair for pair in own if ":" in pair[1]] + [("callback", path) for path in train.callbacks]:
        load_attribute(path, what=what)


def _try_scheduler(train: TrainConfig) -> None:
    """Make a scheduler of transformers on one number: which keywords it lacks it says only when it is made."""
    from transformers import get_scheduler

    if ":" in train.lr_scheduler_type:
        return
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=train.learning_rate)
    keywords = dict(train.lr_scheduler_kwargs)
    try:
        get_scheduler(
            train.lr_scheduler_type,
            optimizer,
            num_warmup_steps=1,
            num_training_steps=9,
            scheduler_specific_kwargs=keywords,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the scheduler {train.lr_scheduler_type} cannot be made: {error}",
            got=f"train.lr_scheduler_kwargs={keywords}",
        ) from error


def _check_hf(train: TrainConfig) -> None:
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    ours = set(TrainConfig.model_fields)
    for key in train.hf:
        if key in _FIXED or key in ours:
            where = "the configuration itself" if key in ours else "lossmith"
            raise ConfigError(
                f"train.hf.{key} is set by {where}",
                got=key,
                fix=f"write train.{key}" if key in ours else _ELSEWHERE.get(key),
            )
        if key not in known:
            raise unknown_name("key", key, known - _FIXED, where=f"train.hf.{key}")


def _named(train: TrainConfig) -> dict[str, Any]:
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    values: dict[str, Any] = {}
    if ":" not in train.optim:
        names = [str(name.value) for name in OptimizerNames]
        if train.optim not in names:
            raise unknown_name("optimizer", train.optim, names, where="train.optim")
        values["optim"] = train.optim
        if train.optim_args:
            values["optim_args"] = ",".join(f"{key}={value}" for key, value in train.optim_args.items())
    if ":" not in train.lr_scheduler_type:
        names = [str(name.value) for name in SchedulerType]
        if train.lr_scheduler_type not in names:
            raise unknown_name("scheduler", train.lr_scheduler_type, names, where="train.lr_scheduler_type")
        values["lr_scheduler_type"] = train.lr_scheduler_type
        values["lr_scheduler_kwargs"] = dict(train.lr_scheduler_kwargs)
    return values


def own_optimizer(train: TrainConfig) -> tuple[Any, dict[str, Any]] | None:
    """Class and keywords of an optimizer given as module:attr, or None."""
    if ":" not in train.optim:
        return None
    return load_attribute(train.optim, what="optimizer"), {"lr": train.learning_rate, **train.optim_args}


class EveryEpoch(torch.optim.lr_scheduler.LRScheduler):
    """Lets a scheduler that counts epochs be stepped once an optimizer step."""

    def __init__(self, inner: Any, steps_per_epoch: int) -> None:
        self.inner, self.steps_per_epoch, self.count = inner, max(1, steps_per_epoch), 0
        self.optimizer = inner.optimizer

    def step(self, epoch: int | None = None) -> None:
        """Step the inner scheduler at the end of each epoch."""
        self.count += 1
        if self.count % self.steps_per_epoch == 0:
            self.inner.step()

    def get_last_lr(self) -> list[Any]:
        """Learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The inner state and our count."""
        return {"inner": self.inner.state_dict(), "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.inner.load_state_dict(state_dict["inner"])
        self.count = state_dict["count"]


def own_scheduler(train: TrainConfig, optimizer: Any, *, steps_per_epoch: int) -> Any:
    """The scheduler given as module:attr; `interval: epoch` among its keywords steps it once an epoch.

    Raises ConfigError where it refuses its keywords.
    """
    keywords = dict(train.lr_scheduler_kwargs)
    interval = keywords.pop("interval", "step")
    if interval not in ("step", "epoch"):
        raise ConfigError("train.lr_scheduler_kwargs.interval is wrong", got=repr(interval), expected="step or epoch")
    try:
        inner = load_attribute(train.lr_scheduler_type, what="scheduler")(optimizer, **keywords)
    except TypeError as error:
        raise ConfigError(
            f"the scheduler {train.lr_scheduler_type} refused its keywords: {error}", got=keywords
        ) from error
    if interval == "step":
        return inner
    if isinstance(inner, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ConfigError(
            f"{train.lr_scheduler_type} follows evaluations, not epochs",
            got="train.lr_scheduler_kwargs.interval=epoch",
            fix="take interval out; train.eval_strategy says when it is stepped",
        )
    return EveryEpoch(inner, steps_per_epoch)


def enable_gradient_checkpointing(model: nn.Module) -> None:
    """Recompute activations in the backward pass; the non-reentrant form works with frozen inputs (LoRA)."""
    keywords = {"use_reentrant": False}
    # transformers 5.23 renames both and warns at the old names.
    enable: Any = getattr(model, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs=keywords)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=keywords)  # type: ignore[operator]
