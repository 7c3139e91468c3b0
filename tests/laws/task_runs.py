"""Tiny runs of every task of the table, on which the laws of counting are held, in one process and in several.

As a program under torchrun it trains one window of each and writes the gradients of its process:
`python -m torch.distributed.run --nproc-per-node=2 -m tests.laws.task_runs FOLDER SIZE ACCUMULATION`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
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

TINY = [
    "model.base=scratch-tiny", "model.vocab_size=290", "model.hidden_size=16", "model.num_hidden_layers=1",
    "model.num_attention_heads=2",
]  # fmt: skip

# Documents of unlike length, and as always no dropout where gradients are compared.
DOCUMENTS = [
    "model.base=tfidf-svd", "data.chunks={by: words, size: 2, overlap: 1}", "task.k=3", "task.classifier_dropout=0",
    "train.early_stopping_patience=null",
]  # fmt: skip


@dataclass(frozen=True)
class TaskRun:
    """A task of the table, how it is configured, and the losses that all its terms are made of."""

    task: str
    given: list[str]
    losses: tuple[str, ...]
    term: str = "{weight: 0.2}"

    @property
    def objective(self) -> str:
        """Every loss as a term."""
        return "{" + ", ".join(f"{name}: {self.term}" for name in self.losses) + "}"


def _of(activation: str) -> tuple[str, ...]:
    return tuple(name for name, row in LOSSES.items() if row.activation == activation)


# Every task of the table has a run here, and every loss that a task can read is a term of one.
RUNS: dict[str, TaskRun] = {
    "causal": TaskRun(
        "causal",
        [*TINY, "data.template={prompt: '{{ p }}', answer: '{% span \"part\" %}{{ a }}{% endspan %}{{ b }}'}"],
        tuple(name for name, row in LOSSES.items() if row.reads == "tokens"),
        "{weight: 0.2, span: part}",
    ),
    "pairs": TaskRun(
        "seq2seq",
        [*TINY, "data.template={prompt: '{{ p }}', answer: '{% span \"part\" %}{{ a }}{% endspan %}{{ b }}'}"],
        tuple(name for name, row in LOSSES.items() if row.reads == "tokens"),
        "{weight: 0.2, span: part}",
    ),
    "classes": TaskRun(
        "classification",
        [*TINY, "data.template={text: '{{ p }}', pair: '{{ a }}'}", "data.label=kind"],
        _of("softmax"),
        "{weight: 0.2, class_weight: balanced}",
    ),
    "labels": TaskRun(
        "classification",
        [*TINY, "data.template={text: '{{ p }} {{ a }}'}", "data.label=[even, third, large]"],
        _of("sigmoid"),
    ),
    "yes or no": TaskRun(
        "classification",
        [*TINY, "data.template={text: '{{ p }} {{ a }}'}", "data.label=even", "model.architecture=qwen3"],
        ("binary_cross_entropy", "binary_focal"),
    ),
    "documents": TaskRun(
        "retrieval",
        [*DOCUMENTS, "data.template={text: '{{ a | list | join(\" \") }} {{ b }}', pair: '{{ kind }}'}", "data.label=even"],
        ("query_diversity", *_of("softmax")),
    ),
    "labels of documents": TaskRun(
        "retrieval",
        [*DOCUMENTS, "data.template={text: '{{ a | list | join(\" \") }} {{ b }}'}", "data.label=[even, third, large]"],
        ("query_diversity", *_of("sigmoid")),
    ),
    "groups": TaskRun(
        "classification",
        [
            *TINY, "data.template={text: '{{ p }} {{ a }}'}", "data.label=even", "data.group=kind",
            "train.sampler=balanced_groups",
        ],
        _of("softmax"),
        "{weight: 0.2, class_weight: balanced, weights_by: worst_group}",
    ),
}  # fmt: skip
PLAIN = {
    "num_train_epochs": 1, "eval_strategy": "no", "save_strategy": "no", "max_grad_norm": 0, "logging_steps": 1,
    "load_best_model_at_end": "false", "device": "cpu",
}  # fmt: skip
RECORDS = 8


def write_records(folder: Path) -> Path:
    """A window of ragged training records, and as many for validation."""
    file = folder / "records.jsonl"
    records = [
        {
            "p": "pq"[n % 2] * (n + 1), "a": "xy" * n + "z", "b": str(n), "kind": "abc"[n % 7 % 3],
            "even": 1 - n % 2, "third": int(n % 3 == 0), "large": int(n > 4), "split": split,
        }
        for split in ("train", "validation")
        for n in range(RECORDS)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def built(
    name: str, folder: Path, *more: str, objective: str | None = None, **train: object
) -> tuple[ObjectiveTrainer, Callable[[], list[dict[str, Any]]], list[str]]:
    """A trainer on the records in `folder`, what trains it and gives the history, and the warnings it gives."""
    of, name = RUNS[name], f"run-{len(list(folder.glob('run-*')))}-{os.environ.get('RANK', '0')}"
    given = [
        *of.given, f"data.files={folder / 'records.jsonl'}", f"runs_dir={folder}", f"name={name}",
        "data.split={validation: 0, test: 0, column: split}", f"objective={objective or of.objective}", "tracking.report_to=[]",
        *(f"train.{key}={value}" for key, value in {**PLAIN, **train}.items()), *more,
    ]  # fmt: skip
    config = require_complete(load_config(of.task, given))
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


def first_gradient(run: str, folder: Path, *, size: int, accumulation: int) -> dict[str, Tensor]:
    """The gradient of the one window of all records, in micro-batches of `size` in each process."""
    cut = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
    trainer, train_it, _ = built(run, folder, **cut)
    watch = FirstGradient()
    trainer.add_callback(watch)
    train_it()
    assert trainer.state.global_step == 1
    return watch.found


if __name__ == "__main__":
    folder, size, accumulation = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for number, run in enumerate(RUNS):
        gradient = first_gradient(run, folder, size=size, accumulation=accumulation)
        assert torch.distributed.get_world_size() == 2 and torch.distributed.get_backend() == "gloo"
        torch.save(gradient, folder / f"gradient-{number}-{os.environ['RANK']}.pt")
