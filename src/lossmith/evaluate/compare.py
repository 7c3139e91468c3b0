"""Two or more runs, or ways of predicting, on the same records: differences, intervals, permutation p values, Holm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lossmith.errors import InputError
from lossmith.evaluate.compare_groups import group_differences
from lossmith.evaluate.measures import Measure, Resampling, find_measures
from lossmith.evaluate.predictions import SMALLEST_GROUP, Predictions, aligned, read_predictions
from lossmith.metrics.intervals import RESAMPLES, cluster_codes
from lossmith.metrics.paired import PERMUTATIONS, difference, holm, paired_bootstrap, permutation_test
from lossmith.metrics.scores import AnyScores
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

    `metrics`: by default those that every run was asked for; `split`: by default the one it was made
    on. A difference is the further run's value less the first's. `p` is a two-sided permutation test that
    exchanges whole clusters; `p_holm` is adjusted over all metrics and runs of this call. `groups` holds the error
    rates of each group of a classification, with intervals of their differences. Raises InputError
    for fewer than two runs and for runs that were scored on different records or targets.
    """
    if len(run_folders) < 2:
        raise InputError("a comparison needs two runs", got=len(run_folders), expected="two or more run folders")
    folders = [RunFolder(Path(path)) for path in run_folders]
    split = split or _split(folders[0])
    smallest = _smallest_group(folders[0])
    held = [
        (str(folder.path), read_predictions(folder.predictions(split), smallest_group=smallest)) for folder in folders
    ]
    asked = metrics or _shared_metrics(folders)
    return {"split": split} | compare_predictions(
        held, asked, how=Resampling(resamples, seed), permutations=permutations
    )


def compare_predictions(
    held: Sequence[tuple[str, Predictions]],
    metrics: Sequence[str],
    *,
    how: Resampling,
    permutations: int = PERMUTATIONS,
) -> dict[str, Any]:
    """Compare each further set of predictions with the first, as `compare_runs` does runs; each comes with its name.

    Raises InputError where they are of different records or targets.
    """
    (first_name, first), *others = held
    measures = find_measures(metrics, first.classes)
    same = [(name, aligned(first, other)) for name, other in others]
    clusters = first.clusters
    own = {name: measure.score(first) for name, measure in measures.items()}
    comparisons = [
        _comparison(name, measure, (own[name], measure.score(other)), clusters, how, permutations)
        | {"run": run, "against": first_name}
        for run, other in same
        for name, measure in measures.items()
    ]
    for entry, adjusted in zip(comparisons, holm([one["p"] for one in comparisons]), strict=True):
        entry["p_holm"] = adjusted
    return {
        "n": len(first),
        "clusters": None if clusters is None else int(cluster_codes(clusters).max()) + 1,
        "runs": [name for name, _ in held],
        "resamples": how.resamples,
        "permutations": permutations,
        "seed": how.seed,
        "tests": sum(entry["p"] is not None for entry in comparisons),
        "comparisons": comparisons,
        "groups": [
            entry | {"run": run, "against": first_name}
            for run, other in same
            for entry in group_differences(first, other, how)
        ],
    }


def _comparison(
    name: str,
    measure: Measure,
    pair: tuple[AnyScores, AnyScores],
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


def _asked(folder: RunFolder) -> list[str]:
    """The metrics that were asked for: those that are measured besides would make every p value of Holm's larger."""
    if not folder.metrics().exists():
        return []
    held = read_json(folder.metrics())
    return list(held.get("asked") or held["metrics"])


def _split(folder: RunFolder) -> str:
    path = folder.metrics()
    return str(read_json(path)["split"]) if path.exists() else "test"


def _smallest_group(folder: RunFolder) -> int:
    path = folder.metrics()
    return int(read_json(path).get("smallest_group", SMALLEST_GROUP)) if path.exists() else SMALLEST_GROUP


def _shared_metrics(folders: Sequence[RunFolder]) -> list[str]:
    held = [_asked(folder) for folder in folders]
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
