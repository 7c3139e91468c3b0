"""The pieces of a training put together: model, rows, objective, trainer; then fitted and saved."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lossmith.config.objective import written_terms
from lossmith.config.schema import Config
from lossmith.config.train import TrainConfig
from lossmith.data.prepare import Prepared
from lossmith.errors import ConfigError, DataError
from lossmith.losses import Objective
from lossmith.models.load import Loaded
from lossmith.models.precision import Precision, choose_precision
from lossmith.models.save import save_model
from lossmith.models.sentencepiece_file import copy_sentencepiece
from lossmith.names import load_attribute
from lossmith.runs import FACTS_FILE, RunFolder, write_json
from lossmith.tasks.asked_config import ASKED, asked_config
from lossmith.tasks.prepare import prepared_tokenizer, starting_model
from lossmith.tasks.references import asked_rows
from lossmith.tasks.rows import Rows, sample
from lossmith.tasks.task import Given, Pieces, Task, task_of
from lossmith.train.arguments import (
    enable_gradient_checkpointing,
    greater_is_better,
    own_optimizer,
    own_scheduler,
    training_arguments,
)
from lossmith.train.checkpoint_space import check_space
from lossmith.train.checkpoints import (
    clear_leftovers,
    complete_checkpoints,
    cut_history,
    given_checkpoint,
    step_of,
)
from lossmith.train.facts import objective_facts
from lossmith.train.learning_rate import doubts_of_rate, moved_by
from lossmith.train.measure import measure_answers
from lossmith.train.preflight import (
    Plan,
    plan_steps,
    tell,
    without_gradient,
)
from lossmith.train.progress import LastLine, LiveProgress
from lossmith.train.run import processes
from lossmith.train.samplers import Drawing, corrected_twice, plan_drawing
from lossmith.train.stopping import EarlyStopping
from lossmith.train.trainer import Measure, ObjectiveTrainer, Work

logger = logging.getLogger("lossmith")


def build_trainer(
    run: RunFolder, config: Config, prepared: Prepared, *, warn: Callable[[str], None]
) -> tuple[ObjectiveTrainer, Loaded]:
    """Everything that training needs, checked by the preflight.

    Raises DataError or ConfigError where the run cannot work.
    """
    train = config.train
    assert train is not None
    task = task_of(config)
    precision = choose_precision(device=train.device, dtype=config.model.dtype)
    given = Given(config, prepared, prepared_tokenizer(prepared), precision)
    written = Objective(config.objective, tile_bytes=train.tile_mib * 2**20 if train.tile_mib else None)
    objective, counted = task.weigh(written, given)
    rows = training_rows(prepared, train, seed=config.seed, columns=task.columns)
    for sentence in (*task.check(objective, rows, given), *_doubts(train, config, objective)):
        warn(sentence)
    drawing = _drawing(run, train, prepared)
    plan = plan_steps(train, records=len(rows["train"]), processes=processes(), terms=len(objective.terms))
    tell(plan, prepared.audit, say=logger.info, warn=warn)
    seed_everything(config.seed)
    loaded = task.load(starting_model(config), given, True)
    _say((*precision.notes, *loaded.notes), (*precision.warnings, *loaded.warnings), warn=warn)
    check_space(run, train, plan, loaded.model)
    if train.gradient_checkpointing:
        enable_gradient_checkpointing(loaded.model)
    ready = task.ready(loaded, rows["train"][0], objective, given)
    _say(ready.notes, ready.warnings, warn=warn)
    taken = Pieces(rows, task.collator(objective, given), ready.forward, ready.facts)
    if task.stored is not None:
        taken = task.stored(taken, loaded, given)
    run.update_manifest(
        model=_model_facts(config, loaded, more=taken.facts),
        objective=objective_facts(objective, counted),
        set_terms=[term.name for term in objective.terms if term.kind == "set"],
        device=str(precision.device),
        dtype=precision.name,
        plan=vars(plan),
    )
    work = Work(
        objective=objective,
        forward=taken.forward,
        train=taken.rows["train"],
        validation=taken.rows.get("validation"),
        collate=taken.collate,
        count=task.count,
        progress=LiveProgress(task.unit),
        run=run,
        warn=warn,
        figures=task.figures,
        measure=_measure(task, loaded, given),
        share_steps=plan.share_steps,
        checkpoints_kept=train.save_total_limit,
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
        drawing=drawing,
    )
    return _trainer(work, loaded.model, config, plan=plan, precision=precision), loaded


def _doubts(train: TrainConfig, config: Config, objective: Objective) -> tuple[str, ...]:
    """Sentences on what is configured and will probably disappoint."""
    return (
        *without_gradient(objective.terms),
        *corrected_twice(train.sampler, written_terms(config.objective)),
        *doubts_of_rate(train, moved_by(config)),
    )


def _say(notes: Sequence[str], warnings: Sequence[str], *, warn: Callable[[str], None]) -> None:
    for sentence in notes:
        logger.info("%s", sentence)
    for sentence in warnings:
        warn(sentence)


def _drawing(run: RunFolder, train: TrainConfig, prepared: Prepared) -> Drawing | None:
    """How train.sampler draws the training records, told and kept."""
    file = prepared.split_file("train")
    assert file is not None
    drawing = plan_drawing(train.sampler, file, prepared.classes)
    if drawing is not None:
        logger.info("%s", drawing.sentence())
        run.update_manifest(sampler=drawing.facts())
    return drawing


def _model_facts(config: Config, loaded: Loaded, *, more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "base": config.model.base,
        "adapter": config.model.resolved_adapter,
        "trainable_parameters": loaded.trainable,
        "parameters": loaded.total,
        **more,
    }


def _trainer(work: Work, model: nn.Module, config: Config, *, plan: Plan, precision: Precision) -> ObjectiveTrainer:
    run, train = work.run, config.train
    assert train is not None
    arguments = training_arguments(
        train,
        output_dir=run.checkpoints,
        seed=config.seed,
        precision=precision,
        report_to=[name for name in config.tracking.report_to if name != "tensorboard"],
    )
    callbacks: list[Any] = [
        work.progress,
        *(load_attribute(path, what="callback")() for path in train.callbacks),
    ]
    if train.early_stopping_patience:
        callbacks.append(early_stopping(train))
    if "tensorboard" in config.tracking.report_to:
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations import TensorBoardCallback

        callbacks.append(TensorBoardCallback(SummaryWriter(log_dir=str(run.tensorboard))))
    callbacks.append(LastLine())
    trainer = ObjectiveTrainer(
        model, arguments, work, callbacks=callbacks, optimizer_cls_and_kwargs=own_optimizer(train)
    )
    try:
        trainer.create_optimizer()
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(
            f"the optimizer {train.optim} could not be made: {error}", got=f"train.optim_args={train.optim_args}"
        ) from error
    if ":" in train.lr_scheduler_type:
        trainer.lr_scheduler = own_scheduler(train, trainer.optimizer, steps_per_epoch=plan.steps_per_epoch)
    return trainer


def training_rows(prepared: Prepared, train: TrainConfig, *, seed: int, columns: Sequence[str]) -> dict[str, Rows]:
    """Rows of train and validation; validation is sampled by `max_eval_samples`.

    Raises DataError where evaluation is asked for and there is no validation split.
    """
    files = {split: prepared.split_file(split) for split in ("train", "validation")}
    assert files["train"] is not None
    rows = {"train": Rows(files["train"], columns=columns)}
    if files["validation"] is not None:
        whole = Rows(files["validation"], columns=columns)
        keep = sample(len(whole), train.max_eval_samples, seed=seed)
        rows["validation"] = whole if keep is None else Rows(files["validation"], columns=columns, keep=keep)
    elif train.eval_strategy != "no":
        # Of few clusters none may be left for it: then no fraction would bring one about.
        lead = "the validation split has no records"
        why = next((told.removeprefix(lead) for told in prepared.audit["warnings"] if told.startswith(lead)), "")
        raise DataError(
            f"there is no validation split to evaluate on{why}",
            got=f"train.eval_strategy={train.eval_strategy}, {len(rows['train'])} training records alone",
            expected="validation records",
            fix="raise data.split.validation, or set train.eval_strategy=no and train.load_best_model_at_end=false",
        )
    return rows


def early_stopping(train: TrainConfig) -> EarlyStopping:
    """The callback for the configured patience, threshold and direction."""
    threshold, relative = train.early_stopping_threshold, False
    if isinstance(threshold, str):
        threshold, relative = float(threshold.rstrip("%")) / 100, True
    metric = train.metric_for_best_model
    return EarlyStopping(
        train.early_stopping_patience or 1,
        metric=metric if metric.startswith("eval_") else f"eval_{metric}",
        greater_is_better=greater_is_better(train),
        threshold=threshold,
        relative=relative,
    )


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def fit(trainer: ObjectiveTrainer, run: RunFolder, train: TrainConfig, *, total_steps: int) -> None:
    """Train, from the last whole checkpoint where there is one; afterwards the model is the best one."""
    checkpoint = _start(run, train)
    if checkpoint is not None:
        logger.info("going on from step %d", step_of(checkpoint))
        trainer.restore(checkpoint)
    try:
        if checkpoint is not None and trainer.is_finished(checkpoint, total_steps):
            trainer.finish_from(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        trainer.work.progress.close()
    state = trainer.state
    if state.best_metric is not None:
        run.update_manifest(
            best={"step": state.best_global_step, "metric": train.metric_for_best_model, "value": state.best_metric}
        )
    run.update_manifest(steps=state.global_step, notes=trainer.tally.mean_notes())


def _start(run: RunFolder, train: TrainConfig) -> Path | None:
    """The checkpoint to go on from, as the first process finds it; history after it is taken out."""
    found: list[Path | None] = [None]
    if run.writes:
        clear_leftovers(run.checkpoints)
        whole = complete_checkpoints(run.checkpoints)
        given = given_checkpoint(train.resume_from_checkpoint) if train.resume_from_checkpoint else None
        found = [whole[-1] if whole else given]
        cut_history(run, step_of(found[0]) if found[0] else 0)
    if processes() > 1:
        torch.distributed.broadcast_object_list(found)
    return found[0]


def save(trainer: ObjectiveTrainer, loaded: Loaded, run: RunFolder, *, prepared: Prepared, config: Config) -> None:
    """Write model/ as a whole: its presence says that training is done."""
    if not trainer.is_world_process_zero():
        return
    facts: dict[str, Any] = {"template_hash": prepared.template_hash, ASKED: asked_config(config)}
    if prepared.classes is not None:
        facts["classes"] = prepared.classes.as_json()

    def write_more(folder: Path) -> None:
        write_json(folder / FACTS_FILE, facts)
        if prepared.tokenizer is not None:
            copy_sentencepiece(starting_model(config), folder)

    save_model(loaded.model, prepared_tokenizer(prepared), run.model, end_ids=loaded.end_ids, write_more=write_more)
    run.update_manifest(trained=f"{run.manifest()['config_hash']}-{trainer.state.global_step}")


def _measure(task: Task, loaded: Loaded, given: Given) -> Measure | None:
    """How the best checkpoint is measured where it is chosen by a metric on the answers."""
    train, file = given.config.train, given.prepared.split_file("validation")
    # The loss, the value of each term and the figures are there at every evaluation.
    there = ["loss", *(term.name for term in written_terms(given.config.objective)), *task.figures]
    if train is None or file is None or train.metric_for_best_model.removeprefix("eval_") in there:
        return None
    rows = asked_rows(file, given.config.evaluate, limit=train.max_eval_samples, seed=given.config.seed)
    return measure_answers(task, rows, loaded, given)
