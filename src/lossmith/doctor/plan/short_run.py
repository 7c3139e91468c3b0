"""A few real steps in a process of their own: what a training really takes, for a plan to be held against."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback

from lossmith.config.load import as_yaml, load_config
from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.errors import LossmithError
from lossmith.runs import RunFolder
from lossmith.tasks.prepare import prepare_config
from lossmith.train.facts import peak_memory_bytes

# Steps on usual batches, of which the first is not timed, and on the largest, of which the second finds the optimizer's
# state.
USUAL_STEPS, LARGEST_STEPS = 4, 2
_ROWS = "rows"


@dataclass(frozen=True)
class Measured:
    """What a short run took: its highest point in bytes, and seconds of a step on usual batches."""

    peak_bytes: int
    step_seconds: float
    steps: int


def measure(config: Config, prepared: Prepared, *, usual: Sequence[int], largest: Sequence[int]) -> Measured:
    """Train some steps on these rows of the training split, from nothing, in a process of its own.

    `usual` are the rows of a window of usual batches, `largest` those of a window of the largest. Evaluation runs once
    on the longest rows of the validation split. Raises LossmithError where the process fails, as it does where memory
    is not enough.
    """
    with tempfile.TemporaryDirectory(prefix="lossmith-plan-") as place:
        folder = Path(place)
        _write_rows(folder / _ROWS, prepared, [*list(usual) * USUAL_STEPS, *list(largest) * LARGEST_STEPS])
        (folder / "config.yaml").write_text(as_yaml(_shortened(config, folder)), encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise LossmithError(
                "the measured steps did not come to an end",
                got=f"exit status {done.returncode}" + (f": {lines[-1]}" if lines else ""),
                expected="a few steps of training",
                fix="a status of -9 says that the system ran out of memory: make the changes that the plan names",
            )
        return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def _write_rows(folder: Path, prepared: Prepared, numbers: Sequence[int]) -> None:
    """A prepared folder with these training rows, in this order; all else is that of `prepared`."""
    folder.mkdir()
    for path in prepared.folder.iterdir():
        if path.name != "train.parquet":
            (folder / path.name).symlink_to(path)
    file = prepared.split_file("train")
    assert file is not None
    pq.write_table(pq.read_table(file).take(pa.array(numbers)), folder / "train.parquet")


def _shortened(config: Config, folder: Path) -> Config:
    train = config.train
    assert train is not None
    once = {
        "max_steps": USUAL_STEPS + LARGEST_STEPS,
        "eval_strategy": "no",
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "warmup_steps": 0,
        "early_stopping_patience": None,
        "callbacks": [],
    }
    return config.model_copy(
        update={
            "runs_dir": str(folder),
            "name": "short",
            "train": train.model_copy(update=once),
            "tracking": config.tracking.model_copy(update={"report_to": []}),
        }
    )


class _Watch(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop it, when the device is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._start)


def _run(folder: Path) -> Measured:
    """The short run itself."""
    from lossmith.train.loop import build_trainer

    config = load_config(folder / "config.yaml")
    prepared = replace(prepare_config(config), folder=folder / _ROWS)
    run = RunFolder(folder / "short")
    run.path.mkdir()
    trainer, loaded = build_trainer(run, config, prepared, warn=lambda _: None)
    # One batch after another as they were written.
    trainer._get_train_sampler = lambda *_: SequentialSampler(trainer.work.train)  # type: ignore[method-assign]
    watch = _Watch()
    trainer.add_callback(watch)
    trainer.train()
    if trainer.work.validation is not None:
        trainer.evaluate()
    device = next(loaded.model.parameters()).device
    peak = torch.cuda.max_memory_reserved(device) if device.type == "cuda" else peak_memory_bytes()
    return Measured(peak, statistics.median(watch.seconds[1:USUAL_STEPS]), len(watch.seconds))


if __name__ == "__main__":
    print(json.dumps(asdict(_run(Path(sys.argv[1])))))
