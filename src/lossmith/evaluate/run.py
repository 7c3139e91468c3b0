"""`metrics.json` of a run: metrics, baselines, groups, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.config.evaluate import EvaluateConfig
from lossmith.config.load import evaluation_hash, load_run_config
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, InputError
from lossmith.evaluate.baselines import BASELINES, Answers, baseline_answers, baseline_names
from lossmith.evaluate.gates import Gate, judge, read_gates
from lossmith.evaluate.groups import group_figures
from lossmith.evaluate.measures import Measure, Resampling, figure, find_measures
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.metrics.intervals import shared_clusters
from lossmith.metrics.paired import difference, paired_bootstrap
from lossmith.metrics.scores import Scores
from lossmith.runs import RunFolder, open_run, write_json

SCHEMA = 1


def evaluate(run: str | Path, overrides: Sequence[str] = (), *, split: str | None = None) -> dict[str, Any]:
    """Score the predictions of the run folder `run`; writes and returns metrics.json's content.

    `overrides` may change the groups generate and evaluate alone.
    """
    folder = open_run(run)
    config = load_run_config(folder.config, overrides)
    with folder.lock():
        return evaluate_stage(folder, config, split=split)


def evaluate_stage(folder: RunFolder, config: Config, *, split: str | None = None) -> dict[str, Any]:
    """Score a split and note in the manifest what metrics.json was made from, so that `run` knows when it is stale."""
    asked = split or config.evaluate.split
    noted = asked == config.evaluate.split
    if noted:
        folder.update_manifest(made_from={"evaluate": None})
    result = evaluate_run(folder, config, split=asked)
    if noted:
        folder.update_manifest(made_from={"evaluate": evaluation_hash(config, folder.manifest(), split=asked)})
    return result


def evaluate_run(
    run_folder: RunFolder | Path,
    config: Config,
    *,
    split: str | None = None,
    train_file: Path | None = None,
) -> dict[str, Any]:
    """Score `predictions/<split>.parquet` and write metrics.json (metrics.<split>.json for another split).

    `train_file` is the prepared training split, for the baseline that answers with the nearest training record; by
    default the one that the manifest names. Returns what was written. A missed gate is told in it, not raised.
    Raises InputError for a metric, gate or baseline that can't be understood, and for predictions that can't be
    scored.
    """
    folder = run_folder if isinstance(run_folder, RunFolder) else RunFolder(Path(run_folder))
    asked = config.evaluate
    split = split or asked.split
    measures, gates = check_asked(asked)
    others = {gate.run: _other_run(gate, folder) for gate in gates if gate.run}
    predictions = read_predictions(folder.predictions(split))
    answers = baseline_answers(asked.baselines, predictions, train_file or _train_file(folder))
    how = Resampling(asked.resamples, config.seed)

    scores = {name: measure.score(predictions) for name, measure in measures.items()}
    metrics = _with_figures(measures, scores, predictions, how)
    baselines, against = _baselines(measures, scores, predictions, answers, how)
    judged = {run: _measured(other, split, predictions, measures, how) for run, other in others.items()}
    clusters = predictions.clusters
    result = {
        "schema": SCHEMA,
        "split": split,
        "n": len(predictions),
        "failed": int(predictions.failed.sum()),
        "clusters": len(set(clusters)) if clusters and shared_clusters(clusters) else None,
        "seed": config.seed,
        **metrics,
        "baselines": baselines,
        "baselines_absent": answers.absent,
        "against_baselines": against,
        "gates": [judge(gate, metrics, judged[gate.run] if gate.run else None) for gate in gates],
        "beats_constant": None,
        "notes": _notes(metrics["metrics"], baselines, against),
    }
    write_json(folder.metrics(None if split == asked.split else split), result)
    return result


def check_asked(asked: EvaluateConfig) -> tuple[dict[str, Measure], list[Gate]]:
    """The metrics and gates that are asked for.

    Raises InputError for a metric, gate or baseline that can't be understood: judged before training, not after it.
    """
    if not asked.metrics:
        raise ConfigError("evaluate.metrics names no metric", got="[]", expected="at least one metric")
    measures = find_measures(asked.metrics)
    baseline_names(asked.baselines)
    return measures, read_gates(asked.require, list(measures))


def _with_figures(
    measures: Mapping[str, Measure], scores: Mapping[str, Scores], predictions: Predictions, how: Resampling
) -> dict[str, Any]:
    clusters = predictions.clusters
    return {
        "metrics": {name: figure(measure, scores[name], clusters, how=how) for name, measure in measures.items()},
        "groups": group_figures(measures, scores, predictions, how=how),
    }


def _baselines(
    measures: Mapping[str, Measure],
    scores: Mapping[str, Scores],
    predictions: Predictions,
    answers: Answers,
    how: Resampling,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of each baseline, and the paired difference of the model to it on the first metric."""
    figures: dict[str, Any] = {}
    against: dict[str, Any] = {}
    for name, texts in answers.texts.items():
        answered = predictions.answering(texts)
        figures[name] = {}
        for key, measure in measures.items():
            if not measure.reads_predictions:
                continue
            theirs = measure.score(answered)
            figures[name][key] = figure(measure, theirs, predictions.clusters, how=how)
            if key == next(iter(measures)):
                against[name] = _against(measure, theirs, scores[key], predictions, how)
    return figures, against


def _against(
    measure: Measure, theirs: Scores, ours: Scores, predictions: Predictions, how: Resampling
) -> dict[str, Any]:
    found = paired_bootstrap(theirs, ours, clusters=predictions.clusters, resamples=how.resamples, seed=how.seed)
    low, high = found.low, found.high
    beats: bool | None = None
    if low is not None and high is not None and measure.direction != "one":
        beats = low > 0 if measure.direction == "up" else high < 0
    return {
        "metric": measure.name,
        "difference": difference(theirs, ours),
        "low": low,
        "high": high,
        "beats": beats,
        "reason": found.reason,
    }


def _notes(metrics: Mapping[str, Any], baselines: Mapping[str, Any], against: Mapping[str, Any]) -> list[str]:
    """Sentences that belong above the figures."""
    notes = []
    for name, found in against.items():
        if found["beats"] is False:
            value, theirs = metrics[found["metric"]]["value"], baselines[name][found["metric"]]["value"]
            notes.append(
                f"The model does not beat {BASELINES[name]}: {found['metric']} {value:.4g} against {theirs:.4g}, "
                f"difference {found['difference']:+.4g} [{found['low']:+.4g}, {found['high']:+.4g}]."
            )
    for name, entry in metrics.items():
        notes.extend(f"{name}: {note}." for note in entry.get("notes", ()))
        if entry["undefined_resamples"]:
            notes.append(
                f"{name}: {entry['undefined_resamples']} of {entry['resamples']} resamples have no value and are "
                "left out of its interval."
            )
    return list(dict.fromkeys(notes))


def _train_file(folder: RunFolder) -> Path | None:
    prepared = folder.manifest().get("data", {}).get("folder")
    return Path(prepared) / "train.parquet" if prepared else None


def _other_run(gate: Gate, folder: RunFolder) -> RunFolder:
    """The run that a gate compares with: as a path from here, or beside this run."""
    named = Path(gate.run or "")
    beside = folder.path.resolve().parent
    for path in (named, beside.parent / named, beside / named.name):
        if path.is_dir():
            return RunFolder(path)
    raise InputError(
        f"evaluate.require: '{gate.rule}' compares with a run that is not there",
        got=gate.run,
        expected="a number, or a run folder",
    )


def _measured(
    other: RunFolder, split: str, predictions: Predictions, measures: Mapping[str, Measure], how: Resampling
) -> dict[str, Any] | str:
    """The other run's figures on the same records, or why it has none."""
    try:
        theirs = read_predictions(other.predictions(split))
    except InputError as error:
        return error.message
    if set(theirs.ids) != set(predictions.ids):
        differing = len(set(theirs.ids) ^ set(predictions.ids))
        return f"{other.path} was scored on other records: {differing} ids are in one run alone"
    scores = {name: measure.score(theirs) for name, measure in measures.items()}
    return _with_figures(measures, scores, theirs, how)
