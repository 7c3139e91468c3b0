"""A search over keys of the configuration: trials asked of Optuna, carried out as runs, and the best one kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossmith.config.data import FoldConfig
from lossmith.config.load import load_config, require_complete
from lossmith.config.schema import Config
from lossmith.config.studies import TuneConfig
from lossmith.errors import LossmithError
from lossmith.report.studies.page import write_study_report
from lossmith.stages import ConfigLike
from lossmith.studies.children import changed
from lossmith.studies.folder import StudyFolder, claim_study
from lossmith.studies.folds import fold_config
from lossmith.studies.tune_aim import Aim, aim_of
from lossmith.studies.tune_results import results_of, write_best
from lossmith.studies.tune_run import TRIAL, Piece
from lossmith.studies.tune_space import Dimension, grid_of, space_of
from lossmith.studies.tune_trials import ask, open_trials, require_optuna, shown_url, tell
from lossmith.studies.workers import carry_out

if TYPE_CHECKING:
    from optuna import Study, Trial

logger = logging.getLogger("lossmith")
Progress = Callable[[int, int | None], None]

# A search may go on with more of these, and elsewhere: what a trial is stays the same.
GROWING = ("trials", "timeout", "storage", "sampler", "pruner", "warmup_steps", "startup_trials")


def tune(config: ConfigLike, overrides: Sequence[str] = (), *, progress: Progress | None = None) -> dict[str, Any]:
    """Search `tune.space` for the best value of a metric on validation; returns what study.json holds, and its `path`.

    The test split is never read. Trials lie in a database, so that a search that was stopped goes on, and several
    processes may work on one; a failed trial is told and does not end it. The best configuration is written to
    best.yaml of the study's folder. With tune.outer each outer fold has a search of its own, and the study is a
    cross-validation (`lossmith.studies.nested`). Raises InputError without Optuna, ConfigError for a space or a metric
    that cannot be searched, and LossmithError where no trial finished.
    """
    settings = require_complete(load_config(config, overrides))
    require_optuna()
    from lossmith.train.preflight import check_names

    check_names(settings)
    aim, dimensions = aim_of(settings), space_of(settings)
    study = claim_study(settings, "tune", growing=GROWING)
    search = Search(study, settings, dimensions, aim)
    if settings.tune.outer is not None:
        from lossmith.studies.nested import carry_out_nested

        return {"path": str(study.path), **carry_out_nested(search, progress=progress)}
    held = carry_out_search(search, progress=progress)
    best_or_error(held)
    return {"path": str(study.path), **held}


@dataclass(frozen=True)
class Search:
    """What is searched and where: the study's folder, the configuration, its space and aim.

    `outer` are folds in whose training parts it stays.
    """

    study: StudyFolder
    config: Config
    dimensions: list[Dimension]
    aim: Aim
    outer: tuple[FoldConfig, ...] = ()

    @property
    def url(self) -> str:
        """The database: one of its own in the study's folder, where none is named."""
        return self.config.tune.storage or f"sqlite:///{(self.study.path / 'trials.db').resolve()}"

    @property
    def name(self) -> str:
        """The search's name in the database: the same question has the same name on every machine."""
        return f"{self.config.name}-{self.study.question}"

    def open(self) -> Study:
        """The search in its database."""
        self.study.path.mkdir(parents=True, exist_ok=True)
        config = self.config
        return open_trials(self.url, self.name, direction=self.aim.direction, tune=config.tune, seed=config.seed)

    def runs(self, params: Mapping[str, Any], folder: str) -> list[Config]:
        """The runs of a trial with these values: one, or one for each fold, none of which has a search of its own."""
        config, folds = self.config, self.config.tune.inner or self.config.tune.folds
        changes: dict[str, Any] = {**params, "data.split.seed": config.split_seed, "evaluate.require": []}
        if not self.aim.while_training:
            metrics = list(dict.fromkeys([self.aim.name, *config.evaluate.metrics]))
            changes |= {"evaluate.metrics": metrics, "evaluate.split": self.aim.split, "evaluate.baselines": "none"}
        places: list[dict[str, Any]] = [{"name": folder, "runs_dir": str(self.study.path)}]
        if self.outer:
            places[0]["data.split.folds"] = [fold.model_dump() for fold in self.outer]
        if folds is not None:
            cut = [(*self.outer, fold_config(config, number, k=folds)) for number in range(folds)]
            places = [
                {
                    "name": f"fold-{number}",
                    "runs_dir": str(self.study.path / folder),
                    "data.split.folds": [fold.model_dump() for fold in levels],
                }
                for number, levels in enumerate(cut)
            ]
        return [changed(config, {**changes, **place}).model_copy(update={"tune": TuneConfig()}) for place in places]


def carry_out_search(search: Search, *, progress: Progress | None = None) -> dict[str, Any]:
    """Carry out trials until there are enough; returns study.json, which is written after each of them."""
    config, tune = search.config, search.config.tune
    grid = grid_of(search.dimensions, seed=config.seed) if tune.sampler == "grid" else None
    total = min(tune.trials, len(grid)) if grid is not None else tune.trials
    trials = search.open()
    if progress is not None:
        progress(_finished(_write(search, trials)), total)
    pieces = _pieces(search, trials, grid)
    with closing(
        carry_out(pieces, processes=min(tune.processes or 1, total), log=search.study.log, work=TRIAL)
    ) as found:
        for piece, outcome in found:
            tell(trials, piece.trial, outcome)
            if outcome["state"] == "failed":
                logger.warning("%s failed: %s", piece.name, outcome["error"]["message"])
            held = _write(search, trials)
            if progress is not None:
                progress(_finished(held), total)
    return _write(search, trials, over=True)


def _pieces(search: Search, trials: Study, grid: list[dict[str, Any]] | None) -> Iterator[Piece]:
    """Trials as they are asked for, until there are enough or the time is over."""
    config, tune = search.config, search.config.tune
    until = None if tune.timeout is None else time.monotonic() + tune.timeout
    while until is None or time.monotonic() < until:
        trial = ask(trials, search.url, search.dimensions, tune=tune, seed=config.seed, grid=grid)
        if trial is None:
            return
        piece = _piece(search, trials, trial)
        if piece is not None:
            yield piece
    logger.warning("tune.timeout of %s seconds is over: no more trials begin", tune.timeout)


def _piece(search: Search, trials: Study, trial: Trial) -> Piece | None:
    """The work of a trial; None, and a failed trial, where its values together make no configuration."""
    from lossmith.studies.worker import told

    folder = trial.user_attrs["folder"]
    params = {one.key: one.value(trial.params[one.key]) for one in search.dimensions}
    try:
        runs = search.runs(params, folder)
    except LossmithError as error:
        logger.warning("%s failed: %s", folder, error.message)
        tell(trials, trial, {"state": "failed", "error": told(error), "seconds": 0.0})
        return None
    return Piece(folder, runs, search.aim, search.url, search.name, trial, search.config.tune)


def _write(search: Search, trials: Study, *, over: bool = False) -> dict[str, Any]:
    """study.json and best.yaml as the database has it now."""
    config = search.config
    results = results_of(trials, config, search.dimensions, aim=search.aim, url=search.url, over=over)
    rows = [{"path": row["name"], **row} for row in results["trials"]]
    write_best(search.study, config, results)
    held = search.study.write(without_password(config), rows, results=results)
    if over:
        write_study_report(search.study.path)
    return held


def without_password(config: Config) -> Config:
    """The configuration as files may hold it: without the password of its database.

    >>> given = Config.model_validate({"tune": {"storage": "mysql://me:secret@host/name"}})
    >>> without_password(given).tune.storage
    'mysql://me:***@host/name'
    """
    url = config.tune.storage
    return config.model_copy(
        update={"tune": config.tune.model_copy(update={"storage": shown_url(url) if url else None})}
    )


def _finished(held: Mapping[str, Any]) -> int:
    return sum(row["state"] in ("done", "pruned", "failed") for row in held["runs"])


def best_or_error(held: Mapping[str, Any]) -> dict[str, Any]:
    """The best trial of a search's study.json; raises LossmithError where none finished."""
    if held["results"]["best"] is not None:
        return dict(held["results"]["best"])
    failed = [row for row in held["runs"] if row["state"] == "failed"]
    raise LossmithError(
        f"no trial of {len(held['runs'])} finished, so there is no best one",
        got=f"{failed[0]['name']}: {failed[0]['error']}" if failed else "no trial ended",
        fix="mend what the first trial tells of; the same command goes on with other values" if failed else None,
    )
