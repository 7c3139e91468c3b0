"""What study.json tells of a search, read from its database: every trial, the best one, and what mattered."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossmith.config.load import as_yaml
from lossmith.config.schema import Config
from lossmith.config.studies import TuneConfig
from lossmith.runs import write_text
from lossmith.studies.children import changed
from lossmith.studies.folder import StudyFolder
from lossmith.studies.tune_aim import Aim
from lossmith.studies.tune_space import Dimension
from lossmith.studies.tune_trials import counts, shown_url

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

BEST_FILE = "best.yaml"
# As study.json calls the states of Optuna.
STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
# Fewer trials say nothing of what mattered.
FEWEST = 4


def trial_rows(search: Study, dimensions: Sequence[Dimension]) -> list[dict[str, Any]]:
    """A row for each trial, in order: number, name, state, params, value, seconds, intermediate, error.

    `name` is the folder of its run; one that came again after its process died is told by its last number alone.
    `intermediate` holds step and value of every evaluation, or number and mean after every fold.
    """
    return [_row(trial, dimensions) for trial in search.get_trials(deepcopy=False) if counts(trial)]


def _row(trial: FrozenTrial, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    state = STATES[trial.state.name]
    steps = trial.user_attrs.get("steps") or []
    told = sorted(trial.intermediate_values.items())
    intermediate = [
        {"step": steps[number - 1] if number <= len(steps) else number, "value": value} for number, value in told
    ]
    return {
        "number": trial.number,
        "name": trial.user_attrs.get("folder", f"trial-{trial.number}"),
        "state": state,
        "params": {one.key: one.value(trial.params[one.key]) for one in dimensions if one.key in trial.params},
        "value": trial.value if state in ("done", "pruned") else None,
        "seconds": trial.user_attrs.get("seconds"),
        "intermediate": intermediate,
        "error": trial.user_attrs.get("error") if state == "failed" else None,
    }


def best_of(rows: Sequence[dict[str, Any]], aim: Aim) -> dict[str, Any] | None:
    """The finished trial of the best value, the first of equal ones; None where none finished."""
    best = None
    for row in rows:
        if row["state"] == "done" and (best is None or aim.better(row["value"], best["value"])):
            best = row
    return best


def importances(search: Study, *, seed: int) -> dict[str, Any]:
    """The share of the values' variance that each key explains, by fANOVA over the finished trials."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    done = search.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found: dict[str, Any] = {"method": "fanova", "n": len(done), "values": None, "reason": None}
    if len(done) < FEWEST:
        return found | {"reason": f"fewer than {FEWEST} finished trials"}
    if len({trial.value for trial in done}) < 2:
        return found | {"reason": "all finished trials have the same value"}
    evaluator = FanovaImportanceEvaluator(seed=seed)
    values = get_param_importances(search, evaluator=evaluator)
    return found | {"values": {key: float(value) for key, value in values.items()}}


def results_of(
    search: Study, config: Config, dimensions: Sequence[Dimension], *, aim: Aim, url: str, over: bool
) -> dict[str, Any]:
    """The `results` of study.json; what mattered is worked out when the search is `over`, because it takes a while."""
    rows = trial_rows(search, dimensions)
    tune = config.tune
    states = [row["state"] for row in rows]
    folds = tune.inner or tune.folds
    return {
        "metric": aim.metric,
        "direction": aim.direction,
        "split": aim.split,
        "folds": folds,
        "sampler": tune.sampler,
        "pruner": tune.pruner if aim.while_training or folds else "none",
        "storage": shown_url(url),
        "space": {one.key: one.told() for one in dimensions},
        "counts": {state: states.count(state) for state in STATES.values()},
        "trials": rows,
        "best": best_of(rows, aim),
        "best_file": BEST_FILE if "done" in states else None,
        "importances": importances(search, seed=config.seed) if over else None,
    }


def best_config(config: Config, best: dict[str, Any]) -> Config:
    """The configuration with the best trial's values, ready to be run: no search, and a name of its own."""
    found = changed(config, {**best["params"], "name": f"{config.name}-best"})
    return found.model_copy(update={"tune": TuneConfig()})


def write_best(study: StudyFolder, config: Config, results: dict[str, Any]) -> None:
    """Write the best configuration so far as a file of its own."""
    best = results["best"]
    if best is None:
        return
    counted = results["counts"]
    head = (
        f"# Trial {best['number']} of {sum(counted.values())} of a search: {results['metric']} {best['value']:.6g} on "
        f"{results['split']}{' folds' if results['folds'] else ''}.\n"
        + "".join(f"# {key} = {value}\n" for key, value in best["params"].items())
        + f"# lossmith run {shlex.quote(str(study.path / BEST_FILE))}\n"
    )
    write_text(study.path / BEST_FILE, head + as_yaml(best_config(config, best)))
