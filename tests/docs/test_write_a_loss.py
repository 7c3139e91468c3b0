"""docs/write-a-loss.md: its code is a module that works, its commands leave as it says, its tables are complete."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lossmith.losses.laws import LAWS
from lossmith.losses.statistics import HEAD_STATISTICS, POSITION_STATISTICS, SET_STATISTICS
from tests.docs.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "write-a-loss.md"
README = Path(__file__).parents[2] / "README.md"
LOSSMITH = str(Path(sys.executable).with_name("lossmith"))


def first_cells() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader of the page would have: my_losses.py, mine.yaml and some records."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "my_losses.py").write_text("\n\n".join(blocks(PAGE, "python")), encoding="utf-8")
    (configuration,) = blocks(PAGE, "yaml")
    (folder / "mine.yaml").write_text(configuration, encoding="utf-8")
    sums = [{"question": f"{n} + {m} =", "answer": str(n + m)} for n in range(6) for m in range(6)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(each) + "\n" for each in sums), encoding="utf-8")
    return folder


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LOSSMITH_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.timeout(600)
def test_every_command_leaves_as_the_page_says(folder: Path):
    lines = [line for block in blocks(PAGE, "console") for line in block.splitlines()]
    assert len(lines) == 7
    outputs = {}
    for line in lines:
        command, _, said = line.partition("#")
        done = call(folder, LOSSMITH, *shlex.split(command)[1:])
        expected = int(said.rsplit(" ", 1)[1]) if said else 0
        assert done.returncode == expected, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        outputs[command.strip()] = done.stdout
    checks = {command: text for command, text in outputs.items() if "--check" in command}
    for command, text in checks.items():
        broken = re.findall(r"^FAIL  (\w+)", text, re.MULTILINE)
        assert broken == (["gradient", "alive"] if "detached" in command else []), command
        assert len(re.findall(r"^(?:pass|FAIL|-) ", text, re.MULTILINE)) == len(LAWS), command
    (shown,) = blocks(PAGE, "text")
    assert outputs["lossmith list losses --check my_losses:poly1 --set epsilon=2"].startswith(shown)
    history = (folder / "runs" / "run" / "history.jsonl").read_text()
    assert set(json.loads(history.splitlines()[0])["terms"]) == {"cross_entropy", "poly1", "recall"}
    manifest = json.loads((folder / "runs" / "run" / "manifest.json").read_text())
    assert {term["name"]: term["parameters"] for term in manifest["objective"]}["poly1"] == {"epsilon": 3}


def test_the_module_runs_as_a_script(folder: Path):
    done = call(folder, sys.executable, "-W", "error::UserWarning", "my_losses.py")
    assert done.returncode == 0, done.stderr
    assert "'poly1': " in done.stdout


def test_tables_name_every_statistic_and_law():
    assert first_cells() == {*POSITION_STATISTICS, *LAWS}
    text = PAGE.read_text(encoding="utf-8")
    for name in (*SET_STATISTICS, *(name for held in HEAD_STATISTICS.values() for name in held)):
        assert f"`{name}`" in text, name


def test_the_readme_links_to_the_page():
    assert "](docs/write-a-loss.md)" in README.read_text(encoding="utf-8")
