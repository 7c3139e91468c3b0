"""Verify a model that is to be given away: in a process of its own, against the run that it was made from."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.errors import InputError, LossmithError
from lossmith.release.probes import probes_of
from lossmith.release.run_model import facts_of, run_of, trained_run
from lossmith.runs import RunFolder, read_json, write_json


@dataclass(frozen=True)
class Verification:
    """What verification found: `complaints` say what is wrong, none where the copy is the model."""

    folder: Path
    against: Path
    found: Mapping[str, Any]
    complaints: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the copy is the model."""
        return not self.complaints

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "against": str(self.against),
            "passed": self.passed,
            **self.found,
            "complaints": list(self.complaints),
        }

    def require(self) -> None:
        """Raise LossmithError where something is wrong."""
        if self.complaints:
            raise LossmithError(
                f"{self.folder} is not the model of {self.against}",
                got="; ".join(self.complaints),
                expected="the same tokens, the same text, and logits within the tolerance",
                fix="lossmith merge makes it anew; --dtype float32 rounds nothing away",
            )


def verify(folder: str | Path, *, against: str | Path | None = None, tolerance: float | None = None) -> Verification:
    """Hold the model in a folder against the run that it was made from, or against another model's folder.

    A new process loads both and asks them fixed texts and a few prompts of the run: tokens, logits and the text written
    after them are compared. `folder` may be a run, whose merged model is meant; `against` is by default the run that
    the folder lies in. `tolerance` is the largest difference of logits over the largest logit, by default that of the
    number format which the copy is stored in.
    Raises InputError where there is nothing to compare with, LossmithError where a model cannot be loaded or asked.
    """
    copy, run, original = _both(Path(folder), against)
    as_trained = run is not None and original.resolve() == run.model.resolve()
    model = trained_run(run.path).config.model.model_dump(mode="json") if run is not None and as_trained else None
    request = {
        "copy": str(copy),
        "original": str(original),
        "model": model,
        "probes": probes_of(run),
        "tolerance": tolerance,
    }
    found = _in_a_fresh_process(request)
    wrong = [*found.pop("complaints"), *_other_facts(copy, original), *_not_as_merged(copy, run, found)]
    return Verification(copy, run.path if run is not None else original, found, tuple(wrong))


def _both(folder: Path, against: str | Path | None) -> tuple[Path, RunFolder | None, Path]:
    """The copy, the run that it is held against (None where it is a bare folder), and the original's folder."""
    if (folder / "config.yaml").is_file():
        run = trained_run(folder).folder
        if not run.merged.is_dir():
            raise InputError(
                f"{folder} has no merged model yet", got=folder, expected=run.merged, fix=f"lossmith merge {folder}"
            )
        return run.merged, run, run.model
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", got=folder, expected="the folder of a model")
    if against is None:
        found = run_of(folder)
        if found is None:
            raise InputError(
                f"what {folder} was made from is not known here",
                got="a folder that lies in no run",
                expected="the run or the model to hold it against",
                fix=f"lossmith verify {folder} --against RUN",
            )
        return folder, found, found.model
    place = Path(against)
    if (place / "config.yaml").is_file():
        run = trained_run(place).folder
        return folder, run, run.model
    return folder, run_of(place), place


def _other_facts(copy: Path, original: Path) -> list[str]:
    """What the files beside the weights say otherwise."""
    first, second = facts_of(original), facts_of(copy)
    words = {
        "template_hash": "the template that records are rendered with",
        "classes": "the classes",
        "decision": "the threshold or temperature",
    }
    told = [f"{what} of {copy.name} differs" for key, what in words.items() if first.get(key) != second.get(key)]
    return [*told, *_other_generation(copy, original)]


def _other_generation(copy: Path, original: Path) -> list[str]:
    """How answers of the copy begin, are written and end otherwise, where the original says it."""
    from transformers.utils import GENERATION_CONFIG_NAME

    first, second = (_known(folder / GENERATION_CONFIG_NAME) for folder in (original, copy))
    if not first or first == second:
        return []
    if not second:
        return [f"{GENERATION_CONFIG_NAME} of {copy.name} is missing"]
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    told = ", ".join(f"{key} is {second.get(key)}, was {first.get(key)}" for key in keys)
    return [f"{GENERATION_CONFIG_NAME} of {copy.name} differs: {told}"]


def _known(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    return {key: value for key, value in read_json(file).items() if key != "transformers_version" and key[0] != "_"}


def _not_as_merged(copy: Path, run: RunFolder | None, found: Mapping[str, Any]) -> list[str]:
    """What is otherwise than the merge wrote it, by the file that it left beside the weights."""
    merged = facts_of(copy).get("merged")
    if merged is None:
        return []
    told = []
    if run is not None and merged["trained"] != run.manifest().get("trained"):
        told.append(f"{run.path} has been trained again since {copy} was merged")
    if found["dtype"] != merged["dtype"]:
        told.append(f"it was merged in {merged['dtype']} and is stored in {found['dtype']}")
    return told


def _in_a_fresh_process(request: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="lossmith-verify-") as place:
        asked, answered = Path(place) / "request.json", Path(place) / "result.json"
        write_json(asked, request)
        done = subprocess.run(
            [sys.executable, "-m", "lossmith.release.fresh", str(asked), str(answered)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not answered.exists():
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise LossmithError(
                f"{request['copy']} could not be verified: {said[-1] if said else 'the process ended without a word'}",
                got=f"exit code {done.returncode} of the process that loaded it",
                expected="two models that load and answer",
            )
        found = dict(read_json(answered))
    if (error := found.get("error")) is not None:
        told = f"{request['copy']} could not be verified: {error.pop('message')}"
        raise LossmithError(told, **error)
    return found
