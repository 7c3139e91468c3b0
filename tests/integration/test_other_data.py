"""Data of other shapes, each with a template of its own, through the bare preset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from tests.integration.conftest import SHRUNK


@pytest.fixture
def run_on(tmp_path: Path) -> Callable[..., Path]:
    def run(*overrides: str) -> Path:
        return lossmith.run("causal", [*SHRUNK, f"runs_dir={tmp_path / 'runs'}", *overrides], quiet=True)

    return run


def test_beeton_by_prompt_and_answer(run_on, shared_data: Path):
    run = run_on(
        f"data.files={shared_data / 'recipes' / 'beeton_household_management.jsonl'}",
        "data.template={prompt: 'Ingredients for {{ title }}:\n', answer: '{{ ingredients }}'}",
        "data.id=number",
        "data.max_rejected=0.2",
    )
    rows = _predictions(run)
    source = {row["number"]: row for row in _jsonl(shared_data / "recipes" / "beeton_household_management.jsonl")}
    for row in rows:
        record = source.get(row["id"]) or source[int(row["id"])]
        assert row["prompt"] == f"Ingredients for {record['title']}:\n"
        assert row["target"] == record["ingredients"]
    for row in _prepared(run, "train"):
        [where] = row["supervised"]
        assert where["start"] == row["prompt_length"]
        assert where["end"] == len(row["input_ids"])
        assert row["input_ids"][-1] == _end_id(run)


def test_gsm8k_from_two_files(run_on, shared_data: Path):
    folder = shared_data / "gsm8k"
    run = run_on(
        f"data.files={{train: {folder / 'train.jsonl'}, test: {folder / 'test.jsonl'}}}",
        "data.template={prompt: '{{ question }}\nAnswer: ', answer: '{{ answer }}'}",
        "evaluate.metrics=[exact_match, rouge1]",
        "evaluate.require=['exact_match >= 0.5', 'rouge1 <= 1']",
    )
    rows = _predictions(run)
    assert all(row["id"].startswith("test.jsonl:") for row in rows)
    assert all(row["id"].startswith("train.jsonl:") for row in _prepared(run, "train"))
    assert all("#### " in row["target"] for row in rows)
    gates = json.loads((run / "metrics.json").read_text())["gates"]
    assert [gate["passed"] for gate in gates] == [False, True]


def test_a_csv_of_many_references_keeps_clusters_whole(run_on, shared_data: Path):
    run = run_on(
        f"data.files={shared_data / 'e2e_cleaned' / 'devel-fixed.no-ol.csv'}",
        "data.fields={mr: mr, ref: ref}",
        "data.cluster=mr",
        "data.keep=[fixed]",
        "data.template={prompt: '{{ mr }} => ', answer: '{{ ref }}'}",
        "data.limit=400",
        "evaluate.limit=20",
    )
    clusters = {split: {row["cluster"] for row in _prepared(run, split)} for split in ("train", "validation", "test")}
    assert not clusters["train"] & clusters["test"]
    assert not clusters["train"] & clusters["validation"]
    assert not clusters["validation"] & clusters["test"]
    assert len(clusters["train"]) < len(_prepared(run, "train"))
    table = pq.read_table(run / "predictions" / "test.parquet")
    assert table.column_names == ["id", "cluster", "fixed", "prompt", "target", "prediction", "error"]
    metrics = json.loads((run / "metrics.json").read_text())
    different = len(set(table["cluster"].to_pylist()))
    assert metrics["clusters"] == (different if different < 20 else None)
    assert all(entry["interval"] != "wilson" or different == 20 for entry in metrics["metrics"].values())


def test_kept_columns_never_hide_those_of_the_file(run_on, tmp_path: Path):
    source = tmp_path / "rows.jsonl"
    rows = [{"id": f"r{n}", "prompt": f"say {n}", "answer": f"{n} {n}", "who": f"g{n % 2}"} for n in range(40)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = run_on(
        f"data.files={source}",
        "data.template={prompt: 'Q: {{ prompt }} A: ', answer: '{{ answer }}'}",
        "data.id=id",
        "data.group=who",
        "data.keep=[prompt, answer]",
        "model.vocab_size=300",
    )
    table = pq.read_table(run / "predictions" / "test.parquet")
    names = ["id", "group", "keep.prompt", "answer", "prompt", "target", "prediction", "error"]
    assert table.column_names == names
    for row in table.to_pylist():
        assert row["prompt"] == f"Q: {row['keep.prompt']} A: "
        assert row["target"] == row["answer"]
    assert set(json.loads((run / "metrics.json").read_text())["groups"]) == {"g0", "g1"}


def test_abstracts_as_plain_text(run_on, shared_data: Path):
    run = run_on(
        f"data.files={shared_data / 'arxiv_physics' / 'condmat_daily.jsonl'}",
        "data.template={text: '{{ abstract }}'}",
        "data.id=id",
        "evaluate.metrics=[distinct_1, rouge1]",
    )
    source = {row["id"]: row["abstract"] for row in _jsonl(shared_data / "arxiv_physics" / "condmat_daily.jsonl")}
    for row in _prepared(run, "train"):
        assert [(span["start"], span["end"]) for span in row["supervised"]] == [(1, len(row["input_ids"]))]
        assert row["input_ids"][0] == row["input_ids"][-1] == _end_id(run)
    for row in _predictions(run):
        assert row["prompt"] == ""
        assert row["target"].strip() == source[row["id"]].strip()
        assert row["error"] is None
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["baselines"] == {}
    assert metrics["baselines_absent"]["prompt_copied"] == "the records have no prompt"


def _predictions(run: Path) -> list[dict]:
    rows = pq.read_table(run / "predictions" / "test.parquet").to_pylist()
    assert rows
    return rows


def _prepared(run: Path, split: str) -> list[dict]:
    folder = Path(json.loads((run / "manifest.json").read_text())["data"]["folder"])
    rows = pq.read_table(folder / f"{split}.parquet").to_pylist()
    assert rows
    return rows


def _end_id(run: Path) -> int:
    return json.loads((run / "model" / "config.json").read_text())["eos_token_id"]


def _jsonl(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]
