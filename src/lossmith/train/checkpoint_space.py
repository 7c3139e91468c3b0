"""Whether the disk holds what a training will write, known before its first step."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.config.train import TrainConfig
from lossmith.errors import LossmithError
from lossmith.runs import RunFolder
from lossmith.train.preflight import Plan

# Bytes that an optimizer keeps of each fp32 weight that trains; of others, and of one's own, as Adam: two numbers.
STATE_BYTES: Mapping[str, float] = {
    "sgd": 0.0,
    "adafactor": 0.1,
    "lion_32bit": 4.0,
    "lion_8bit": 1.0,
    "paged_lion_32bit": 4.0,
    "paged_lion_8bit": 1.0,
    "adamw_8bit": 2.0,
    "adamw_bnb_8bit": 2.0,
    "paged_adamw_8bit": 2.0,
    "rmsprop": 4.0,
    "adagrad": 4.0,
}
ADAM_BYTES = 8.0
GIB = 2**30


def state_bytes(optim: str) -> float:
    """What an optimizer keeps of a weight, in bytes.

    >>> state_bytes("adamw_torch"), state_bytes("sgd")
    (8.0, 0.0)
    """
    return STATE_BYTES.get(optim, ADAM_BYTES)


def model_bytes(model: Any) -> int:
    """What saving the model writes: all its weights, or of an adapter the weights that train."""
    adapter = hasattr(model, "peft_config")
    kept = [weight for weight in model.parameters() if weight.requires_grad or not adapter]
    return sum(weight.numel() * weight.element_size() for weight in kept)


def checkpoint_bytes(model: Any, optim: str) -> int:
    """What one checkpoint takes: the model's part, and the optimizer's of the weights that train."""
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return model_bytes(model) + round(trained * state_bytes(optim))


def most_checkpoints(train: TrainConfig, plan: Plan) -> int:
    """How many checkpoints may lie on the disk at once: those kept, and one that is being written."""
    saves = [
        times(getattr(train, f"{what}_strategy"), getattr(train, f"{what}_steps"), plan)
        for what in (("save", "eval") if train.load_best_model_at_end else ("save",))
    ]
    if (limit := train.save_total_limit) is None:
        return sum(saves)
    beside = limit == 1 and train.load_best_model_at_end  # the best is kept beside a single newest one
    return min(sum(saves), limit + beside + 1)


def check_space(run: RunFolder, train: TrainConfig, plan: Plan, model: Any) -> None:
    """Raise LossmithError, with the numbers, where checkpoints and model do not fit on the disk of the run.

    What checkpoints of an interrupted training hold counts as free: they make place for later ones. Of several
    processes the one that writes is asked.
    """
    if not run.writes:
        return
    one, count = checkpoint_bytes(model, train.optim), most_checkpoints(train, plan)
    needed = one * count + model_bytes(model)
    free = shutil.disk_usage(run.path).free + _held(run.checkpoints)
    if needed <= free:
        return
    raise LossmithError(
        "the disk will be full before training ends",
        got=f"{free / GIB:.2f} GiB free at {run.path}",
        expected=f"{needed / GIB:.2f} GiB: {count} checkpoints of {one / GIB:.2f} GiB at once, and the model",
        fix="free space, choose another runs_dir, lower train.save_total_limit, or train an adapter",
    )


def times(strategy: str, steps: int | None, plan: Plan) -> int:
    """How often a training saves, or evaluates, by the strategy for it."""
    if strategy == "no":
        return 0
    every = plan.steps_per_epoch if strategy == "epoch" or steps is None else steps
    return math.ceil(plan.total_steps / every)


def _held(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
