"""The study folder: study.json, the run folders of its children, and what is made of all of them together.

runs_dir/NAME/  study.json  config.yaml  workers.log  CHILD/...  predictions/pooled.parquet  metrics.json  report.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lossmith.config.load import as_yaml, training_hash
from lossmith.config.schema import Config
from lossmith.errors import InputError, LossmithError
from lossmith.runs import STUDY_FILE, RunFolder, read_json, write_json, write_text

SCHEMA = 1
Kind = Literal["cv", "ablate", "tune"]


@dataclass(frozen=True)
class StudyFolder:
    """Paths of one study; `files` are those that it shares with a run folder: config, predictions, metrics, report.

    `question` is the hash that tells it from another study of the same name. A study whose predictions are pooled is
    compared, gated and reported as a run is.
    """

    path: Path
    kind: Kind
    question: str

    study_file = property(lambda self: self.path / STUDY_FILE)
    log = property(lambda self: self.path / "workers.log")
    files = property(lambda self: RunFolder(self.path))

    def read(self) -> dict[str, Any]:
        """What study.json holds, empty before the first write."""
        return dict(read_json(self.study_file)) if self.study_file.exists() else {}

    def write(
        self,
        config: Config,
        runs: Sequence[Mapping[str, Any]],
        *,
        results: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Write study.json as a whole; returns it.

        `runs` are the rows of `row_of`, one for each child asked for, `results` what was made of all of them.
        """
        study = {
            "schema": SCHEMA,
            "kind": self.kind,
            "name": self.path.name,
            "question": self.question,
            "config": config.model_dump(mode="json"),
            "runs": [dict(run) for run in runs],
            "missing": [run["name"] for run in runs if run["state"] not in ("done", "pruned")],
            "results": results,
        }
        write_text(self.files.config, as_yaml(config))
        write_json(self.study_file, study)
        return study


def claim_study(config: Config, kind: Kind, *, growing: Collection[str] = ()) -> StudyFolder:
    """The study's folder under runs_dir: its name, or its name and a stamp where something else holds that name.

    A study is the same when the configuration that trains is, and the keys of the group `kind` are; `growing` names
    keys of that group that may change while it stays the same study (how many seeds, what is allowed). Nothing is
    written: a study that is refused leaves the name to the next. Raises InputError where both names are taken.
    """
    digest = question_hash(config, kind, growing=growing)
    for name in (config.name, f"{config.name}-{digest[:8]}"):
        study = StudyFolder(Path(config.runs_dir).expanduser() / name, kind, digest)
        held = study.read()
        if held.get("question") == digest or (not held and not study.files.config.exists()):
            return study
    raise InputError(f"{study.path} is taken by another study", got=digest, fix="give the study another name=...")


def question_hash(config: Config, kind: Kind, *, growing: Collection[str] = ()) -> str:
    """Hash of what a study asks: what trains, and the group of its kind without `growing` and the processes."""
    group = getattr(config, kind).model_dump(mode="json", exclude={"processes", *growing})
    text = json.dumps([kind, training_hash(config), group], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_study(path: str | Path) -> tuple[StudyFolder, dict[str, Any]]:
    """The study at `path` with what its study.json holds.

    Raises InputError where the folder is no study.
    """
    file = Path(path) / STUDY_FILE
    if not file.exists():
        raise InputError(
            f"{path} is not a study folder",
            got=path,
            expected=f"a folder that holds {STUDY_FILE}",
            fix="lossmith cv, lossmith ablate and lossmith tune make one",
        )
    held = dict(read_json(file))
    return StudyFolder(Path(path), held["kind"], held["question"]), held


def check_whole(rows: Sequence[Mapping[str, Any]], *, what: str) -> None:
    """Raise LossmithError where a child failed, with the first one's own words.

    >>> check_whole([{"name": "fold-1", "state": "failed", "error": {"message": "no room", "fix": "free some"}},
    ...              {"name": "fold-2", "state": "done"}], what="folds")
    Traceback (most recent call last):
        ...
    lossmith.errors.LossmithError: 1 of 2 folds failed: fold-1
      got: fold-1: no room
      fix: free some; the same command goes on with what is missing
    """
    failed = [row for row in rows if row["state"] == "failed"]
    if not failed:
        return
    first = failed[0]["error"]
    told = "; ".join(part for part in (first["message"], f"got {first['got']}" if first.get("got") else "") if part)
    again = "the same command goes on with what is missing"
    raise LossmithError(
        f"{len(failed)} of {len(rows)} {what} failed: {', '.join(row['name'] for row in failed)}",
        got=f"{failed[0]['name']}: {told}",
        expected=first.get("expected"),
        fix=f"{first['fix']}; {again}" if first.get("fix") else again,
    )
