"""A training killed at any moment goes on as if nothing had happened: same history, same weights, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lossmith.runs import RunFolder, read_jsonl
from lossmith.train.checkpoints import complete_checkpoints, step_of

OBJECTIVE = "objective={cross_entropy: 0.6, generalized_dice: 0.2, sinkhorn: {weight: 0.2, span: items}}"
# Saves fall between log lines, evaluations between saves, and an epoch of 5 windows ends in the middle of both.
STEPS = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 12,
    "learning_rate": 0.03,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 3,
    "logging_steps": 4,
    "eval_strategy": "steps",
    "eval_steps": 3,
    "save_strategy": "steps",
    "save_steps": 2,
    "early_stopping_patience": 9,
    "early_stopping_threshold": "0.5%",
    "share_steps": 7,
}
DROPOUT = ["model.adapter=lora", "model.lora_dropout=0.3", "model.lora_target_modules=all-linear"]


def command(given: list[str], *flags: str) -> list[str]:
    return [sys.executable, "-m", "lossmith.cli", "train", "causal", *given, "--quiet", *flags]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start(given: list[str], *flags: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(given, *flags), env=environment(), stdout=subprocess.DEVNULL)


def finish(given: list[str], *flags: str) -> None:
    done = subprocess.run(command(given, *flags), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def history(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(RunFolder(run).history)]


def patience(run: Path, *, stopping: bool = True) -> dict[str, Any]:
    last = complete_checkpoints(RunFolder(run).checkpoints)[-1]
    state = json.loads((last / "trainer_state.json").read_text())
    return {
        "step": step_of(last),
        "stopping": state["stateful_callbacks"]["EarlyStopping"] if stopping else None,
        "best": state["best_metric"],
    }


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool], *, after: float = 0.0) -> bool:
    """Kill -9 once `ready`; False where the process was done before."""
    while process.poll() is None and not ready():
        time.sleep(0.005)
    time.sleep(after)
    if process.poll() is not None:
        assert process.returncode == 0, "training failed; what it said stands above"
        return False
    process.send_signal(signal.SIGKILL)
    process.wait()
    return True


# With an adapter dropout draws random numbers; with all weights the embeddings move, and the scale of Sinkhorn's points
# with them.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "more", [pytest.param(DROPOUT, id="adapter"), pytest.param(["train.learning_rate=0.003"], id="all weights")]
)
def test_killed_at_random_moments_it_ends_as_the_undisturbed_run(
    more: list[str], overrides: Callable[..., list[str]], tmp_path: Path
):
    undisturbed = overrides("undisturbed", OBJECTIVE, **STEPS) + more
    finish(undisturbed)
    whole = tmp_path / "runs" / "undisturbed"
    disturbed = overrides("disturbed", OBJECTIVE, **STEPS) + more
    folder = tmp_path / "runs" / "disturbed"
    rng = random.Random(3)
    checkpoints = RunFolder(folder).checkpoints
    kills = 0
    for wanted in (4, 16, 30):
        process = start(disturbed, *(["--resume"] if kills else []))

        def reached(least: int = wanted) -> bool:
            saved = complete_checkpoints(checkpoints)
            return bool(saved) and step_of(saved[-1]) >= least

        kills += kill_when(process, reached, after=rng.uniform(0, 0.15))
    assert kills >= 2, "training was over before it could be killed: make it longer"
    finish(disturbed, "--resume")
    assert history(folder) == history(whole)
    assert patience(folder) == patience(whole)
    first, second = (load_file(run / "model" / "model.safetensors") for run in (whole, folder))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first.keys() == second.keys()


@pytest.mark.timeout(900)
def test_two_processes_killed_and_resumed_end_as_undisturbed(overrides: Callable[..., list[str]], tmp_path: Path):
    # Dropout draws other random numbers in each process, so that each must take up its own.
    steps = {**STEPS, "per_device_train_batch_size": 1, "num_train_epochs": 3, "early_stopping_patience": "null"}

    def together(given: list[str], *flags: str) -> list[str]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        return [*torchrun, *command(given, *flags)[1:]]

    def run_whole(given: list[str], *flags: str) -> None:
        done = subprocess.run(
            together(given, *flags), env=environment(), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]

    undisturbed = [*overrides("undisturbed", OBJECTIVE, **steps), *DROPOUT]
    run_whole(undisturbed)
    disturbed = [*overrides("disturbed", OBJECTIVE, **steps), *DROPOUT]
    whole, folder = (tmp_path / "runs" / name for name in ("undisturbed", "disturbed"))
    assert RunFolder(whole).manifest()["processes"] == 2
    checkpoints = RunFolder(folder).checkpoints
    process = subprocess.Popen(
        together(disturbed), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while process.poll() is None and not ((saved := complete_checkpoints(checkpoints)) and step_of(saved[-1]) >= 6):
            time.sleep(0.005)
        assert process.poll() is None, "training was over before it could be killed: make it longer"
    finally:
        # The group of the launcher, which is of its own: both workers with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run_whole(disturbed, "--resume")
    assert history(folder) == history(whole)
    assert patience(folder, stopping=False) == patience(whole, stopping=False)
    first, second = (load_file(run / "model" / "model.safetensors") for run in (whole, folder))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_unfinished_folder_is_refused_and_both_flags_are_named(overrides: Callable[..., list[str]], tmp_path: Path):
    given = overrides("again", **STEPS)
    process = start(given)
    saved = RunFolder(tmp_path / "runs" / "again").checkpoints
    assert kill_when(process, lambda: bool(complete_checkpoints(saved)))
    refused = subprocess.run(command(given), env=environment(), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    assert "--fresh" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_killed_after_the_last_checkpoint_only_the_model_is_written(
    overrides: Callable[..., list[str]], tmp_path: Path
):
    import shutil

    given = overrides("done", **STEPS)
    finish(given)
    run = RunFolder(tmp_path / "runs" / "done")
    before, lines = load_file(run.model / "model.safetensors"), history(run.path)
    shutil.rmtree(run.model)
    finish(given, "--resume")
    after = load_file(run.model / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert history(run.path) == lines
