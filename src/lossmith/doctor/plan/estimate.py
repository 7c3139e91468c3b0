"""Memory and time of a training, from its configuration and its prepared rows alone: no weight is loaded or made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.doctor.plan.batches import largest_rows, shape_told, usual_rows
from lossmith.doctor.plan.live import bytes_of, largest
from lossmith.doctor.plan.machine import Machine
from lossmith.doctor.plan.memory import Memory, Phase
from lossmith.doctor.plan.optimizer_bytes import OptimizerNeeds, optimizer_needs
from lossmith.doctor.plan.subject import Subject, subject_of
from lossmith.doctor.plan.trace import Trace, trace_evaluation, trace_training, without_numbers
from lossmith.errors import LossmithError
from lossmith.losses import Objective
from lossmith.models.hidden import family_of, unwrap
from lossmith.tasks.prepare import prepared_tokenizer
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, task_of
from lossmith.train.arguments import enable_gradient_checkpointing
from lossmith.train.checkpoint_space import times
from lossmith.train.loop import training_rows
from lossmith.train.preflight import Plan, plan_steps
from lossmith.train.run import processes

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """What a training will take. `usual` and `largest` are batches in words, seconds those of a step, of one evaluation
    and of all; `rows` are the numbers of the rows of both batches.
    """

    memory: Memory
    steps: Plan
    evaluations: int
    tokens_per_epoch: int
    unit: str
    usual: str
    largest: str
    step_seconds: float
    evaluation_seconds: float
    trainable: int
    parameters: int
    dense: str | None
    rows: Mapping[str, list[int]]

    @property
    def tokens(self) -> int:
        """Tokens of all steps."""
        return round(self.tokens_per_epoch * self.steps.total_steps / self.steps.steps_per_epoch)

    @property
    def seconds(self) -> float:
        """Seconds of all steps and evaluations."""
        return self.steps.total_steps * self.step_seconds + self.evaluations * self.evaluation_seconds


@dataclass(frozen=True)
class _Batches:
    usual: Batch
    largest: Batch
    evaluated: Batch | None


@dataclass(frozen=True)
class _Traces:
    """Of the batches; `passing` are activations of the largest that no checkpointing spares, whenever they are made."""

    usual: Trace
    largest: Trace
    evaluated: Trace | None
    passing: int


def estimate(config: Config, prepared: Prepared, machine: Machine) -> Estimate:
    """Of a configuration that trains.

    Raises ConfigError and DataError as training would before its first step, and LossmithError for a model that cannot
    be followed without numbers.
    """
    train, precision = config.train, machine.precision
    assert train is not None
    task = task_of(config)
    given = Given(config, prepared, prepared_tokenizer(prepared), precision)
    written = Objective(config.objective, tile_bytes=train.tile_mib * 2**20 if train.tile_mib else None)
    objective, _ = task.weigh(written, given)
    rows = training_rows(prepared, train, seed=config.seed, columns=task.columns)
    task.check(objective, rows, given)
    steps = plan_steps(train, records=len(rows["train"]), processes=processes(), terms=len(objective.terms))
    collate, size = task.collator(objective, given), train.per_device_train_batch_size
    subject = subject_of(given, objective, collate)
    chosen = {
        "usual": usual_rows(rows["train"], size, seed=config.seed),
        "largest": largest_rows(rows["train"], size),
    }
    validation = rows.get("validation")
    longest = largest_rows(validation, train.per_device_eval_batch_size) if validation is not None else None
    batches = _Batches(
        collate(chosen["usual"]), collate(chosen["largest"]), None if longest is None else collate(longest)
    )
    needs = optimizer_needs(train, precision=precision, speed=machine.speed)
    trained = sum(parameter.numel() for parameter in subject.trained)
    memory, traces = _memory(subject, batches, needs, config=config, machine=machine)
    micro = traces.usual.seconds + subject.objective_seconds(batches.usual, machine.speed, training=True)
    return Estimate(
        memory=memory,
        steps=steps,
        evaluations=times(train.eval_strategy, train.eval_steps, steps) if validation is not None else 0,
        tokens_per_epoch=int(rows["train"].lengths.sum()),
        unit=task.unit,
        usual=shape_told(batches.usual),
        largest=shape_told(batches.largest),
        step_seconds=micro * train.gradient_accumulation_steps + needs.seconds * trained,
        evaluation_seconds=_evaluation_seconds(subject, batches, traces, validation, machine),
        trainable=subject.loaded.trainable,
        parameters=subject.loaded.total,
        dense=subject.dense,
        rows={name: [row["row"] for row in found] for name, found in chosen.items()},
    )


def _memory(
    subject: Subject, batches: _Batches, needs: OptimizerNeeds, *, config: Config, machine: Machine
) -> tuple[Memory, _Traces]:
    """By phase, from the second step on: the first finds no state of the optimizer."""
    trained = sum(parameter.numel() for parameter in subject.trained)
    gradients, state = bytes_of(subject.trained), round(needs.kept * trained)
    step = needs.in_a_step(trained, largest(subject.trained))
    losses = {
        "training": subject.objective_bytes(batches.largest, training=True),
        "evaluation": subject.objective_bytes(batches.evaluated, training=False) if batches.evaluated else 0,
    }
    traces = _traced(subject, batches, config=config, machine=machine)
    most, evaluated = traces.largest, traces.evaluated
    kept_back = round(machine.keeps * traces.passing)

    def phase(name: str, *, gradients: int, optimizer: int = state, activations: int = 0, loss: int = 0) -> Phase:
        return Phase(
            name,
            process=machine.process,
            weights=subject.weights,
            gradients=gradients,
            optimizer=optimizer,
            activations=activations,
            loss=loss,
            allocator=kept_back,
        )

    unpacked, head = subject.unpacked, subject.head_gradient
    forward, kept, backward = most.forward, most.kept, most.backward
    phases = [
        phase("forward", gradients=forward.gradients, activations=forward.activations + unpacked),
        phase("loss", gradients=kept.gradients + head, activations=kept.activations, loss=losses["training"]),
        phase("backward", gradients=backward.gradients, activations=backward.activations + unpacked),
        phase("optimizer step", gradients=gradients, optimizer=state + step),
    ]
    if evaluated is not None:
        ends = (evaluated.forward.activations + unpacked, evaluated.kept.activations + losses["evaluation"])
        phases.append(phase("evaluation", gradients=0, activations=max(ends)))
    return Memory(phases, machine.room), traces


def _traced(subject: Subject, batches: _Batches, *, config: Config, machine: Machine) -> _Traces:
    """The batches followed through the model, which is of no use afterwards."""
    model, train = subject.loaded.model, config.train
    assert train is not None
    precision, speed, windows = machine.precision, machine.speed, train.gradient_accumulation_steps

    def trace(batch: Batch, windows: int) -> Trace:
        return trace_training(model, subject.forward, batch, precision=precision, windows=windows, speed=speed)

    try:
        with without_numbers(model, precision.device):
            passing = trace(batches.largest, 1).kept.activations
            if train.gradient_checkpointing:
                enable_gradient_checkpointing(model)
            usual, most = (trace(batch, windows) for batch in (batches.usual, batches.largest))
            evaluated = None
            if batches.evaluated is not None:
                evaluated = trace_evaluation(
                    model, subject.forward, batches.evaluated, precision=precision, speed=speed
                )
    except RuntimeError as error:
        raise LossmithError(
            f"this {family_of(unwrap(model))} model cannot be followed without its numbers",
            got=str(error).strip().splitlines()[0],
            expected="a model whose sizes do not depend on what it computes",
            fix="a few real steps tell what it takes: lossmith train ... train.max_steps=3 name=try, and its manifest",
        ) from error
    return _Traces(usual, most, evaluated, passing)


def _evaluation_seconds(
    subject: Subject, batches: _Batches, traces: _Traces, validation: Rows | None, machine: Machine
) -> float:
    """One evaluation of the whole split, by its tokens: of the batches the longest alone is followed."""
    if validation is None or traces.evaluated is None or batches.evaluated is None:
        return 0.0
    one = traces.evaluated.seconds + subject.objective_seconds(batches.evaluated, machine.speed, training=False)
    return one * float(validation.lengths.sum()) / max(1, int(batches.evaluated["tokens"]))
