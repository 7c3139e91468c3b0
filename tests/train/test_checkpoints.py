"""Checkpoints appear whole, leave whole, and the best one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossmith.runs import RunFolder, append_jsonl, read_jsonl
from lossmith.train.checkpoints import (
    STAGING,
    clear_leftovers,
    complete_checkpoints,
    cut_history,
    publish,
    rotate,
    step_of,
)


def make(folder: Path, *steps: int) -> None:
    for step in steps:
        staged = folder / STAGING / f"checkpoint-{step}"
        staged.mkdir(parents=True)
        (staged / "weights").write_text(str(step))
        publish(staged, folder)


def steps(folder: Path) -> list[int]:
    return [step_of(path) for path in complete_checkpoints(folder)]


@pytest.mark.parametrize(
    ("limit", "best", "kept"),
    [
        (None, None, [5, 10, 15, 20]),
        (2, None, [15, 20]),
        (2, 5, [5, 20]),
        (2, 20, [15, 20]),
        (1, 5, [5, 20]),
        (1, None, [20]),
    ],
)
def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path, limit: int | None, best: int | None, kept: list[int]):
    make(tmp_path, 5, 10, 15, 20)
    rotate(tmp_path, limit=limit, best=tmp_path / f"checkpoint-{best}" if best else None)
    assert steps(tmp_path) == kept


def test_steps_are_ordered_as_numbers(tmp_path: Path):
    make(tmp_path, 100, 20, 3)
    assert steps(tmp_path) == [3, 20, 100]


def test_half_written_folders_are_no_checkpoints(tmp_path: Path):
    make(tmp_path, 5)
    (tmp_path / STAGING / "checkpoint-10").mkdir(parents=True)
    (tmp_path / ".removed-checkpoint-1").mkdir()
    assert steps(tmp_path) == [5]
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5"]


def test_a_checkpoint_taken_again_replaces_the_old_one(tmp_path: Path):
    make(tmp_path, 5)
    staged = tmp_path / STAGING / "checkpoint-5"
    staged.mkdir(parents=True)
    (staged / "weights").write_text("new")
    publish(staged, tmp_path)
    assert (tmp_path / "checkpoint-5" / "weights").read_text() == "new"


def test_history_is_cut_at_the_checkpoint_and_a_partial_line_is_dropped(tmp_path: Path):
    run = RunFolder(tmp_path)
    for step in (1, 5, 10, 15):
        append_jsonl(run.history, {"step": step, "loss": 1 / 3})
    with run.history.open("a") as file:
        file.write('{"step": 20, "lo')
    cut_history(run, 10)
    assert [row["step"] for row in read_jsonl(run.history)] == [1, 5, 10]
    assert read_jsonl(run.history)[0]["loss"] == 1 / 3
