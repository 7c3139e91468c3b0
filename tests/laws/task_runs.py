"""One tiny run for each task of the table, on which the laws of counting are held, in one process and in several.

As a program under torchrun it trains one window and writes the gradient of its process:
`python -m torch.distributed.run --nproc-per-node=2 -m tests.laws.task_runs TASK FOLDER SIZE ACCUMULATION`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from lossmith.config.load import load_config, require_complete
from lossmith.losses import LOSSES
from lossmith.runs import RunFolder, read_jsonl
from lossmith.train.loop import build_trainer, fit
from lossmith.train.run import prepare_in
from lossmith.train.trainer import ObjectiveTrainer

# A task's own configuration; every task of the table has one here.
RUNS: dict[str, list[str]] = {
    "causal": [
        "model.base=scratch-tiny", "model.vocab_size=290", "model.hidden_size=16", "model.num_hidden_layers=1",
        "model.num_attention_heads=2",
        "data.template={prompt: '{{ p }}', answer: '{% span \"part\" %}{{ a }}{% endspan %}{{ b }}'}",
    ],
}  # fmt: skip
PLAIN = {
    "num_train_epochs": 1, "eval_strategy": "no", "save_strategy": "no", "max_grad_norm": 0, "logging_steps": 1,
    "load_best_model_at_end": "false", "device": "cpu",
}  # fmt: skip
RECORDS = 8
COUNTED = [name for name, row in LOSSES.items() if row.reads == "tokens"]
ALL_TERMS = "{" + ", ".join(f"{name}: {{weight: 0.2, span: part}}" for name in COUNTED) + "}"


def write_records(folder: Path) -> Path:
    """A window of ragged training records, and as many for validation."""
    file = folder / "records.jsonl"
    records = [
        {"p": "pq"[n % 2] * (n + 1), "a": "xy" * n + "z", "b": str(n), "split": split}
        for split in ("train", "validation")
        for n in range(RECORDS)
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def built(
    task: str, folder: Path, *more: str, objective: str = ALL_TERMS, **train: object
) -> tuple[ObjectiveTrainer, Callable[[], list[dict[str, Any]]], list[str]]:
    """A trainer on the records in `folder`, what trains it and gives the history, and the warnings it gives."""
    name = f"run-{len(list(folder.glob('run-*')))}-{os.environ.get('RANK', '0')}"
    given = [
        *RUNS[task], f"data.files={folder / 'records.jsonl'}", f"runs_dir={folder}", f"name={name}",
        "data.split={validation: 0, test: 0, column: split}", f"objective={objective}", "tracking.report_to=[]",
        *(f"train.{key}={value}" for key, value in {**PLAIN, **train}.items()), *more,
    ]  # fmt: skip
    config = require_complete(load_config(task, given))
    assert config.train is not None
    run, warnings, settings = RunFolder(folder / name), list[str](), config.train
    trainer, _ = build_trainer(run, config, prepare_in(run, config), warn=warnings.append)

    def train_it() -> list[dict[str, Any]]:
        fit(trainer, run, settings, total_steps=trainer.work.total_steps)
        return read_jsonl(run.history)

    return trainer, train_it, warnings


class FirstGradient(TrainerCallback):
    """The gradient of the first window, as it stands before the optimizer's step."""

    found: dict[str, Tensor]

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == 0:
            named = more["model"].named_parameters()
            self.found = {n.removeprefix("module."): p.grad.clone() for n, p in named if p.grad is not None}


def first_gradient(task: str, folder: Path, *, size: int, accumulation: int) -> dict[str, Tensor]:
    """The gradient of the one window of all records, in micro-batches of `size` in each process."""
    cut = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
    trainer, train_it, _ = built(task, folder, **cut)
    watch = FirstGradient()
    trainer.add_callback(watch)
    train_it()
    assert trainer.state.global_step == 1
    return watch.found


if __name__ == "__main__":
    task, folder, size, accumulation = sys.argv[1:]
    gradient = first_gradient(task, Path(folder), size=int(size), accumulation=int(accumulation))
    assert torch.distributed.get_world_size() == 2 and torch.distributed.get_backend() == "gloo"
    torch.save(gradient, Path(folder) / f"gradient-{os.environ['RANK']}.pt")
