"""`lossmith plan`: what a training will take on this machine, and what to change where it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossmith.config.load import load_config, require_complete
from lossmith.config.schema import Config
from lossmith.doctor.plan.changes import Change, changes
from lossmith.doctor.plan.estimate import Estimate, estimate
from lossmith.doctor.plan.machine import Machine
from lossmith.doctor.plan.short_run import Measured, measure
from lossmith.errors import ConfigError
from lossmith.models.precision import choose_precision
from lossmith.tasks.prepare import prepare_config
from lossmith.train.preflight import check_names

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class TrainingPlan:
    """An estimate with the device it is for, what would make it smaller where it does not fit, and, where it was asked
    for, what a few real steps took.
    """

    config: Config
    machine: Machine
    estimate: Estimate
    changes: tuple[Change, ...] = ()
    measured: Measured | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values: bytes, seconds, numbers of tokens and steps."""
        found = self.estimate
        return {
            "name": self.config.name,
            "task": self.config.task.kind,
            "base": self.config.model.base,
            "device": str(self.machine.precision.device),
            "dtype": self.machine.precision.name,
            "parameters": found.parameters,
            "trainable_parameters": found.trainable,
            "dense": found.dense,
            "steps": {
                "records": found.steps.records,
                "per_epoch": found.steps.steps_per_epoch,
                "total": found.steps.total_steps,
                "warmup": found.steps.warmup_steps,
                "evaluations": found.evaluations,
            },
            found.unit: {
                "per_epoch": found.tokens_per_epoch,
                "total": found.tokens,
                "usual_batch": found.usual,
                "largest_batch": found.largest,
            },
            "memory": found.memory.as_json(),
            "seconds": {
                "step": found.step_seconds,
                "evaluation": found.evaluation_seconds,
                "total": found.seconds,
            },
            "changes": [change.as_json() for change in self.changes],
            "measured": None if self.measured is None else asdict(self.measured),
        }


def make_plan(
    target: str | Path | Config,
    overrides: Sequence[str] = (),
    *,
    room: int | None = None,
    measured: bool = False,
    progress: Progress | None = None,
) -> TrainingPlan:
    """Plan the training of a configuration; its rows are prepared where they are not yet.

    `room` are bytes to plan for instead of those that this device has left; `measured` takes a few real steps.
    Raises ConfigError where nothing is to be trained, and whatever training would raise before its first step.
    """
    config = require_complete(load_config(target, overrides))
    train = config.train
    if train is None:
        raise ConfigError("train is null, so there is nothing to plan", fix="lossmith run evaluates the base model")
    check_names(config)
    prepared = prepare_config(config, progress=progress)
    precision = choose_precision(device=train.device, dtype=config.model.dtype)
    machine = Machine.of(precision, room=room)
    found = estimate(config, prepared, machine)
    smaller: list[Change] = []
    if not found.memory.fits:

        def peak_of(more: tuple[str, ...]) -> int:
            return estimate(load_config(config, more), prepared, machine).memory.peak.total

        smaller = changes(config, machine, peak_of)
    taken = None
    if measured:
        windows = train.gradient_accumulation_steps
        taken = measure(
            config,
            prepared,
            usual=found.rows["usual"] * windows,
            largest=found.rows["largest"] * windows,
        )
    return TrainingPlan(config, machine, found, tuple(smaller), taken)
