"""A classification trains the same however its windows are cut, and whenever it is stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

import lossmith
from lossmith.runs import read_jsonl
from lossmith.train.checkpoints import complete_checkpoints

STOP = "LOSSMITH_TEST_STOPS_AT"
TINY = [
    "model.base=scratch-tiny", "model.vocab_size=290", "model.hidden_size=16", "model.num_hidden_layers=1",
    "model.num_attention_heads=2", "tracking.report_to=[]", "train.device=cpu", "train.logging_steps=1",
    "data.split={validation: 0, test: 0, column: split}", "data.template={text: '{{ text }}'}",
]  # fmt: skip
# Weights that differ by class, labels of which an example has several, and terms by task.
OBJECTIVES = {
    "classes": ["data.label=kind", "objective={class_cross_entropy: {weight: 1, class_weight: balanced}}"],
    "labels": [
        "data.label=[even, third]",
        "objective={binary_cross_entropy: {weight: 0.7, pos_weight: auto}, multilabel_dice: 0.3}",
    ],
    "by task": [
        "data.label=kind", "data.task=task",
        "objective={class_focal: 0.5, by_task: {maths: {class_cross_entropy: {class_weight: effective_number}}}}",
    ],
}  # fmt: skip


class StopsAtStep(TrainerCallback):
    """Ends training as a failure would, where the environment says so."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == int(os.environ.get(STOP, "0")):
            raise RuntimeError("stopped by the test")


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., list[str]]:
    records = [
        {
            "text": "xy" * (n % 9) + "abc"[n % 7 % 3] * (1 + n * 7 % 31), "kind": "abc"[n % 7 % 3], "even": n % 2,
            "third": int(n % 3 == 0), "task": ("maths", "chem")[n % 5 > 1],
            "split": "train" if n < 20 else "validation",
        }
        for n in range(32)
    ]  # fmt: skip
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(map(json.dumps, records)))

    def make(name: str, *more: str, **train: object) -> list[str]:
        keys = [f"train.{key}={value}" for key, value in train.items()]
        return [*TINY, f"data.files={file}", f"runs_dir={tmp_path / 'runs'}", f"name={name}", *keys, *more]

    return make


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def difference(one: Path, other: Path) -> float:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


PLAIN = {
    "optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant", "num_train_epochs": 2, "max_grad_norm": 0,
    "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": "false",
}  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_however_a_window_is_cut_training_moves_to_the_same_weights(objective: str, given: Callable[..., list[str]]):
    # 20 records in windows of 8: the last window of each epoch is short.
    results = []
    for size, steps in ((8, 1), (4, 2), (2, 4)):
        cut = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
        name = f"{objective}-{size}x{steps}"
        results.append(
            lossmith.train("classification", given(name, *OBJECTIVES[objective], **PLAIN, **cut), quiet=True)
        )
    still = given(f"{objective}-still", *OBJECTIVES[objective], **(PLAIN | {"learning_rate": 1e-12}))
    moved = difference(results[0].path, lossmith.train("classification", still, quiet=True).path)
    assert moved > 1e-2
    for result in results[1:]:
        assert difference(results[0].path, result.path) < 1e-4 * moved
        for name in ("loss", "accuracy"):
            assert result.history[name] == pytest.approx(results[0].history[name], rel=1e-5)


# Saves fall between evaluations, and dropout draws random numbers.
STEPS = {
    "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_train_epochs": 3, "learning_rate": 0.01,
    "lr_scheduler_type": "cosine", "logging_steps": 4, "eval_strategy": "steps", "eval_steps": 3,
    "save_strategy": "steps", "save_steps": 2, "metric_for_best_model": "f1_macro", "early_stopping_patience": 9,
}  # fmt: skip
DROPOUT = [
    "model.adapter=lora",
    "model.lora_dropout=0.3",
    "train.callbacks=[tests.equivalence.test_classification:StopsAtStep]",
]


@pytest.mark.parametrize("step", [1, 9])
def test_stopped_at_any_step_it_ends_as_the_undisturbed_run(
    step: int, given: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
):
    objective = OBJECTIVES["classes"]
    undisturbed = lossmith.train("classification", given("undisturbed", *objective, *DROPOUT, **STEPS), quiet=True)
    stopped = given("stopped", *objective, *DROPOUT, **STEPS)
    monkeypatch.setenv(STOP, str(step))
    with pytest.raises(RuntimeError, match="stopped by the test"):
        lossmith.train("classification", stopped, quiet=True)
    monkeypatch.delenv(STOP)
    again = lossmith.train("classification", stopped, resume=True, quiet=True)
    assert difference(undisturbed.path, again.path) == 0
    (one, other) = (
        [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(path / "history.jsonl")]
        for path in (undisturbed.path, again.path)
    )
    assert one == other
    assert undisturbed.best_step == again.best_step
    saved = [
        [kept.name for kept in complete_checkpoints(path / "checkpoints")] for path in (undisturbed.path, again.path)
    ]
    assert saved[0] == saved[1]
