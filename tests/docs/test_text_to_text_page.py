"""docs/text-to-text.md: its data, configurations and commands, in the order they are written; then docs/plan.md's."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.command_line import in_this_process
from tests.docs.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "text-to-text.md"
PLANS = PAGE.with_name("plan.md")
BRIEF = [
    "train.max_steps=2",
    "train.device=cpu",
    "tracking.report_to=[]",
    "generate.max_new_tokens=8",
    "evaluate.limit=4",
]


@pytest.mark.timeout(600)
def test_the_page_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    (data,) = blocks(PAGE, "python")
    assert "records=2400" in data
    exec(compile(data.replace("records=2400", "records=120"), "text-to-text.md", "exec"), {})  # the page's own code
    for block in blocks(PAGE, "yaml"):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    call = in_this_process(monkeypatch, capsys)
    commands = [line for page in (PAGE, PLANS) for block in blocks(page, "console") for line in block.splitlines()]
    for line in commands:
        words = shlex.split(line)[1:]
        done = call(*words, *(BRIEF if words[0] == "run" else []))
        assert done.code == 0, f"{line}\n{done.out[-1500:]}\n{done.err[-1500:]}"
        assert done.out, line
    run = tmp_path / "runs" / "shopping"
    swept = json.loads((run / "sweep.test.json").read_text(encoding="utf-8"))
    assert all(name in json.dumps(swept) for name in ("likeliest", "beams", "drawn"))
    assert (run / "merged" / "model.safetensors").exists()
