"""However a window is cut into micro-batches, the gradient is the same: training moves to the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import lossmith

OBJECTIVES = {
    "token": ["objective={cross_entropy: 0.6, focal: {weight: 0.4, span: items}}"],
    "set": [
        "objective={cross_entropy: 0.5, generalized_dice: 0.2, lovasz_softmax: {weight: 0.2, span: [answer, -items]},"
        " sinkhorn: {weight: 0.3, span: items}}"
    ],
    # Windows, micro-batches and processes hold the tasks in other numbers each, some none of one.
    "by task": [
        "data.task=kind",
        "objective={focal: 0.2, by_task: {maths: {cross_entropy: 0.3, lovasz_softmax: 0.1},"
        " chem: {cross_entropy: {weight: 0.2, span: items}, sinkhorn: {weight: 0.1, span: items}}}}",
    ],
}
PLAIN = {
    "optim": "sgd",
    "learning_rate": 0.5,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 2,
    "max_grad_norm": 0,
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": "false",
    "logging_steps": 1,
}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def largest_difference(one: Path, other: Path) -> float:
    first, second = weights(one), weights(other)
    assert set(first) == set(second)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_8x1_4x2_and_2x4_train_to_the_same_weights(objective: str, overrides: Callable[..., list[str]]):
    # 20 records in windows of 8: the last window of each epoch is short.
    runs, histories = [], []
    for size, steps in ((8, 1), (4, 2), (2, 4), (1, 8)):
        given = overrides(
            f"{objective}-{size}x{steps}",
            *OBJECTIVES[objective],
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            **PLAIN,
        )
        result = lossmith.train("causal", given, quiet=True)
        runs.append(result.path)
        histories.append(result.history)
    start = lossmith.train(
        "causal", overrides("start", *OBJECTIVES[objective], **(PLAIN | {"learning_rate": 1e-12})), quiet=True
    )
    moved = largest_difference(runs[0], start.path)
    assert moved > 1e-2
    assert histories[0]["step"] == [1, 2, 3, 4, 5, 6]
    for run, history in zip(runs[1:], histories[1:], strict=True):
        assert largest_difference(runs[0], run) < 1e-4 * moved
        assert history["loss"] == pytest.approx(histories[0]["loss"], rel=1e-5)
        assert history["grad_norm"] == pytest.approx(histories[0]["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("objective", ["set", "by task"])
def test_two_processes_train_to_the_same_weights(objective: str, overrides: Callable[..., list[str]]):
    # 16 of the records, so that both processes see each of them once.
    more = [*OBJECTIVES[objective], "data.limit=16", "data.split={validation: 0, test: 0, column: null}"]
    alone = lossmith.train(
        "causal",
        overrides("alone", *more, per_device_train_batch_size=4, gradient_accumulation_steps=2, **PLAIN),
        quiet=True,
    )
    given = overrides("together", *more, per_device_train_batch_size=4, **PLAIN)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-port=29731",
        "-m",
        "lossmith.cli",
    ]
    finished = subprocess.run(
        [*command, "train", "causal", *given, "--quiet"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    together = alone.path.parent / "together"
    assert largest_difference(alone.path, together) < 1e-5
    from lossmith.runs import RunFolder, read_jsonl

    assert RunFolder(together).manifest()["processes"] == 2
    ours, theirs = (read_jsonl(RunFolder(run).history) for run in (alone.path, together))
    assert [line["loss"] for line in theirs] == pytest.approx([line["loss"] for line in ours], rel=1e-5)
    assert [line["tokens"] for line in theirs] == [line["tokens"] for line in ours]
    for name in ours[0]["terms"]:
        values = ([line["terms"][name]["value"] for line in lines] for lines in (theirs, ours))
        assert next(values) == pytest.approx(next(values), rel=1e-4), name
