"""The stages as functions: each reads files and writes files, and `run` carries out those missing or stale.

folder = lossmith.run("recipes/sinkhorn", ["data.files=recipes.jsonl", "model=scratch-tiny"])
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.config.load import (
    as_yaml,
    evaluation_hash,
    evidence_hash,
    load_config,
    load_run_config,
    prediction_hash,
    require_complete,
    training_hash,
)
from lossmith.config.schema import Config
from lossmith.errors import GateMissedError, InputError, LossmithError
from lossmith.runs import RunFolder, open_run, write_text

logger = logging.getLogger("lossmith")
ConfigLike = str | Path | Mapping[str, Any] | Config
Progress = Callable[[int, int | None], None]


def prepare(config: ConfigLike, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Prepare a configuration's data; returns `folder` (of one parquet file a split) and `audit`."""
    from lossmith.tasks.prepare import prepare_config as carry_out

    prepared = carry_out(load_config(config, overrides))
    return {"folder": prepared.folder, "audit": prepared.audit}


def predict(
    run: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    allow_other_template: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Generate an answer for each record of a split (default: evaluate.split); returns the predictions file."""
    from lossmith.train.predict import predict_split

    folder = open_run(run)
    config = load_run_config(folder.config, overrides)
    with folder.lock():
        return predict_split(
            folder,
            config,
            split=split or config.evaluate.split,
            allow_other_template=allow_other_template,
            progress=progress,
        )


def sweep(
    run: str | Path,
    presets: str | Path | Mapping[str, Mapping[str, Any]],
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    allow_other_template: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict a split under several generation presets and lay them side by side on a page, `sweep.<split>.html`.

    `presets` are settings by name, or a file of presets. Returns what `sweep.<split>.json` holds, and `page`.
    """
    from lossmith.config.generation_presets import read_presets
    from lossmith.report.sweep_page import write_sweep_page
    from lossmith.train.sweep import sweep_split

    folder = open_run(run)
    config = load_run_config(folder.config, overrides)
    asked = presets if isinstance(presets, Mapping) else read_presets(presets)
    chosen = split or config.evaluate.split
    with folder.lock():
        result = sweep_split(
            folder, config, asked, split=chosen, allow_other_template=allow_other_template, progress=progress
        )
        return {**result, "page": str(write_sweep_page(folder.path, chosen))}


def compare(runs: Sequence[str | Path], *, metrics: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare two or more runs on the same records, each against the first."""
    from lossmith.evaluate.compare import compare_runs

    if len(runs) < 2:
        raise InputError("a comparison needs two runs", got=len(runs), expected="two or more run folders")
    return dict(compare_runs([open_run(run).path for run in runs], metrics=metrics))


def report(runs: Sequence[str | Path], *, out: Path | None = None, comparison: Mapping[str, Any] | None = None) -> Path:
    """Write the report of a run, or of several compared; returns the page's path."""
    from lossmith.report.page import write_report

    folders = [open_run(run).path for run in runs]
    if len(folders) > 1 and comparison is None:
        comparison = compare(folders)
    return write_report(folders, out, comparison=comparison)


def run(
    config: ConfigLike,
    overrides: Sequence[str] = (),
    *,
    quiet: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Carry out every stage that is missing or stale; returns the run folder.

    A stage is stale when what it was made from has changed: the model when its sources, its template or the code of
    losses of one's own have, predictions when the model or the generation settings have, metrics (and what predictions
    of documents rest on) when the predictions or the evaluation settings have.
    """
    settings = require_complete(load_config(config, overrides))
    # What is above tells mistakes before torch is loaded.
    from lossmith.evaluate.run import evaluate_stage
    from lossmith.train.preflight import check_names
    from lossmith.train.progress import log_to
    from lossmith.train.run import claim_folder, processes, stage, start_untrained

    if processes() > 1:
        raise InputError(
            "`lossmith run` is one process",
            got=f"{processes()} processes",
            expected="torchrun ... -m lossmith.cli train CONFIG, then lossmith run CONFIG for the other stages",
        )
    check_names(settings)
    folder = claim_folder(settings)
    _train(settings, folder, quiet=quiet)
    anew = _carry_out_mean_pool(settings, folder, quiet=quiet)
    with folder.lock(), log_to(folder.log, quiet=quiet):
        write_text(folder.config, as_yaml(settings))
        if settings.train is None:
            start_untrained(folder, settings)
        _predict(settings, folder, progress=progress)
        scored = evaluation_hash(settings, folder.manifest(), split=settings.evaluate.split)
        if anew or not _fresh(folder, "evaluate", scored, folder.metrics()):
            with stage(folder, "evaluate"):
                evaluate_stage(folder, settings)
        if settings.task.kind == "retrieval":
            _find_evidence(folder, settings)
        with stage(folder, "report"):
            report([folder.path])
        logger.info("report: %s", folder.report)
    return folder.path


def _train(settings: Config, folder: RunFolder, *, quiet: bool) -> None:
    """Train where there is no model, or what it was made from has changed."""
    from lossmith.train.run import changed_since, train, training_state

    if settings.train is not None:
        state = training_state(folder)
        changed = state != "new" and changed_since(folder, settings) is not None
        train(settings, resume=state == "unfinished" and not changed, fresh=changed, quiet=quiet)


def _predict(settings: Config, folder: RunFolder, *, progress: Progress | None) -> bool:
    """Predict the evaluated split where its predictions are missing or stale; whether they were."""
    from lossmith.train.predict import predict_split

    split = settings.evaluate.split
    predicted = prediction_hash(settings, folder.manifest(), split=split)
    if _fresh(folder, f"predict.{split}", predicted, folder.predictions(split)):
        return False
    predict_split(folder, settings, split=split, progress=progress)
    return True


def _carry_out_mean_pool(settings: Config, folder: RunFolder, *, quiet: bool) -> bool:
    """Train and predict the baseline inside a retrieval run's folder, where it is asked for; whether it is new.

    What keeps it from being made is a warning of the run: the run itself has been trained.
    """
    from lossmith.evaluate.baselines import check_baselines
    from lossmith.evaluate.mean_pool import MEAN_POOL, mean_pool_config, mean_pool_folder
    from lossmith.train.progress import log_to
    from lossmith.train.run import training_state, warn_into

    if MEAN_POOL not in check_baselines(settings):
        return False
    inside = mean_pool_folder(folder)
    try:
        own = mean_pool_config(settings, folder)
        if inside.config.exists() and training_hash(load_config(inside.config)) != training_hash(own):
            shutil.rmtree(inside.path)
        if training_state(inside) != "done":
            with log_to(folder.log, quiet=quiet):
                logger.info("the baseline %s is trained in %s", MEAN_POOL, inside.path)
        _train(own, inside, quiet=True)
        with inside.lock(), log_to(inside.log, quiet=True):
            write_text(inside.config, as_yaml(own))
            return _predict(own, inside, progress=None)
    except LossmithError as error:
        with log_to(folder.log, quiet=quiet):
            warn_into(folder)(f"the baseline {MEAN_POOL} could not be made: {error.message}")
        return False


def check_gates(metrics: Mapping[str, Any]) -> None:
    """Raise GateMissedError where a requirement of `evaluate.require` was missed."""
    missed = [gate for gate in metrics["gates"] if not gate["passed"]]
    if missed:
        told = "; ".join(
            f"{g['rule']} (value {g['value']}{': ' + g['reason'] if g.get('reason') else ''})" for g in missed
        )
        raise GateMissedError(f"{len(missed)} of {len(metrics['gates'])} gates missed", got=told)


def _find_evidence(folder: RunFolder, settings: Config) -> None:
    from lossmith.evidence.run import evidence_stage
    from lossmith.train.run import stage

    split = settings.evaluate.split
    made_from = evidence_hash(settings, folder.manifest(), split=split)
    if not _fresh(folder, f"evidence.{split}", made_from, folder.evidence()):
        with stage(folder, "evidence"):
            evidence_stage(folder, settings)


def _fresh(folder: RunFolder, stage: str, made_from: str, output: Path) -> bool:
    return output.exists() and folder.manifest().get("made_from", {}).get(stage) == made_from
