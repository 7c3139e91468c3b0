"""The model of a run as release reads it, and what is written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.config.load import load_run_config
from lossmith.config.schema import Config
from lossmith.errors import InputError
from lossmith.runs import FACTS_FILE, RunFolder, open_run, read_json


@dataclass(frozen=True)
class TrainedRun:
    """A run that has a model, and its configuration; `trained` names the training that the model is from."""

    folder: RunFolder
    config: Config
    trained: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.path.resolve().name


def trained_run(path: str | Path) -> TrainedRun:
    """The run at `path`.

    Raises InputError where it is no run, or one without a trained model.
    """
    folder = open_run(path)
    config = load_run_config(folder.config)
    if config.train is None:
        raise InputError(
            f"{path} measured its base as it is, so it has no model of its own",
            got="train: null",
            expected="a run that trained",
            fix=f"the base itself is {config.model.base}",
        )
    trained = folder.manifest().get("trained")
    if trained is None or not folder.model.is_dir():
        raise InputError(
            f"{path} holds no trained model",
            got="no model folder",
            expected="a training that is done",
            fix=f"lossmith train {folder.config} --resume",
        )
    return TrainedRun(folder, config, str(trained))


def run_of(folder: Path) -> RunFolder | None:
    """The run that a model's folder lies in, None where it lies elsewhere."""
    parent = folder.resolve().parent
    return open_run(parent) if (parent / "config.yaml").is_file() else None


def facts_of(folder: Path) -> Mapping[str, Any]:
    """What lossmith keeps beside a model: hash of its template, classes, how scores decide, what it was merged from."""
    return dict(read_json(folder / FACTS_FILE)) if (folder / FACTS_FILE).is_file() else {}
