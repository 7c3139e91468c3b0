"""Where a model lies that was named: a run, a folder, an adapter, a name on the hub; and what is known of its use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.config.load import load_run_config
from lossmith.config.schema import Config
from lossmith.errors import InputError
from lossmith.models.source import MODEL_FILE, not_found
from lossmith.models.stored import Stored, stored_at
from lossmith.release.run_model import facts_of, run_of
from lossmith.runs import RunFolder, open_run, read_json
from lossmith.tasks.asked_config import read_asked
from lossmith.train.run import training_state

# Architectures of transformers that end before a head, or in one that fills gaps or marks tokens.
_HEADLESS = re.compile(r"((?<!LMHead)Model|ForMaskedLM|ForPreTraining|ForTokenClassification|ForQuestionAnswering)$")


@dataclass(frozen=True)
class Place:
    """A model in its place.

    `config` is that of its run, or what was written of it beside the model, None where nothing is known; `facts` are
    what is kept beside the model: the hash of its template, classes, how scores decide. `is_base`: the run has trained
    nothing, and asks its base as it is.
    """

    name: str
    stored: Stored
    config: Config | None = None
    facts: Mapping[str, Any] | None = None
    is_base: bool = False

    @property
    def known(self) -> Mapping[str, Any]:
        """What is kept beside the model, or nothing."""
        return self.facts or {}


def find_place(name: str) -> Place:
    """The place of a model.

    Raises InputError where there is none, for a run that is not trained yet, and for a scratch base nobody trained.
    """
    folder = Path(name).expanduser()
    if not name.strip() or (name.startswith("scratch-") and not folder.is_dir()):
        raise InputError(
            f"'{name}' names no model that was trained",
            got=name or "an empty name",
            expected="a run folder, the folder of a model or an adapter, or a name on the hub",
            fix="lossmith demo trains two runs" if name.strip() else None,
        )
    if (folder / "config.yaml").is_file():
        return _of_run(name, open_run(folder))
    if not folder.exists() and len(folder.parts) > 1 and any(folder.parent.glob("*/config.yaml")):
        # A misspelt run: the hub would be asked for it, and where it is out of reach again and again.
        raise not_found(name)
    stored = stored_at(name)
    run = run_of(stored.folder) if stored.hub_name is None else None
    _require_head(stored, name)
    facts = _facts(run, stored)
    config = read_asked(facts) if run is None else load_run_config(run.config)
    return Place(name, stored, config, facts)


def _require_head(stored: Stored, name: str) -> None:
    """Raise InputError for a whole model that says it has no head to write or to classify with."""
    if stored.is_adapter or not stored.writes:
        return
    named = [str(each) for each in read_json(stored.folder / MODEL_FILE).get("architectures") or ()]
    if named and all(_HEADLESS.search(each) for each in named):
        raise InputError(
            f"{name} neither writes text nor tells classes",
            got=", ".join(named),
            expected="a causal language model, an encoder-decoder, a classifier, or a run",
            fix="train a classifier on it: lossmith init classification",
        )


def _of_run(name: str, run: RunFolder) -> Place:
    config = load_run_config(run.config)
    if config.train is None:
        if config.model.base is None or config.model.is_scratch:
            raise InputError(
                f"{name} asks a base of random weights, which nobody has trained",
                got=f"train: null, model.base={config.model.base}",
                expected="a run that trained, or a base that was trained elsewhere",
            )
        return Place(name, stored_at(config.model.base), config, run.manifest(), is_base=True)
    if (state := training_state(run)) != "done":
        raise InputError(
            f"{name} holds no trained model",
            got=f"a training that is {state}",
            expected="one that is done",
            fix=f"lossmith train {run.config} --resume",
        )
    stored = stored_at(str(run.model))
    return Place(name, stored, config, _facts(run, stored))


def _facts(run: RunFolder | None, stored: Stored) -> Mapping[str, Any]:
    """What the manifest of a run says, and what lies beside the model itself."""
    return {**(run.manifest() if run is not None else {}), **facts_of(stored.folder)}
