"""The laws of counting on every task of the table, through its trainer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lossmith.errors import DataError
from lossmith.names import LOSSES, TASKS

from .task_runs import RECORDS, RUNS, built, first_gradient, write_records

every_run = pytest.mark.parametrize("run", RUNS)
CUTS = ((8, 1), (4, 2), (2, 4), (1, 8))


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    return write_records(tmp_path)


def far(found: dict[str, Tensor], true: dict[str, Tensor]) -> float:
    """The largest difference of a parameter's gradient, as a share of its norm."""
    assert found.keys() == true.keys()
    return max(float((found[name] - true[name]).norm() / true[name].norm()) for name in true)


def test_every_task_has_a_run_here_and_every_loss_is_a_term_of_one():
    assert {run.task for run in RUNS.values()} == set(TASKS)
    read = {reads for task in TASKS.values() for way in task.ways.values() for reads in way.losses}
    given = {name for task in TASKS.values() for way in task.ways.values() for name in way.gives}
    wanted = [n for n, row in LOSSES.items() if row.reads == "tokens" or (row.reads in read and given >= {*row.needs})]
    assert {name for run in RUNS.values() for name in run.losses} == set(wanted)
    assert len(wanted) == 15


@every_run
def test_a_window_cut_anyhow_has_one_gradient(run: str, tmp_path: Path):
    first, *others = [first_gradient(run, tmp_path, size=size, accumulation=steps) for size, steps in CUTS]
    assert all(bool(gradient.any()) for gradient in first.values())
    for other in others:
        assert far(other, first) < 2e-5


def test_a_window_over_two_processes_has_the_same_gradient(tmp_path: Path):
    alone = [first_gradient(run, tmp_path, size=4, accumulation=2) for run in RUNS]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "tests.laws.task_runs", str(tmp_path), "2", "2"],
        cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for number, gradient in enumerate(alone):
        for rank in range(2):
            assert far(torch.load(tmp_path / f"gradient-{number}-{rank}.pt"), gradient) < 2e-5


@every_run
def test_sums_do_not_depend_on_padding(run: str, tmp_path: Path):
    trainer, _, _ = built(run, tmp_path)
    work, model = trainer.work, trainer.model
    model.eval()

    @torch.no_grad()
    def sums(numbers: list[int]) -> dict[str, float]:
        value = work.forward(model, work.collate([work.train[n] for n in numbers])).value(work.objective)
        return {name: float(found) for name, found in value.sums.items()}

    together = sums(list(range(RECORDS)))
    alone = [sums([number]) for number in range(RECORDS)]
    assert {name.partition("#")[0] for name in together} == set(RUNS[run].losses)
    for name, total in together.items():
        assert total == pytest.approx(sum(each[name] for each in alone), rel=1e-6), name


def test_the_end_of_every_answer_is_supervised_once(tmp_path: Path):
    trainer, _, _ = built("causal", tmp_path)
    rows, collate = trainer.work.train, trainer.work.collate
    for number in range(RECORDS):
        labels = collate([rows[number]])["labels"].tolist()
        assert labels.count(labels[-1]) == 1
        assert labels[-1] == rows[number]["input_ids"][-1]


@every_run
def test_the_evaluation_loss_does_not_depend_on_the_batch_size(run: str, tmp_path: Path):
    found = []
    for size in (1, 3, RECORDS):
        trainer, _, _ = built(run, tmp_path, per_device_eval_batch_size=size)
        found.append({name: value for name, value in trainer.evaluate().items() if "per_second" not in name})
    for name in ("eval_loss", *(f"eval_{each}" for each in RUNS[run].losses)):
        assert [each[name] for each in found] == pytest.approx([found[0][name]] * 3, rel=1e-6), name


def test_a_span_that_is_nowhere_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="'focal' is absent"):
        built("causal", tmp_path, objective="{cross_entropy: 1, focal: {weight: 1, span: nowhere}}")


@every_run
def test_every_term_is_logged_with_its_share_and_a_dead_one_is_told(run: str, tmp_path: Path):
    last = RUNS[run].losses[-1]
    objective = RUNS[run].objective.replace(f"{last}: {{weight: 0.2", f"{last}: {{weight: 1e-9")
    _, train_it, warnings = built(run, tmp_path, objective=objective, num_train_epochs=6, share_steps=1)
    history = train_it()
    for line in history:
        assert list(line["terms"]) == list(RUNS[run].losses)
        assert all(term["value"] is not None for term in line["terms"].values())
        assert sum(term["share"] for term in line["terms"].values()) == pytest.approx(1)
    dead = [warning for warning in warnings if "is dead" in warning]
    assert len(dead) == 1
    assert dead[0].startswith(f"the term '{last}' is dead")
