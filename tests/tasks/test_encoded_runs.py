"""Runs on encoders of each kind: what is trained, told and kept, and that a second run encodes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import InputError
from lossmith.runs import RunFolder
from tests.tiny_encoder import save_tiny_encoder

DOCUMENTS = [
    [f"shop {number} sells rye and oats", "salt " * (30 if number == 4 else 3), f"open at {number}"]
    for number in range(24)
]


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "documents.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number, lines in enumerate(DOCUMENTS):
            split = ("train", "train", "train", "validation", "test")[number % 5] if number != 4 else "train"
            record = {"text": "\n".join(lines), "label": "ab"[number // 2 % 2], "split": split}
            out.write(json.dumps(record) + "\n")
    return [
        f"data.files={file}", "data.label=label", "data.template={text: '{{ text }}'}", "train.device=cpu",
        "data.chunks={by: lines, size: 1, overlap: 0}", "data.split={validation: 0, test: 0, column: split}",
        "tracking.report_to=[]", f"runs_dir={tmp_path / 'runs'}", "train.num_train_epochs=1", "task.queries=2",
        "task.k=2", "train.logging_steps=1",
    ]  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "tokens"])
def test_a_run_on_a_transformers_encoder(pooling: str, overrides: list[str], tmp_path: Path) -> None:
    base = save_tiny_encoder(tmp_path / "base", [" ".join(chunks) for chunks in DOCUMENTS])
    given = [*overrides, f"model.base={base}", f"model.pooling={pooling}"]
    run = RunFolder(lossmith.train("retrieval", [*given, "name=first"], quiet=True).path)
    facts = run.manifest()["model"]
    assert facts["adapter"] == "none"
    assert facts["encoder"]["pooling"] == pooling
    assert facts["chunks"] == {"train": {"chunks": 48, "cut": 1}, "validation": {"chunks": 15, "cut": 0}}
    log = run.log.read_text(encoding="utf-8")
    assert log.count("has not seen the ends of 1 of 48 chunks (train)") == 1
    assert "vectors of 48 chunks (train): 34 texts encoded" in log
    again = RunFolder(lossmith.train("retrieval", [*given, "name=second", "task.k=1"], quiet=True).path)
    assert "encoded" not in again.log.read_text(encoding="utf-8")
    # The encoder is named by its folder, and has to be there to read new texts.
    lossmith.predict(str(run.path), split="test")
    assert pq.read_table(run.predictions("test")).num_rows == 3
    shutil.rmtree(base)
    with pytest.raises(InputError, match="was not found"):
        lossmith.predict(str(again.path), split="test")


def test_the_encoder_of_a_run_is_taken_by_its_folder(overrides: list[str]) -> None:
    given = [*overrides, "model.base=scratch-tiny", "model.hidden_size=6", "name=first"]
    run = RunFolder(lossmith.train("retrieval", given, quiet=True).path)
    other = RunFolder(
        lossmith.train("retrieval", [*overrides, f"model.base={run.path}", "name=second"], quiet=True).path
    )
    first, second = (each.manifest()["model"]["encoder"]["fingerprint"] for each in (run, other))
    assert first == second
    assert "encoded" not in other.log.read_text(encoding="utf-8")
