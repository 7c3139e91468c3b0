"""What the README tells a newcomer to type works, in the order it is written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lossmith.config.load import load_config
from lossmith.data.kitchen import write_kitchen
from tests.docs.pages import blocks

README = Path(__file__).parents[2] / "README.md"
LOSSMITH = str(Path(sys.executable).with_name("lossmith"))


def commands() -> list[list[str]]:
    lines = [line.split("#")[0].strip() for block in blocks(README, "console") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("lossmith")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipes.jsonl of few records, as a newcomer would have one."""
    folder = tmp_path_factory.mktemp("newcomer")
    kitchen = write_kitchen(folder / "kitchen.jsonl", records=20, seed=0)
    text = kitchen.read_text(encoding="utf-8").replace('"steps":', '"directions":')
    (folder / "recipes.jsonl").write_text(text, encoding="utf-8")
    return folder


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"LOSSMITH_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}


@pytest.mark.timeout(900)
def test_every_command_runs_and_leaves_what_it_says(workplace: Path):
    ran = commands()
    assert len(ran) >= 7
    for command in ran:
        done = subprocess.run(
            [LOSSMITH, *command[1:]],
            cwd=workplace,
            env=environment(workplace),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr
    for made in ("mine.yaml", "runs/sinkhorn/report.html", "runs/cross-entropy/metrics.json", "comparison.html"):
        assert (workplace / made).stat().st_size > 500


def test_the_python_examples_run(workplace: Path):
    examples = blocks(README, "python")
    assert len(examples) == 2
    for example in examples:
        shrunk = example.replace(
            '"model=scratch-tiny"]', '"model=scratch-tiny", "train.max_steps=1", "evaluate.limit=2"]'
        )
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", shrunk],
            cwd=workplace,
            env=environment(workplace),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "{" in done.stdout


def test_the_yaml_example_is_a_configuration(tmp_path: Path):
    (example,) = blocks(README, "yaml")
    file = tmp_path / "dreams.yaml"
    file.write_text(example, encoding="utf-8")
    assert set(load_config(file).objective) == {"cross_entropy", "focal"}


def test_pages_that_the_readme_names_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert len(links) >= 2
    for link in links:
        assert (README.parent / link).exists(), link
