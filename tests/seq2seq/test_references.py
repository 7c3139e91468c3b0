"""Several targets of one source: predicted once, right where one of them is said."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.config.evaluate import EvaluateConfig
from lossmith.errors import ConfigError
from lossmith.evaluate.measures import find_measure
from lossmith.evaluate.predictions import Predictions
from lossmith.tasks.references import asked_rows
from lossmith.tasks.rows import Rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{n}", "prompt": prompt, "target": target}
        for n, (prompt, target) in enumerate([("a", "x"), ("b", "y"), ("a", "z"), ("a", "x"), ("c", "w")])
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    return tmp_path / "test.parquet"


def test_sources_stand_once_with_their_different_targets(file: Path):
    found = asked_rows(file, EvaluateConfig(references="source"), limit=None, seed=0)
    rows = found.table.select(["id", "prompt", "target", "references"]).to_pylist()
    assert [(row["id"], row["prompt"], row["references"]) for row in rows] == [
        ("0", "a", ["x", "z"]), ("1", "b", ["y"]), ("4", "c", ["w"]),
    ]  # fmt: skip
    assert [row["target"] for row in rows] == ["x", "y", "w"]


def test_a_sample_is_one_of_sources(file: Path):
    found = asked_rows(file, EvaluateConfig(references="source"), limit=2, seed=1)
    assert len(found) == 2 and len(set(found.table["prompt"].to_pylist())) == 2
    assert all(len(row["references"]) == (2 if row["prompt"] == "a" else 1) for row in found.table.to_pylist())


def test_without_it_records_are_their_own(file: Path):
    own = asked_rows(file, EvaluateConfig(), limit=None, seed=0)
    assert own.table.equals(Rows(file, columns=None).table)
    assert len(asked_rows(file, EvaluateConfig(), limit=2, seed=0)) == 2


def test_metrics_take_the_nearest_reference():
    table = pa.table(
        {
            "id": ["1"],
            "prediction": ["boil two eggs for tea"],
            "target": ["salt"],
            "references": [["salt", "boil two eggs for tea"]],
        }
    )
    shared, own = Predictions(table, "here"), Predictions(table.drop_columns(["references"]), "here")
    for name in ("exact_match", "rouge1", "rougeL", "bleu", "chrf"):
        best = find_measure(name).score(shared).value()
        assert best is not None and best > (find_measure(name).score(own).value() or 0), name


def test_a_run_predicts_each_source_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    rows = [{"a": f"source {n}", "y": f"target {n} {copy}"} for n in range(20) for copy in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = lossmith.run(
        "seq2seq",
        [
            f"data.files={tmp_path / 'rows.jsonl'}", "data.template={prompt: '{{ a }}', answer: '{{ y }}'}",
            "model=scratch-tiny", "model.vocab_size=300", "model.hidden_size=16", "model.num_hidden_layers=1",
            "model.num_attention_heads=2", f"runs_dir={tmp_path / 'runs'}", "train.max_steps=2", "train.device=cpu",
            "generate.max_new_tokens=4", "evaluate.references=source", "evaluate.metrics=[bleu, rouge1]",
            "data.split={validation: 0.2, test: 0.3}", "train.metric_for_best_model=rouge1", "tracking.report_to=[]",
        ],
        quiet=True,
    )  # fmt: skip
    predicted = pq.read_table(made / "predictions" / "test.parquet").to_pylist()
    assert len(predicted) == len({row["prompt"] for row in predicted}) == 6
    assert all(len(row["references"]) == 3 and row["references"][0] == row["target"] for row in predicted)
    assert json.loads((made / "metrics.json").read_text())["n"] == 6


def test_it_is_for_sources_alone():
    with pytest.raises(ConfigError, match="references=source"):
        lossmith.prepare("causal", ["evaluate.references=source"])
