"""Cross-validation: one run a fold, their out-of-fold predictions pooled and scored as those of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.config.load import load_config, require_complete
from lossmith.config.schema import Config
from lossmith.names import INFINITY, METRICS
from lossmith.report.studies.page import write_study_report
from lossmith.runs import RunFolder, read_json
from lossmith.stages import ConfigLike
from lossmith.studies.children import Child
from lossmith.studies.folder import StudyFolder, check_whole, claim_study
from lossmith.studies.folds import fold_children, resolved_kind
from lossmith.studies.leak_check import check_leaks
from lossmith.studies.over_folds import over_folds
from lossmith.studies.pooled_baselines import pooled_baselines
from lossmith.studies.pooling import pooled_name, write_pooled
from lossmith.studies.study import Progress, carry_out_study
from lossmith.studies.workers import processes_for

# Of a fold, say, in which no record has a group.
_UNMEASURED = {"value": None, "low": None, "high": None, "n": 0, "reason": "nothing to measure it on"}


def cv(config: ConfigLike, overrides: Sequence[str] = (), *, progress: Progress | None = None) -> dict[str, Any]:
    """Cross-validate a configuration; returns what study.json holds, and the study's `path`.

    Each fold is a run folder inside the study's, so a study that was stopped goes on with the folds it lacks. Texts or
    clusters that stand in two folds are refused before anything trains (DataError), unless cv.allow_leaks. Raises
    LossmithError, after the other folds, where a fold failed: then there are no results.
    """
    settings = require_complete(load_config(config, overrides))
    from lossmith.train.preflight import check_names

    check_names(settings)
    resolved_kind(settings)
    study = claim_study(settings, "cv", growing=("allow_leaks",))
    with study.files.lock():
        children = fold_children(study, settings)
        leaks = check_leaks(children, allowed=settings.cv.allow_leaks)
        held = carry_out_folds(study, settings, children, progress=progress, known={"leaks": leaks})
    return {"path": str(study.path), **held}


def carry_out_folds(
    study: StudyFolder,
    config: Config,
    children: Sequence[Child],
    *,
    progress: Progress | None = None,
    known: Mapping[str, Any],
) -> dict[str, Any]:
    """Carry out the folds, pool and measure them, write study.json and the page; returns study.json.

    `known` is what `results` tells beside. Raises LossmithError where a fold failed.
    """
    processes = processes_for(config, len(children), asked=config.cv.processes)
    rows = carry_out_study(study, config, children, processes=processes, progress=progress)
    check_whole(rows, what="folds")
    held = study.write(config, rows, results={**_results(study, config, children, rows), **known})
    write_study_report(study.path)
    return held


def _results(
    study: StudyFolder, config: Config, children: Sequence[Child], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    runs = [RunFolder(study.path / row["path"]) for row in rows]
    measured = [read_json(run.metrics()) for run in runs]
    calibration = children[0].config.evaluate.calibration
    asked = config.evaluate.model_copy(update={"split": pooled_name(0), "calibration": calibration})
    settings = config.model_copy(update={"evaluate": asked})
    folds = [
        {row["fold"]: run for row, run in zip(rows, runs, strict=True) if row["repeat"] == repeat}
        for repeat in range(config.cv.repeats)
    ]
    pooled = [_pooled(study, settings, of_repeat, pooled_name(repeat)) for repeat, of_repeat in enumerate(folds)]
    return {
        "folds": config.cv.folds,
        "repeats": config.cv.repeats,
        "kind": resolved_kind(config),
        "n": pooled[0]["n"],
        "calibration": calibration,
        "metrics": {
            name: {
                "direction": facts["direction"],
                "over_folds": over_folds(
                    [found["metrics"].get(name, _UNMEASURED) for found in measured],
                    folds=config.cv.folds,
                    within=_range(name),
                ),
                "pooled": [found["metrics"].get(name, _UNMEASURED) for found in pooled],
            }
            for name, facts in pooled[0]["metrics"].items()
        },
        "decisions": [
            {"run": row["name"], **run.manifest().get("decision", {})} for row, run in zip(rows, runs, strict=True)
        ],
    }


def _range(metric: str) -> tuple[float, float]:
    """The ends of a metric's range; a metric of one class, `f1.CLASS`, has that of `f1`."""
    row = METRICS.get(metric) or METRICS.get(metric.partition(".")[0])
    return (row.low, row.high) if row is not None else (-INFINITY, INFINITY)


def _pooled(study: StudyFolder, config: Config, folds: Mapping[int, RunFolder], name: str) -> dict[str, Any]:
    """metrics.json of a repeat's pooled predictions; that of the first is the study's own."""
    from lossmith.evaluate.run import evaluate_run

    write_pooled(folds, study.files.predictions(name))
    baselines = pooled_baselines(config, folds, study.files, split=name)
    return evaluate_run(study.files, config, split=name, baselines=baselines)
