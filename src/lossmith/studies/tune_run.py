"""One trial carried out: its run, or a run a fold, watched at every evaluation and ended where it is far behind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.config.schema import Config
from lossmith.config.studies import TuneConfig
from lossmith.errors import LossmithError
from lossmith.runs import RunFolder
from lossmith.studies.tune_aim import Aim, evaluations, measured
from lossmith.train.watching import watching

if TYPE_CHECKING:
    from optuna import Trial

TRIAL = "lossmith.studies.tune_run:run_trial"


class PrunedError(LossmithError):
    """A trial that is far behind the others and was ended."""


@dataclass(frozen=True)
class Piece:
    """A trial as a worker takes it: the configurations of its runs, one or one a fold, and where it is told of."""

    name: str
    runs: Sequence[Config]
    aim: Aim
    url: str
    search: str
    trial: Trial
    tune: TuneConfig

    @property
    def values(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "runs": [config.model_dump(mode="json") for config in self.runs],
            "aim": vars(self.aim),
            "url": self.url,
            "search": self.search,
            "trial": self.trial._trial_id,
            "tune": self.tune.model_dump(mode="json"),
        }


def run_trial(values: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a trial's runs; its `value` (the mean over them) and whether it was `pruned`."""
    from optuna import Trial as Live

    from lossmith.studies.tune_trials import open_trials, pulse

    aim, tune = Aim(**values["aim"]), TuneConfig.model_validate(values["tune"])
    study = open_trials(values["url"], values["search"], direction=aim.direction, tune=tune, seed=0)
    trial = Live(study, values["trial"])
    configs = [Config.model_validate(config) for config in values["runs"]]
    found: list[float] = []
    with pulse(study, values["trial"]):
        for config in configs:
            told = _Told(trial, aim, RunFolder(_folder(config)), tune.warmup_steps)
            try:
                found.append(_run(config, aim, told if len(configs) == 1 else None))
            except PrunedError as error:
                _mark_pruned(told.run, error)
                return {"value": None, "pruned": True}
            if len(configs) > 1:
                trial.report(sum(found) / len(found), len(found))
                if len(found) < len(configs) and trial.should_prune():
                    return {"value": None, "pruned": True}
    return {"value": sum(found) / len(found), "pruned": False}


def _folder(config: Config) -> Path:
    from lossmith.train.run import claim_folder

    return claim_folder(config).path


def _run(config: Config, aim: Aim, told: _Told | None) -> float:
    """The value of one run, from its last checkpoint where it was begun; its checkpoints are removed afterwards."""
    from lossmith.stages import run
    from lossmith.train.run import changed_since, claim_folder, train, training_state

    with watching(told.see if told is not None else lambda _: None):
        if aim.while_training:
            folder = claim_folder(config)
            state = training_state(folder)
            changed = state != "new" and changed_since(folder, config) is not None
            path = train(config, resume=state == "unfinished" and not changed, fresh=changed, quiet=True).path
        else:
            path = run(config, quiet=True)
    done = RunFolder(path)
    if told is not None and aim.while_training:
        told.report()
    value = measured(done, config, aim)
    shutil.rmtree(done.checkpoints, ignore_errors=True)
    return value


def _mark_pruned(run: RunFolder, error: PrunedError) -> None:
    run.update_manifest(pruned={"at": error.message, "got": error.got, "expected": error.expected})
    run.add_warning(f"pruned: {error.message}")
    shutil.rmtree(run.checkpoints, ignore_errors=True)


class _Told:
    """What the database has been told of a run's evaluations, numbered from 1."""

    def __init__(self, trial: Trial, aim: Aim, run: RunFolder, warmup_steps: int) -> None:
        self.trial, self.aim, self.run, self.warmup_steps = trial, aim, run, warmup_steps
        self.steps: list[int] = []

    def report(self) -> None:
        """Tell of every evaluation in the history that was not told yet: a run that goes on has earlier ones."""
        found = evaluations(self.run, self.aim)
        for number, (_, value) in enumerate(found[len(self.steps) :], start=len(self.steps) + 1):
            self.trial.report(value, number)
        self.steps = [step for step, _ in found]
        self.trial.set_user_attr("steps", self.steps)

    def see(self, line: Mapping[str, Any]) -> None:
        """Tell of an evaluation.

        Raises PrunedError where its best value so far is worse than the median of the other trials at that evaluation.
        """
        if not self.aim.while_training:
            return
        self.report()
        if line["step"] > self.warmup_steps and self.steps and self.trial.should_prune():
            raise PrunedError(
                f"at step {line['step']}, evaluation {len(self.steps)}: worse than the median of the other trials",
                got=f"{self.aim.metric} {line.get(f'eval_{self.aim.metric}')}",
            )
