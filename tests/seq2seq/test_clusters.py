"""Records of one source are one cluster, unless the data or the splits say otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.config.load import load_config
from lossmith.errors import DataError
from lossmith.studies.folds import resolved_kind

FORM = "data.template={prompt: '{{ a }} {{ b }}', answer: '{{ y }}'}"
GIVEN = ["model=scratch-tiny", "model.vocab_size=300", FORM, "data.split={validation: 0.3, test: 0.3}"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))


def write(file: Path, sources: Sequence[int] = range(20)) -> Path:
    rows = [{"a": f"a{n}", "b": "b" if n % 2 else "", "y": f"y{n}{copy}"} for n in sources for copy in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def rows_of(overrides: Sequence[str]) -> list[dict[str, Any]]:
    folder = lossmith.prepare("seq2seq", overrides)["folder"]
    return [row | {"split": path.stem} for path in folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]


def test_targets_of_one_source_never_part(tmp_path: Path):
    rows = rows_of([*GIVEN, f"data.files={write(tmp_path / 'rows.jsonl')}"])
    assert len(rows) == 60 and {row["split"] for row in rows} == {"train", "validation", "test"}
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row["prompt"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in sides.values()) and len(sides) == 20
    assert {row["prompt"]: row["cluster"] for row in rows}["a1 b"] == "a1 & b"


def test_columns_of_fields_are_meant(tmp_path: Path):
    file = write(tmp_path / "rows.jsonl")
    rows = rows_of([*GIVEN, f"data.files={file}", "data.fields={a: b, b: a, y: y}"])
    assert {row["cluster"] for row in rows if row["prompt"] == "b a1"} == {"b & a1"}


def test_a_given_cluster_wins(tmp_path: Path):
    rows = rows_of([*GIVEN, f"data.files={write(tmp_path / 'rows.jsonl')}", "data.cluster=y"])
    assert {row["cluster"] for row in rows} == {row["target"] for row in rows}


def test_given_splits_are_taken_as_they_are(tmp_path: Path):
    files = {name: write(tmp_path / f"{name}.jsonl") for name in ("train", "test")}
    rows = rows_of(
        [*GIVEN, f"data.files={{train: {files['train']}, test: {files['test']}}}", "data.split.validation=0"]
    )
    assert [sum(row["split"] == split for row in rows) for split in ("train", "test")] == [60, 60]
    assert {row["cluster"] for row in rows} == {None}


def test_folds_keep_sources_together(tmp_path: Path):
    config = load_config("seq2seq", [*GIVEN, f"data.files={write(tmp_path / 'rows.jsonl')}"])
    assert resolved_kind(config) == "clustered"
    rows = rows_of([*GIVEN, f"data.files={write(tmp_path / 'rows.jsonl')}",
                    "data.split={folds: {k: 4, fold: 1, clustered: true}}"])  # fmt: skip
    tested = {row["prompt"] for row in rows if row["split"] == "test"}
    assert tested and not tested & {row["prompt"] for row in rows if row["split"] == "train"}


def test_why_nothing_is_left_to_evaluate_on_is_told(tmp_path: Path):
    given = [*GIVEN, f"data.files={write(tmp_path / 'rows.jsonl', [1])}", f"runs_dir={tmp_path}", "train.device=cpu"]
    with pytest.raises(DataError, match="no validation split to evaluate on: all are of one cluster"):
        lossmith.train("seq2seq", given)
