"""`metrics.json` of a run: metrics, baselines, groups, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.config.load import evaluation_hash, load_run_config
from lossmith.config.schema import Config
from lossmith.errors import InputError
from lossmith.evaluate.against import against_baselines, told_above
from lossmith.evaluate.asked import check_asked
from lossmith.evaluate.baselines import Baselines, find_baselines, named_run
from lossmith.evaluate.class_facts import class_facts, decided_otherwise
from lossmith.evaluate.exports import export_figures
from lossmith.evaluate.gates import Gate, judge
from lossmith.evaluate.groups import RATES, group_figures
from lossmith.evaluate.measures import Measure, Resampling, figure, find_measures
from lossmith.evaluate.outcomes import named_by_several
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.metrics.intervals import shared_clusters
from lossmith.metrics.scores import AnyScores
from lossmith.names import METRICS
from lossmith.runs import RunFolder, open_run, write_json

SCHEMA = 1
# Across groups, whatever is asked for: where one class is looked for, and where none is.
ACROSS = (
    *("fpr_gap", "fnr_gap", "tpr_gap", "selection_rate_gap", "equalized_odds_difference", "bias_score"),
    *("worst_group_f1", "worst_group_accuracy"),
)
ACROSS_OF_MANY = ("worst_group_f1_macro", "worst_group_accuracy")


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
    prepared: Path | None = None,
    baselines: Baselines | None = None,
) -> dict[str, Any]:
    """Score `predictions/<split>.parquet` and write metrics.json (metrics.<split>.json for another split), with tables
    of all figures as CSV beside it.

    `prepared` is the folder of prepared rows, for baselines that know the training split; by default the one that the
    manifest names. `baselines` are those of predictions that no one training split stands behind, as pooled ones.
    Returns what was written. A missed gate is told in it, not raised. Raises InputError for a metric, gate or baseline
    that can't be understood, and for predictions that can't be scored.
    """
    folder = run_folder if isinstance(run_folder, RunFolder) else RunFolder(Path(run_folder))
    asked = config.evaluate
    split = split or asked.split
    names, gates = check_asked(config)
    others = {
        gate.run: named_run(gate.run, folder, where=f"'{gate.rule}' of evaluate.require") for gate in gates if gate.run
    }
    predictions = read_predictions(folder.predictions(split), smallest_group=asked.smallest_group)
    if baselines is None:
        baselines = find_baselines(config, predictions, folder, split=split, prepared=prepared or _prepared(folder))
    how = Resampling(asked.resamples, config.seed)

    measures = find_measures([*names, *_of_gates(gates, predictions), *_of_groups(predictions)], predictions.classes)
    scores = {name: measure.score(predictions) for name, measure in measures.items()}
    metrics = _with_figures(measures, scores, predictions, how)
    judged = {run: _measured(other, split, predictions, measures, how) for run, other in others.items()}
    clusters = predictions.clusters
    result = {
        "schema": SCHEMA,
        "split": split,
        "n": len(predictions),
        "failed": int(predictions.failed.sum()),
        "clusters": len(set(clusters)) if clusters and shared_clusters(clusters) else None,
        "seed": config.seed,
        "asked": list(names),
        "smallest_group": asked.smallest_group,
        **metrics,
        **against_baselines(measures, scores, predictions, baselines.given, how),
        "baselines_absent": baselines.absent,
        "gates": [judge(gate, metrics, judged[gate.run] if gate.run else None) for gate in gates],
    }
    if predictions.classes is not None:
        result.update(class_facts(predictions, measures, how))
    result["headline"] = list(told_above(measures, baselines.given, result))
    above = [*result["headline"], *decided_otherwise(predictions, asked), *_one_group(predictions, config)]
    above.extend(baselines.notes)
    result["notes"] = _notes(above, metrics["metrics"])
    own = None if split == asked.split else split
    write_json(folder.metrics(own), result)
    export_figures(folder, own, result)
    return result


def _one_group(predictions: Predictions, config: Config) -> list[str]:
    """A sentence where columns of groups share a name: its figures are of all records that any of them names so."""
    columns = config.data.group
    if not isinstance(columns, list) or "group" not in predictions.table.column_names:
        return []
    shared = named_by_several(predictions.table["group"].to_pylist(), len(columns))
    told = "is one group, though several columns of data.group name it"
    return [f"'{name}' {told}: give each column's values names of their own to tell them apart." for name in shared]


def _of_gates(gates: Sequence[Gate], predictions: Predictions) -> list[str]:
    """Metrics of the classes that gates address, as f1.CLASS."""
    names = () if predictions.classes is None else predictions.classes.names
    return [
        f"{gate.metric}.{name}"
        for gate in gates
        for name in names
        if (row := METRICS.get(gate.metric)) and row.reads == "class" and f"{gate.group}.".startswith(f"{name}.")
    ]


def _of_groups(predictions: Predictions) -> Sequence[str]:
    """What a classification has measured wherever its records name groups."""
    if predictions.classes is None or not predictions.groups.names:
        return ()
    return ACROSS_OF_MANY if predictions.classes.positive is None else (*RATES, *ACROSS)


def _with_figures(
    measures: Mapping[str, Measure], scores: Mapping[str, AnyScores], predictions: Predictions, how: Resampling
) -> dict[str, Any]:
    clusters = predictions.clusters
    return {
        "metrics": {name: figure(measure, scores[name], clusters, how=how) for name, measure in measures.items()},
        "groups": group_figures(measures, scores, predictions, how=how),
    }


def _notes(above: Sequence[str], metrics: Mapping[str, Any]) -> list[str]:
    """Sentences that belong above the figures, then what has to be known of single ones, alike ones together."""
    owners: dict[str, list[str]] = {}
    for name, entry in metrics.items():
        for note in entry.get("notes", ()):
            owners.setdefault(f"{note}.", []).append(name)
        if entry["undefined_resamples"]:
            told = f"{entry['undefined_resamples']} of {entry['resamples']} resamples have no value"
            owners.setdefault(f"{told} and are left out of its interval.", []).append(name)
    return list(dict.fromkeys([*above, *(f"{', '.join(names)}: {note}" for note, names in owners.items())]))


def _prepared(folder: RunFolder) -> Path | None:
    prepared = folder.manifest().get("data", {}).get("folder")
    return Path(prepared) if prepared else None


def _measured(
    other: RunFolder, split: str, predictions: Predictions, measures: Mapping[str, Measure], how: Resampling
) -> dict[str, Any] | str:
    """The other run's figures on the same records, or why it has none."""
    try:
        theirs = read_predictions(other.predictions(split), smallest_group=predictions.smallest_group)
    except InputError as error:
        return error.message
    if set(theirs.ids) != set(predictions.ids):
        differing = len(set(theirs.ids) ^ set(predictions.ids))
        return f"{other.path} was scored on other records: {differing} ids are in one run alone"
    scores = {name: measure.score(theirs) for name, measure in measures.items()}
    return _with_figures(measures, scores, theirs, how)
