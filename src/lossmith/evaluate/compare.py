"""Two or more runs on the same records: differences, intervals, permutation p values, Holm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.errors import InputError
from lossmith.evaluate.measures import Measure, Resampling, find_measures
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.metrics.intervals import RESAMPLES, cluster_codes
from lossmith.metrics.paired import PERMUTATIONS, difference, holm, paired_bootstrap, permutation_test
from lossmith.metrics.scores import Scores
from lossmith.runs import RunFolder, read_json


def compare_runs(
    run_folders: Sequence[Path],
    *,
    metrics: Sequence[str] | None = None,
    split: str | None = None,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare each further run with the first, record by record.

    `metrics`: by default those that metrics.json of every run holds; `split`: by default the one it was made
    on. A difference is the further run's value less the first's. `p` is a two-sided permutation test that
    exchanges whole clusters; `p_holm` is adjusted over all metrics and runs of this call. Raises InputError
    for fewer than two runs and for runs that were scored on different records or targets.
    """
    if len(run_folders) < 2:
        raise InputError("a comparison needs two runs", got=len(run_folders), expected="two or more run folders")
    folders = [RunFolder(Path(path)) for path in run_folders]
    split = split or _split(folders[0])
    measures = find_measures(metrics or _shared_metrics(folders))
    runs = [read_predictions(folder.predictions(split)) for folder in folders]
    aligned = [runs[0], *(_aligned(runs[0], other) for other in runs[1:])]
    clusters = runs[0].clusters
    scores = [{name: measure.score(run) for name, measure in measures.items()} for run in aligned]
    how = Resampling(resamples, seed)
    comparisons = [
        _comparison(name, measure, (scores[0][name], scores[place][name]), clusters, how, permutations)
        | {"run": str(folders[place].path), "against": str(folders[0].path)}
        for place in range(1, len(folders))
        for name, measure in measures.items()
    ]
    for entry, adjusted in zip(comparisons, holm([one["p"] for one in comparisons]), strict=True):
        entry["p_holm"] = adjusted
    return {
        "split": split,
        "n": len(runs[0]),
        "clusters": None if clusters is None else int(cluster_codes(clusters).max()) + 1,
        "runs": [str(folder.path) for folder in folders],
        "resamples": resamples,
        "permutations": permutations,
        "seed": seed,
        "tests": sum(entry["p"] is not None for entry in comparisons),
        "comparisons": comparisons,
    }


def _comparison(
    name: str,
    measure: Measure,
    pair: tuple[Scores, Scores],
    clusters: list[Any] | None,
    how: Resampling,
    permutations: int,
) -> dict[str, Any]:
    first, second = pair
    found = paired_bootstrap(first, second, clusters=clusters, resamples=how.resamples, seed=how.seed)
    tested = permutation_test(first, second, clusters=clusters, permutations=permutations, seed=how.seed)
    return {
        "metric": name,
        "direction": measure.direction,
        "values": [first.value(), second.value()],
        "difference": difference(first, second),
        "low": found.low,
        "high": found.high,
        "undefined_resamples": found.undefined,
        "p": tested.p,
        "undefined_permutations": tested.undefined,
        "n": len(first),
        "reason": found.reason or tested.reason,
    }


def _aligned(first: Predictions, other: Predictions) -> Predictions:
    """The other run's records in the order of the first.

    Raises InputError where ids, targets or clusters differ.
    """
    places = {one: place for place, one in enumerate(other.ids)}
    alone = [[one for one in first.ids if one not in places], [one for one in other.ids if one not in set(first.ids)]]
    if any(alone):
        raise InputError(
            f"the runs were scored on different records: {len(alone[0])} ids are only in {first.where}, "
            f"{len(alone[1])} only in {other.where}",
            got="; ".join(f"only in {side}: {_some(ids)}" for side, ids in zip("12", alone, strict=True) if ids),
            expected="the same record ids in every run",
            fix="predict both runs on one split of one data set",
        )
    aligned = other.take(np.array([places[one] for one in first.ids]))
    for column in ("target", "cluster"):
        ours, theirs = (
            run.table[column].to_pylist() if column in run.table.column_names else None for run in (first, aligned)
        )
        if ours is None or theirs is None or ours == theirs:
            continue
        differing = [one for one, left, right in zip(first.ids, ours, theirs, strict=True) if left != right]
        raise InputError(
            f"the runs have different values of '{column}' for {len(differing)} records",
            got=_some(differing),
            expected=f"the same {column} for one id in every run",
        )
    return aligned


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def _split(folder: RunFolder) -> str:
    path = folder.metrics()
    return str(read_json(path)["split"]) if path.exists() else "test"


def _shared_metrics(folders: Sequence[RunFolder]) -> list[str]:
    held = [list(read_json(folder.metrics())["metrics"]) if folder.metrics().exists() else [] for folder in folders]
    shared = [name for name in held[0] if all(name in names for names in held[1:])]
    if not shared:
        raise InputError(
            "the runs have no metric in common to compare",
            got="; ".join(
                f"{folder.path}: {', '.join(names) or 'none'}" for folder, names in zip(folders, held, strict=True)
            ),
            expected="metrics of `lossmith list metrics`",
            fix="name them: --metrics rouge1,rougeL",
        )
    return shared
