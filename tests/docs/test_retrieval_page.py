"""docs/retrieval.md: its data, configuration and commands, in the order they are written."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from lossmith.runs import RunFolder, read_json
from tests.command_line import in_this_process
from tests.docs.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "retrieval.md"
BRIEF = ["train.max_steps=4", "train.device=cpu", "tracking.report_to=[]"]


def block(kind: str) -> str:
    (found,) = blocks(PAGE, kind)
    return found


@pytest.mark.timeout(600)
def test_the_page_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    data = block("python")
    assert "records=3600" in data
    exec(compile(data.replace("records=3600", "records=480"), "retrieval.md", "exec"), {})  # the page's own code
    (tmp_path / "nuts.yaml").write_text(block("yaml"), encoding="utf-8")
    call = in_this_process(monkeypatch, capsys)
    for line in block("console").splitlines():
        words = shlex.split(line)[1:]
        if "runs/nuts" in words and "--id" in words:
            words[words.index("--id") + 1] = first_predicted(Path("runs/nuts"))
        done = call(*words, *(BRIEF if words[0] == "run" else []))
        assert done.code == 0, f"{line}\n{done.out[-1500:]}\n{done.err[-1500:]}"
    metrics = read_json(RunFolder(Path("runs/nuts")).metrics())
    assert {"mean_pool", "tfidf_logistic_regression", "training_prior"} <= set(metrics["baselines"])
    assert "evidence" in (tmp_path / "chapter-1.html").read_text(encoding="utf-8").lower()


def first_predicted(run: Path) -> str:
    """The id of a record of the test split: with fewer documents than the page has, it is another."""
    import pyarrow.parquet as pq

    return str(pq.read_table(run / "predictions" / "test.parquet", columns=["id"])["id"][0])
