"""The trials of a search in their database: asked for, told, and taken up again where their process died.

Several processes, on several machines, may work on one search: the database alone says what was tried.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from lossmith.config.studies import TuneConfig
from lossmith.errors import InputError, LossmithError
from lossmith.studies.tune_space import Choices, Dimension

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

logger = logging.getLogger("lossmith")

PULSE_SECONDS = 60.0
# A process on another machine is given up when it has been silent for so long.
SILENT_SECONDS = 600.0
TRIES = 3
# A database refuses longer texts.
_LONGEST = 1500


def require_optuna() -> None:
    """Raise InputError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise InputError(
            "a search needs Optuna", got=str(error), expected="an installed optuna", fix="pip install 'lossmith[tune]'"
        ) from None


def open_trials(url: str, name: str, *, direction: str, tune: TuneConfig, seed: int) -> Study:
    """The search of that name in a database, made where it is not there.

    Raises InputError for a URL that is none or whose driver is not installed, LossmithError where the database does
    not answer.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if tune.pruner == "median":
        pruner = optuna.pruners.MedianPruner(n_startup_trials=tune.startup_trials)
    try:
        with _alone(url):
            return optuna.create_study(
                storage=_storage(url),
                study_name=name,
                direction="maximize" if direction == "up" else "minimize",
                sampler=_sampler(tune.sampler, seed),
                pruner=pruner,
                load_if_exists=True,
            )
    except ImportError as error:
        raise InputError(f"the driver of {shown_url(url)} is not installed: {error}", got=shown_url(url)) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ValueError) as error:
        raise LossmithError(
            f"the database {shown_url(url)} could not be opened: {str(error).splitlines()[0]}",
            got=shown_url(url),
            expected="a URL of SQLAlchemy: sqlite:///trials.db, postgresql://user@host/name",
            fix="tune.storage=null keeps the trials in the study's folder",
        ) from error


def _storage(url: str) -> Any:
    from optuna.storages import RDBStorage

    # Others may be writing to the same file.
    waits = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else None
    return RDBStorage(url, engine_kwargs=waits)


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Hold a file's database: SQLite has no way of its own to count trials and to take the next in one."""
    from filelock import FileLock
    from sqlalchemy.engine import make_url

    file = make_url(url).database if url.startswith("sqlite") else None
    with FileLock(f"{file}.lock") if file else nullcontext():
        yield


def shown_url(url: str) -> str:
    """A URL without its password.

    >>> shown_url("postgresql://me:secret@host/name")
    'postgresql://me:***@host/name'
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.partition("://")[0]


def _sampler(name: str, seed: int) -> BaseSampler:
    import optuna

    if name != "tpe":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # Both are defaults of Optuna 5, and new in 4.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _seed_of(seed: int, number: int) -> int:
    """A seed of its own for every trial: a search that goes on after a kill draws what it would have drawn."""
    return int(hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:8], 16)


def ask(
    study: Study,
    url: str,
    dimensions: Sequence[Dimension],
    *,
    tune: TuneConfig,
    seed: int,
    grid: Sequence[Mapping[str, Any]] | None = None,
) -> Trial | None:
    """The next trial, its values drawn; None where as many as tune.trials, or the whole grid, are done or under way.

    Trials whose process died are failed first, and come again with the same values and the same folder, so that
    their runs go on from the last checkpoint.
    """
    with _alone(url):
        take_up_stale(study)
        trials = study.get_trials(deepcopy=False)
        waiting = any(trial.state.name == "WAITING" for trial in trials)
        if len([trial for trial in trials if counts(trial)]) >= tune.trials:
            return None
        if grid is not None and not waiting:
            tried = [trial.params for trial in trials]
            point = next((point for point in grid if point not in tried), None)
            if point is None:
                return None
            study.enqueue_trial(dict(point))
        study.sampler = _sampler(tune.sampler, _seed_of(seed, len(trials)))
        trial = study.ask()
        # Where another process asked at the same time, only the number is this trial's own.
        study.sampler = _sampler(tune.sampler, _seed_of(seed, trial.number))
        trial.set_user_attr("process", _this_process())
        if "folder" not in trial.user_attrs:
            trial.set_user_attr("folder", f"trial-{trial.number}")
    for dimension in dimensions:
        _draw(trial, dimension)
    return trial


def _draw(trial: Trial, dimension: Dimension) -> None:
    if isinstance(dimension, Choices):
        trial.suggest_categorical(dimension.key, [dimension.drawn(value) for value in dimension.values])
    elif dimension.is_whole:
        step = int(dimension.step or 1)
        trial.suggest_int(dimension.key, int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    else:
        trial.suggest_float(
            dimension.key, float(dimension.low), float(dimension.high), log=dimension.log, step=dimension.step
        )


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those asked for: not one that waits, nor one that came again under another number."""
    return trial.state.name != "WAITING" and not trial.user_attrs.get("came_again", False)


def tell(study: Study, trial: Trial, outcome: Mapping[str, Any]) -> None:
    """Note how a trial ended: `result` of a worker's outcome has its `value`, and says whether it was `pruned`."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    result = outcome.get("result") or {}
    try:
        trial.set_user_attr("seconds", outcome.get("seconds"))
        if outcome["state"] == "failed":
            error = outcome["error"]
            told = "; ".join(str(error[part]) for part in ("message", "got", "fix") if error.get(part))
            trial.set_user_attr("error", told[:_LONGEST])
            study.tell(trial, state=TrialState.FAIL)
        elif result["pruned"]:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, result["value"])
    except UpdateFinishedTrialError:
        logger.warning("trial %d was given up by another machine while it was worked on here", trial.number)


def take_up_stale(study: Study) -> list[int]:
    """Fail running trials whose process is gone, and have them come again; returns their numbers."""
    from optuna import Trial as Live
    from optuna.trial import TrialState

    stale = [t for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if _is_dead(t)]
    for trial in stale:
        tries = trial.user_attrs.get("tries", 1)
        again = tries < TRIES
        # Another process may have found it first; then it has it come again.
        with suppress(RuntimeError, ValueError):
            live = Live(study, trial._trial_id)
            live.set_user_attr("came_again", again)
            live.set_user_attr("error", f"its process died, {tries} times of {TRIES}")
            study.tell(trial.number, state=TrialState.FAIL)
            if again:
                kept = {"tries": tries + 1, "folder": trial.user_attrs.get("folder", f"trial-{trial.number}")}
                study.enqueue_trial(dict(trial.params), user_attrs=kept)
    return [trial.number for trial in stale]


def _this_process() -> dict[str, Any]:
    import psutil

    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def _is_dead(trial: FrozenTrial) -> bool:
    """Whether nobody works on a running trial: its process is gone, or on another machine silent for long."""
    import psutil

    process = trial.user_attrs.get("process")
    if process is not None and process["host"] == socket.gethostname():
        try:
            return abs(psutil.Process(process["pid"]).create_time() - process["started"]) > 1.0
        except psutil.NoSuchProcess:
            return True
    began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - trial.user_attrs.get("pulse", began) > SILENT_SECONDS


@contextmanager
def pulse(study: Study, trial_id: int) -> Iterator[None]:
    """Tell the database every minute that a trial is worked on."""
    from optuna import Trial as Live

    over = threading.Event()

    def beat() -> None:
        live = Live(study, trial_id)
        while not over.wait(PULSE_SECONDS):
            # A database that does not answer for a moment is no reason to stop training.
            with suppress(Exception):
                live.set_user_attr("pulse", time.time())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
