from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lossmith.config.schema import Config
from lossmith.studies.children import Child
from lossmith.studies.workers import carry_out, cores, processes_for

WORK = "tests.studies.pieces:work"


def children(*names: str, place: Path = Path("runs")) -> list[Child]:
    found = [Config(name=name, seed=seed, runs_dir=str(place)) for seed, name in enumerate(names)]
    return [Child(config.name, config, {"seed": config.seed}) for config in found]


def outcomes(names: list[str], *, processes: int, log: Path) -> dict:
    return {child.name: found for child, found in carry_out(children(*names), processes=processes, log=log, work=WORK)}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_is_told_and_leaves_the_others(tmp_path: Path, processes: int):
    found = outcomes(["a", "bad", "odd", "b"], processes=processes, log=tmp_path / "log")
    assert {name: one["state"] for name, one in found.items()} == {
        "a": "done",
        "bad": "failed",
        "odd": "failed",
        "b": "done",
    }
    assert [found[name]["result"]["seed"] for name in "ab"] == [0, 3]
    assert found["bad"]["error"] == {
        "type": "DataError",
        "message": "no record is left",
        "got": "0 records",
        "expected": None,
        "fix": "give it some",
        "exit_code": 2,
    }
    assert found["odd"]["error"]["message"] == "ZeroDivisionError: by zero"
    assert "pieces.py" in found["odd"]["error"]["traceback"]


def test_processes_take_many_children_and_share_the_cores(tmp_path: Path):
    found = outcomes([f"c{place}" for place in range(6)], processes=2, log=tmp_path / "log")
    pids = {one["result"]["pid"] for one in found.values()}
    assert len(found) == 6
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert {one["result"]["threads"] for one in found.values()} == {str(max(1, cores() // 2))}
    assert "noise on standard output" in (tmp_path / "log").read_text()


def test_a_killed_process_takes_its_own_child_alone(tmp_path: Path):
    found = outcomes(["a", "killed", "b", "killed-too", "c"], processes=2, log=tmp_path / "log")
    assert {name for name, one in found.items() if one["state"] == "done"} == {"a", "b", "c"}
    assert found["killed"]["error"]["message"] == "its process was ended by SIGKILL"


def test_children_are_asked_for_when_a_process_is_free(tmp_path: Path):
    told: list[str] = []

    def ask():
        for child in children("a", "b", "c"):
            # Every child before the last two has been told of when the next is chosen.
            assert len(told) >= int(child.config.seed) - 1
            yield child

    for child, _ in carry_out(ask(), processes=2, log=tmp_path / "log", work=WORK):
        told.append(child.name)
    assert sorted(told) == ["a", "b", "c"]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def comes(what: Callable[[], bool]) -> bool:
    """Whether it becomes true within 30 seconds."""
    for _ in range(600):
        if what():
            return True
        time.sleep(0.05)
    return False


def test_leaving_early_ends_the_processes(tmp_path: Path):
    jobs = children("a", "stays", place=tmp_path)
    with closing(carry_out(jobs, processes=2, log=tmp_path / "log", work=WORK)) as found:
        _, first = next(found)
        assert comes((tmp_path / "stays").exists)
    assert first["state"] == "done"
    assert gone(first["result"]["pid"])
    assert gone(int((tmp_path / "stays").read_text()))


def test_processes_end_with_the_one_that_started_them(tmp_path: Path):
    program = f"""
from pathlib import Path
from lossmith.studies.workers import carry_out
from tests.studies.test_workers import WORK, children
list(carry_out(children("stays-1", "stays-2", place=Path({str(tmp_path)!r})), processes=2,
               log=Path({str(tmp_path / "log")!r}), work=WORK))
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    files = [tmp_path / "stays-1", tmp_path / "stays-2"]
    assert comes(lambda: all(file.exists() and file.read_text() for file in files))
    process.kill()
    process.wait()
    assert comes(lambda: all(gone(int(file.read_text())) for file in files))


def test_processes_are_as_asked_or_as_the_cores_allow(monkeypatch: pytest.MonkeyPatch):
    tiny = Config.model_validate({"model": {"base": "scratch-tiny"}, "train": {"device": "cpu"}})
    monkeypatch.setattr("lossmith.studies.workers.cores", lambda: 4)
    assert processes_for(tiny, 10, asked=3) == 3
    assert processes_for(tiny, 2, asked=3) == 2
    assert processes_for(tiny, 10, asked=None) == 4
    assert processes_for(tiny, 1, asked=None) == 1
    unknown = tiny.model_copy(update={"model": tiny.model.model_copy(update={"base": "nobody/has-this"})})
    assert processes_for(unknown, 10, asked=None) == 1
    on_gpu = Config.model_validate({"model": {"base": "scratch-tiny"}, "train": {"device": "cuda"}})
    assert processes_for(on_gpu, 10, asked=None) == 1
