"""The runs of a study: the study's configuration with a few keys set otherwise."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.config.compose import Composed
from lossmith.config.layers import Layered
from lossmith.config.load import check
from lossmith.config.schema import Config
from lossmith.studies.folder import StudyFolder

RUN = "lossmith.studies.children:run_child"
PREPARE = "lossmith.studies.children:prepare_child"


@dataclass(frozen=True)
class Child:
    """One run of a study: the name of its folder, its whole configuration, and what sets it apart, for study.json."""

    name: str
    config: Config
    varies: Mapping[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        """The configuration as plain values, as a worker takes it."""
        return self.config.model_dump(mode="json")


def child_of(
    study: StudyFolder, config: Config, *, name: str, changes: Mapping[str, Any], varies: Mapping[str, Any]
) -> Child:
    """A run inside the study's folder, of its configuration with `changes` (dotted key: value).

    Raises ConfigError where the changed configuration is none, naming the child.
    """
    return Child(name, changed(config, {**changes, "name": name, "runs_dir": str(study.path)}), varies)


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """The configuration with other values at some dotted keys, checked; an objective given whole replaces the old one.

    >>> changed(Config(), {"train.learning_rate": 1e-3, "objective": {"focal": 1.0}}).objective
    {'focal': 1.0}
    """
    layered = Layered(copy.deepcopy(config.model_dump(mode="json")))
    for key, value in changes.items():
        layered.set(key.split("."), value, "study")
    return check(Composed(layered.values, layered.origin, "study"))


def row_of(child: Child, study: StudyFolder, outcome: Mapping[str, Any] | None) -> dict[str, Any]:
    """A child's row of study.json; without an outcome it is missing so far.

    `path` is relative to the study's folder, so that the folder may be moved.
    """
    found = outcome or {"state": "missing"}
    path = (found.get("result") or {}).get("path")
    return {
        "name": child.name,
        "path": str(Path(path).relative_to(study.path)) if path else child.name,
        "state": found["state"],
        "seconds": found.get("seconds"),
        "error": found.get("error"),
        **child.varies,
    }


def run_child(values: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out the stages of a run that are missing or stale; `path` of its folder."""
    from lossmith.stages import run

    return {"path": str(run(Config.model_validate(values), quiet=True))}


def prepare_child(values: Mapping[str, Any]) -> dict[str, Any]:
    """Prepare the data of a run in the shared cache; `folder` of its rows."""
    from lossmith.stages import prepare

    return {"folder": str(prepare(Config.model_validate(values))["folder"])}
