"""Train one configuration, from its sources to a saved model: read this file to know what a run does."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.config.load import as_yaml, load_config, require_complete, training_hash
from lossmith.config.objective import written_terms
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, InputError
from lossmith.names import code_hash
from lossmith.runs import STUDY_FILE, RunFolder, dead_terms, read_jsonl, write_json, write_text

if TYPE_CHECKING:
    from lossmith.data.prepare import Prepared

logger = logging.getLogger("lossmith")


@dataclass(frozen=True)
class TrainResult:
    """What `lossmith.train` returns: plain values and paths."""

    path: Path
    history: dict[str, list[float]]
    best_step: int | None
    best_metric: float | None
    dead_terms: tuple[str, ...] = ()


def train(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    fresh: bool = False,
    quiet: bool = False,
) -> TrainResult:
    """Train a model and save it in its run folder.

    Raises InputError where an unfinished run of this configuration is there and neither `resume` nor `fresh` is
    given.
    """
    settings = require_complete(load_config(config, overrides))
    if settings.train is None:
        raise ConfigError("train is null, so there is nothing to train", fix="lossmith run evaluates the base model")
    # What is above tells mistakes before torch is loaded.
    from lossmith.train.preflight import check_names
    from lossmith.train.progress import log_to

    check_names(settings)
    run = claim_folder(settings)
    with run.lock(), log_to(run.log if run.writes else None, quiet=quiet or not run.writes):
        state = training_state(run)
        if state == "unfinished" and not (resume or fresh):
            raise InputError(
                f"{run.path} holds an unfinished training of this configuration",
                got=f"{len(list(run.checkpoints.glob('checkpoint-*')))} checkpoints",
                expected="--resume to go on from the last checkpoint, or --fresh to start again",
            )
        if state != "new" and not fresh and (changed := changed_since(run, settings)):
            raise InputError(
                f"{changed} changed since {run.path} was trained",
                got="something else under the same configuration",
                expected="--fresh to train again on what is there now, or a run beside it with name=...",
            )
        if state == "done" and not fresh:
            logger.info("%s is trained already", run.path)
            return _result(run)
        if run.writes and (fresh or _of_another(run, settings)):
            _clear(run)
        if run.writes:
            write_text(run.config, as_yaml(settings))
        _train_in(run, settings)
        return _result(run)


def claim_folder(config: Config) -> RunFolder:
    """The run's folder: its name, or its name and a stamp where another configuration holds that name."""
    digest = training_hash(config)
    for name in (config.name, f"{config.name}-{digest[:8]}"):
        run = RunFolder(Path(config.runs_dir).expanduser() / name, writes=is_first_process())
        if (run.path / STUDY_FILE).exists():
            continue
        if not run.config.exists() or training_hash(load_config(run.config)) == digest or _holds_nothing(run):
            return run
    raise InputError(f"{run.path} is taken by another configuration", got=digest, fix="give the run another name=...")


def _holds_nothing(run: RunFolder) -> bool:
    """A configuration that was refused before its first step leaves its name to the next one."""
    return training_state(run) == "new" and not run.predictions("test").parent.exists()


def _of_another(run: RunFolder, config: Config) -> bool:
    return run.manifest().get("config_hash", training_hash(config)) != training_hash(config)


def changed_since(run: RunFolder, config: Config) -> str | None:
    """What is no longer as the run was trained on it, though the configuration is: its data, or a loss's own code."""
    from lossmith.tasks.prepare import prepare_config

    manifest = run.manifest()
    for term in manifest.get("objective", []):
        code = term.get("code")
        if code is not None and code != code_hash(term["loss"], what="loss"):
            return f"the code of the loss '{term['loss']}' has"
    trained_on = manifest.get("trained_on")
    if trained_on is not None and prepare_config(config).fingerprint != trained_on:
        return "the sources or the template have"
    return None


def start_untrained(run: RunFolder, config: Config) -> None:
    """Begin a run of a base model as it is: its facts and its data."""
    from lossmith.train.facts import run_facts

    if _of_another(run, config):
        _clear(run)
    if "config_hash" not in run.manifest():
        run.update_manifest(**run_facts(config))
    prepare_in(run, config)


def processes() -> int:
    """Processes of this run, as torchrun tells them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process writes the run's files."""
    return int(os.environ.get("RANK", "0")) == 0


def training_state(run: RunFolder) -> str:
    """`new`, `unfinished` or `done`."""
    if (run.model / "config.json").exists() or (run.model / "adapter_config.json").exists():
        return "done"
    return "unfinished" if run.history.exists() or run.checkpoints.exists() else "new"


def _clear(run: RunFolder) -> None:
    import shutil

    for path in (run.checkpoints, run.model, run.tensorboard, run.path / "predictions"):
        shutil.rmtree(path, ignore_errors=True)
    for path in (
        run.history,
        run.manifest_file,
        run.audit,
        run.rejected,
        run.report,
        *run.path.glob("metrics*.json"),
        *run.path.glob("evidence*.json"),
        *run.path.glob("sweep.*"),
    ):
        path.unlink(missing_ok=True)


@dataclass
class Timing:
    """Whether the time of a stage is to be noted."""

    noted: bool = True


@contextmanager
def stage(run: RunFolder, name: str) -> Iterator[Timing]:
    """Time a stage and note its peak memory in the manifest."""
    import time

    from lossmith.train.facts import peak_memory_bytes

    start = time.monotonic()
    timing = Timing()
    yield timing
    if not timing.noted:
        return
    seconds = round(time.monotonic() - start, 3)
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    run.update_manifest(
        stages={name: {"seconds": seconds, "peak_memory_bytes": peak_memory_bytes()}}, finished=finished
    )


def prepare_in(run: RunFolder, config: Config, *, progress: Any = None) -> Prepared:
    """Prepare the data and copy its audit and rejected records into the run folder."""
    import shutil

    from lossmith.tasks.prepare import prepare_config

    known = run.manifest().get("data", {}).get("fingerprint")
    with stage(run, "prepare") as timing:
        prepared = prepare_config(config, progress=progress)
        # Finding the same rows again says nothing of what it took to make them.
        timing.noted = prepared.fingerprint != known
    if run.writes:
        write_json(run.audit, prepared.audit)
        shutil.copyfile(prepared.folder / "rejected.jsonl", run.rejected)
    run.update_manifest(
        data={
            "fingerprint": prepared.fingerprint,
            "folder": str(prepared.folder),
            "files": prepared.files,
            "counts": prepared.counts,
        },
        template_hash=prepared.template_hash,
        **({"classes": prepared.classes.as_json()} if prepared.classes else {}),
    )
    for sentence in prepared.audit.get("warnings", []):
        run.add_warning(sentence)
    return prepared


def _train_in(run: RunFolder, config: Config) -> None:
    from lossmith.train.facts import run_facts
    from lossmith.train.loop import build_trainer, fit, save

    assert config.train is not None
    run.update_manifest(**run_facts(config), processes=processes())
    prepared = prepare_in(run, config)
    run.update_manifest(trained_on=prepared.fingerprint)
    warn = warn_into(run)
    for name in silent_terms(config):
        warn(f"the term '{name}' has weight 0 and is left out")
    with stage(run, "train"), warnings.catch_warnings():
        # Said above, in a sentence of ours.
        warnings.filterwarnings("ignore", message="the term '.*' has weight 0", category=UserWarning)
        trainer, loaded = build_trainer(run, config, prepared, warn=warn)
        fit(trainer, run, config.train, total_steps=trainer.work.total_steps)
        save(trainer, loaded, run, prepared=prepared, config=config)
    for name in dead_terms(read_jsonl(run.history)):
        warn(f"the term '{name}' was dead at the end of training: it trained nothing")


def silent_terms(config: Config) -> list[str]:
    """Terms of weight 0."""
    return [term.name for term in written_terms(config.objective) if not term.weight]


def warn_into(run: RunFolder) -> Callable[[str], None]:
    """A function that says a warning aloud and keeps it in the manifest."""

    def warn(sentence: str) -> None:
        logger.warning("%s", sentence)
        run.add_warning(sentence)

    return warn


def _result(run: RunFolder) -> TrainResult:
    history: dict[str, list[float]] = {}
    lines = read_jsonl(run.history)
    for line in lines:
        for name, value in line.items():
            if name == "dead":
                continue
            if name == "terms":
                for term, facts in value.items():
                    history.setdefault(f"term/{term}", []).append(facts["value"])
            elif value is not None:
                history.setdefault(
                    name if "eval_loss" not in line or name.startswith("eval") else f"eval_{name}", []
                ).append(value)
    best = run.manifest().get("best", {})
    return TrainResult(run.path, history, best.get("step"), best.get("value"), dead_terms(lines))
