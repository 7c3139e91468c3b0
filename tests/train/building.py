"""What the tests of training are made of: tiny settings, rows made to measure, and a look at each window."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from lossmith.config.schema import Config
from lossmith.config.train import TrainConfig
from lossmith.data.prepare import Prepared
from lossmith.models.load import Loaded
from lossmith.runs import RunFolder, read_jsonl
from lossmith.train.loop import fit
from lossmith.train.trainer import ObjectiveTrainer

PLAIN: Mapping[str, object] = {
    "optim": "sgd",
    "learning_rate": 0.5,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "max_grad_norm": 0,
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": "false",
    "logging_steps": 1,
}


@dataclass(frozen=True)
class Built:
    """A training ready to start."""

    trainer: ObjectiveTrainer
    loaded: Loaded
    run: RunFolder
    config: Config
    prepared: Prepared
    warnings: list[str]

    @property
    def train(self) -> TrainConfig:
        assert self.config.train is not None
        return self.config.train

    def fit(self) -> list[dict[str, Any]]:
        """Train as `lossmith train` does; returns the history."""
        fit(self.trainer, self.run, self.train, total_steps=self.trainer.work.total_steps)
        return read_jsonl(self.run.history)


class Windows(TrainerCallback):
    """Keeps the gradient of each window as it stands before the optimizer's step, and the rows it is made of."""

    def __init__(self, trainer: ObjectiveTrainer, model: nn.Module) -> None:
        self.trainer, self.model = trainer, model
        self.gradients: list[dict[str, Tensor]] = []
        self.rows: list[list[list[int]]] = []
        trainer.add_callback(self)

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        found = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        self.gradients.append(found)
        self.rows.append([rows.tolist() for rows in self.trainer._window_rows])


def row(number: int, *, prompt: int, answer: int, items: int = 0, low: int = 66, high: int = 290) -> dict[str, Any]:
    """A row of `prompt` tokens and `answer` supervised ones, of which the first `items` are the span `items`."""
    draw = random.Random(number)
    spans = [{"name": "items", "start": prompt, "end": prompt + items, "item": 0}] if items else []
    return {
        "id": f"row-{number}",
        "task": None,
        "prompt": "",
        "target": "",
        "input_ids": [draw.randrange(low, high) for _ in range(prompt + answer)],
        "prompt_length": prompt,
        "supervised": [{"start": prompt, "end": prompt + answer}],
        "spans": spans,
    }


def relative(found: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> float:
    """Norm of the difference over the norm of the truth, over all parameters together."""
    assert found.keys() == true.keys()
    difference = torch.stack([(found[n].double() - true[n].double()).norm() for n in true]).norm()
    return float(difference / torch.stack([g.double().norm() for g in true.values()]).norm())
