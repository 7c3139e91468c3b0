"""The table of an ablation: every objective's metrics over seeds, and its difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossmith.config.schema import Config
from lossmith.errors import LossmithError
from lossmith.evaluate.measures import Measure, find_measures
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.metrics.intervals import cluster_codes, shared_clusters
from lossmith.metrics.paired import holm
from lossmith.metrics.scores import AnyScores
from lossmith.runs import RunFolder, read_json
from lossmith.studies.folder import StudyFolder
from lossmith.studies.over_seeds import SeedValues, difference_over_seeds, over_seeds, smallest_p

LEVEL = 0.05


@dataclass
class Cell:
    """The runs of one objective on one model: seeds in order, the scores of each run by metric, then their values."""

    model: str | None
    objective: str
    seeds: list[int] = field(default_factory=list)
    scores: list[dict[str, AnyScores]] = field(default_factory=list)
    values: dict[str, SeedValues] = field(default_factory=dict)


def ablation_table(study: StudyFolder, config: Config, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """`results` of study.json, from the predictions of the runs that are done; None where none is.

    `table` has a row for each objective (of each model) and metric; `comparisons` one for each but the baseline, over
    the seeds that both have, with `p_holm` adjusted over all of them.
    """
    done = [row for row in rows if row["state"] == "done"]
    if not done:
        return None
    split = config.evaluate.split
    predicted = _predictions(study, done, config)
    records = next(iter(predicted.values()))
    measures = find_measures(config.evaluate.metrics, records.classes)
    cells = _cells(done, predicted, measures)
    clusters = records.clusters
    baseline = config.ablate.baseline or next(iter(config.ablate.objectives))
    for cell in cells:
        for name in measures:
            runs = [scores[name] for scores in cell.scores]
            cell.values[name] = SeedValues.of(
                runs, clusters=clusters, resamples=config.evaluate.resamples, seed=config.split_seed
            )
    table = [
        {**_told(cell, measure), **over_seeds(cell.values[name]), "n": cell.scores[0][name].n}
        for cell in cells
        for name, measure in measures.items()
    ]
    comparisons = _comparisons(cells, measures, baseline)
    return {
        "split": split,
        "n": len(records),
        "clusters": int(cluster_codes(clusters).max()) + 1 if clusters and shared_clusters(clusters) else None,
        "baseline": baseline,
        "objectives": dict(config.ablate.objectives),
        "models": list(config.ablate.models),
        "seeds": sorted({row["seed"] for row in rows}),
        "split_seed": config.split_seed,
        "table": table,
        "comparisons": comparisons,
        "tests": sum(one["p"] is not None for one in comparisons),
        "baselines": _measured_once(study, rows),
        "notes": _notes(comparisons),
    }


def _measured_once(study: StudyFolder, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What needs no model, as the first run measured it on the records of all."""
    file = RunFolder(study.path / rows[0]["path"]).metrics()
    return dict(read_json(file)["baselines"]) if rows[0]["state"] == "done" and file.exists() else {}


def _notes(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has to be known of the tests: that so few seeds cannot show anything after so many of them."""
    tested = [one["seeds"] for one in comparisons if one["p"] is not None]
    if not tested:
        return []
    smallest = smallest_p(max(tested)) * len(tested)
    if smallest < LEVEL:
        return []
    return [
        f"with {max(tested)} seeds no p is under {smallest_p(max(tested)):.2g}, which Holm's correction over "
        f"{len(tested)} tests makes {min(smallest, 1.0):.2g}: nothing can be shown to differ; "
        "take more seeds, fewer objectives or fewer metrics"
    ]


def _predictions(study: StudyFolder, rows: Sequence[Mapping[str, Any]], config: Config) -> dict[str, Predictions]:
    """The predictions of each run by its name, all of the same records in one order."""
    found: dict[str, Predictions] = {}
    for row in rows:
        file = RunFolder(study.path / row["path"]).predictions(config.evaluate.split)
        found[row["name"]] = read_predictions(file, smallest_group=config.evaluate.smallest_group)
        if found[row["name"]].ids != found[rows[0]["name"]].ids:
            raise LossmithError(
                "the runs were measured on different records",
                got=row["name"],
                expected=f"the records of {rows[0]['name']} in their order",
                fix="remove both run folders and carry out the study again",
            )
    return found


def _cells(
    rows: Sequence[Mapping[str, Any]], predicted: Mapping[str, Predictions], measures: Mapping[str, Measure]
) -> list[Cell]:
    """The scores of the runs, by model and objective."""
    cells: dict[tuple[str | None, str], Cell] = {}
    for row in rows:
        key = (row.get("model"), row["objective"])
        cell = cells.setdefault(key, Cell(*key))
        cell.seeds.append(row["seed"])
        cell.scores.append({name: measure.score(predicted[row["name"]]) for name, measure in measures.items()})
    return list(cells.values())


def _comparisons(cells: Sequence[Cell], measures: Mapping[str, Measure], baseline: str) -> list[dict[str, Any]]:
    against = {cell.model: cell for cell in cells if cell.objective == baseline}
    found = []
    for cell in cells:
        base = against.get(cell.model)
        if base is None or cell is base:
            continue
        shared = [seed for seed in cell.seeds if seed in base.seeds]
        for name, measure in measures.items():
            theirs, ours = (
                side.values[name].taken([side.seeds.index(seed) for seed in shared]) for side in (base, cell)
            )
            told = {**_told(cell, measure), "against": baseline, "n": cell.scores[0][name].n}
            found.append({**told, **difference_over_seeds(theirs, ours)})
    for entry, adjusted in zip(found, holm([one["p"] for one in found]), strict=True):
        entry["p_holm"] = adjusted
    return found


def _told(cell: Cell, measure: Measure) -> dict[str, Any]:
    model = {} if cell.model is None else {"model": cell.model}
    return {**model, "objective": cell.objective, "metric": measure.name, "direction": measure.direction}
