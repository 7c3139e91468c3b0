"""The predict stage of a run: its model on the rows of a split."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from lossmith.config.load import prediction_hash
from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.errors import DataError, InputError
from lossmith.models.base_tokenizer import load_tokenizer
from lossmith.models.load import Loaded
from lossmith.models.precision import choose_precision
from lossmith.runs import FACTS_FILE, RunFolder, read_json, write_json
from lossmith.tasks.classified import Decision
from lossmith.tasks.prepare import needs_tokenizer, prepared_tokenizer, starting_model
from lossmith.tasks.references import asked_rows
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Task, task_of
from lossmith.train.decision import Decided, decide
from lossmith.train.run import prepare_in, stage, training_state

logger = logging.getLogger("lossmith")


def predict_split(
    run: RunFolder,
    config: Config,
    *,
    split: str,
    allow_other_template: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Ask the model for each record of a split; returns the predictions file.

    Raises InputError for an unfinished training, a split without records, or a template that differs from the one
    the model was trained with (unless `allow_other_template`).
    """
    prepared, rows = rows_to_predict(run, config, split)
    name = f"predict.{split}"
    run.update_manifest(made_from={name: None})
    with stage(run, name):
        task, loaded, given = open_model(run, config, prepared, allow_other_template=allow_other_template)
        with given.precision.autocast():
            decision = _decision(run, task, loaded, given)
            outputs = task.answers(loaded, rows, given, progress)
            count, failed = task.write(rows, outputs, run.predictions(split), given, decision)
    run.update_manifest(made_from={name: prediction_hash(config, run.manifest(), split=split)})
    told = f", {failed} of them failed and kept as rows with their reason" if failed else ""
    logger.info("%d records of %s predicted%s", count, split, told)
    return run.predictions(split)


def rows_to_predict(run: RunFolder, config: Config, split: str) -> tuple[Prepared, Rows]:
    """The prepared data of a run and the rows of a split, as many as are evaluated.

    Raises InputError for an unfinished training, DataError for a split without records.
    """
    if config.train is not None and training_state(run) != "done":
        raise InputError(
            f"{run.path} holds no trained model", got=training_state(run), fix=f"lossmith train {run.config} --resume"
        )
    prepared = prepare_in(run, config)
    check_data(run, prepared)
    return prepared, _rows(prepared, config, split)


def open_model(
    run: RunFolder, config: Config, prepared: Prepared, *, allow_other_template: bool = False
) -> tuple[Task, Loaded, Given]:
    """The task of a run, its model (the base as it is where nothing is trained) and what it is carried out on.

    Raises InputError for a template that differs from the one the model was trained with, unless it is allowed.
    """
    device = config.train.device if config.train else "auto"
    precision = choose_precision(device=device, dtype=config.model.dtype)
    if config.train is None:
        model_config, tokenizer = starting_model(config), prepared_tokenizer(prepared)
    else:
        _check_template(run, prepared, allow=allow_other_template)
        model_config = config.model.model_copy(update={"base": str(run.model), "add_tokens": []})
        tokenizer = load_tokenizer(model_config) if needs_tokenizer(config) else None
    task, given = task_of(config), Given(config, prepared, tokenizer, precision)
    return task, task.load(model_config, given, False), given


def _decision(run: RunFolder, task: Task, loaded: Loaded, given: Given) -> Decision | None:
    """How scores become classes: as the manifest has it where it was fitted for what is asked now, else fitted."""
    made_from = prediction_hash(given.config, run.manifest(), split="validation")
    known = run.manifest().get("decision")
    if known is not None and known["made_from"] == made_from:
        return Decision.from_json(known)
    decided = decide(task, loaded, given)
    if decided is None:
        return None
    _keep(run, decided, made_from=made_from)
    return decided.decision


def _keep(run: RunFolder, decided: Decided, *, made_from: str) -> None:
    """Write a decision down: with the model, where the run has one, and in the manifest."""
    told = {**decided.as_json(), "made_from": made_from}
    facts = run.model / FACTS_FILE
    if facts.exists():
        write_json(facts, {**read_json(facts), "decision": told})
    else:
        write_json(run.path / "decision.json", told)
    run.update_manifest(decision=None)
    run.update_manifest(decision=told)
    for sentence in decided.warnings:
        logger.warning("%s", sentence)
        run.add_warning(sentence)


def _rows(prepared: Prepared, config: Config, split: str) -> Rows:
    file = prepared.split_file(split)
    if file is None:
        there = [name for name in ("train", "validation", "test") if prepared.split_file(name)]
        raise DataError(
            f"there is no {split} split to predict",
            got=split,
            expected=", ".join(there),
            fix=f"give data.files.{split} or data.split.{split}, or evaluate another split",
        )
    limit = config.evaluate.limit if split == config.evaluate.split else None
    return asked_rows(file, config.evaluate, limit=limit, seed=config.split_seed)


def check_data(run: RunFolder, prepared: Prepared) -> None:
    """Warn, aloud and in the manifest, where the rows are not of the sources that the model was trained on."""
    trained_on = run.manifest().get("trained_on")
    if trained_on not in (None, prepared.fingerprint):
        sentence = (
            "the sources have changed since the model was trained: records of this split may have been trained on. "
            "`lossmith train --fresh` trains on what is there now"
        )
        logger.warning("%s", sentence)
        run.add_warning(sentence)


def _check_template(run: RunFolder, prepared: Prepared, *, allow: bool) -> None:
    trained = read_json(run.model / FACTS_FILE)["template_hash"]
    if trained != prepared.template_hash:
        message = "the template differs from the one that the model was trained with"
        if not allow:
            raise InputError(
                message,
                got=prepared.template_hash,
                expected=trained,
                fix="restore the template, or say --allow-other-template",
            )
        logger.warning("%s: %s instead of %s", message, prepared.template_hash, trained)
