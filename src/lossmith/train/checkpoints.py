"""Checkpoints: complete or not there, and the history cut back to the one that training goes on from."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from lossmith.errors import InputError
from lossmith.runs import RunFolder, read_jsonl, write_text

STAGING = ".staging"
TALLY = "tally.json"
GROUPS = "groups.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def step_of(checkpoint: Path) -> int:
    """The optimizer step a checkpoint was taken at, by its name."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None, f"{checkpoint.name} is no checkpoint"
    return int(found[1])


def given_checkpoint(path: str) -> Path:
    """The checkpoint that `train.resume_from_checkpoint` names.

    Raises InputError where it is none, or none that lossmith wrote.
    """
    folder = Path(path).expanduser()
    if _NAME.fullmatch(folder.name) is None or not (folder / TALLY).is_file():
        raise InputError(
            f"{path} is no checkpoint",
            got=f"train.resume_from_checkpoint={path}",
            expected=f"a folder checkpoint-STEP of a run's checkpoints/, with {TALLY} in it",
        )
    return folder


def complete_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in order of their steps; one is only there under its name when it is whole."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), key=step_of)


def publish(staged: Path, folder: Path) -> Path:
    """Move a finished checkpoint from the staging folder to its name."""
    target = folder / staged.name
    if target.exists():
        discard(target)
    staged.replace(target)
    return target


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint so that a half-removed one is never read: it loses its name first."""
    hidden = checkpoint.with_name(f".removed-{checkpoint.name}")
    shutil.rmtree(hidden, ignore_errors=True)
    checkpoint.replace(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def rotate(folder: Path, *, limit: int | None, best: Path | None) -> None:
    """Keep the newest `limit` checkpoints, and the best one."""
    if limit is None:
        return
    whole = complete_checkpoints(folder)
    keep = set(whole[-limit:]) | ({best} if best else set())
    if best in whole[:-limit] and limit > 1:
        keep.discard(whole[-limit])
    for checkpoint in whole:
        if checkpoint not in keep:
            discard(checkpoint)


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name == STAGING or path.name.startswith(".removed-"):
                shutil.rmtree(path, ignore_errors=True)


def cut_history(run: RunFolder, step: int) -> None:
    """Take lines after `step` out of the history: they are written again by the steps that follow."""
    if not run.history.exists():
        return
    rows = [row for row in read_jsonl(run.history) if row["step"] <= step]
    write_text(run.history, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
