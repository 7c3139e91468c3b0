"""docs/classification.md: its data, configurations and commands, in the order they are written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from lossmith.runs import RunFolder, read_json
from tests.command_line import in_this_process
from tests.docs.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "classification.md"
README = Path(__file__).parents[2] / "README.md"
# Enough to go every way; what the page trains takes a minute.
BRIEF = ["train.max_steps=2", "train.device=cpu", "tracking.report_to=[]", "evaluate.baselines=[always_positive]"]
FILES = ("spoon.yaml", "words.yaml", "prompts.yaml", "object.yaml")


def commands() -> list[tuple[list[str], int]]:
    """Each command of the page and the exit code that it says."""
    lines = [line for block in blocks(PAGE, "console") for line in block.splitlines()]
    parted = [line.partition("#") for line in lines]
    return [(_words(line), int(said.rsplit(" ", 1)[1]) if said else 0) for line, _, said in parted]


def _words(line: str) -> list[str]:
    # Braces and brackets hold blanks; a shell would need quotes around them.
    return re.findall(r"[^\s{\[]+[{\[][^}\]]*[}\]]|\S+", line.strip())[1:]


@pytest.mark.timeout(600)
def test_the_page_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    (data,) = blocks(PAGE, "python")
    assert "records=400" in data
    exec(compile(data.replace("records=400", "records=120"), "classification.md", "exec"), {})  # the page's own code
    labels = [json.loads(line)["spoon"] for line in Path("dishes.jsonl").read_text().splitlines()]
    assert 0.15 < labels.count("yes") / len(labels) < 0.35, "about a quarter, as the page says"
    for block in blocks(PAGE, "yaml"):
        name = block.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(block, encoding="utf-8")
    assert {name for name in FILES if (tmp_path / name).exists()} == set(FILES)
    call = in_this_process(monkeypatch, capsys)
    ran = commands()
    assert len(ran) == 8
    for words, code in ran:
        done = call(*words, *(BRIEF if words[0] == "run" else []))
        assert done.code == code, f"{shlex.join(words)}\n{done.out[-1500:]}\n{done.err[-1500:]}"
    for name in ("spoon", "words", "object"):
        metrics = read_json(RunFolder(Path("runs") / name).metrics())
        assert metrics["positive"] == "yes" and metrics["groups"] and RunFolder(Path("runs") / name).report.exists()
    assert read_json(RunFolder(Path("runs/spoon")).metrics())["gates"][0]["rule"] == "recall >= 1.01"
    page = Path("comparison.html").read_text(encoding="utf-8")
    assert "words less spoon" in page


def test_pages_that_are_named_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) >= 3
    for link in links:
        assert (PAGE.parent / link).exists(), link
