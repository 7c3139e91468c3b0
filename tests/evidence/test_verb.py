"""`lossmith explain` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command_line import Command, in_this_process
from tests.evidence.terms_corpus import CRITERIA


@pytest.fixture
def lossmith(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_this_process(monkeypatch, capsys)


@pytest.fixture
def positive(pairs: Path) -> dict:
    rows = pq.read_table(pairs / "predictions" / "test.parquet").to_pylist()
    return next(row for row in rows if row["label"] == row["predicted"] == "1")


def test_a_record_is_told_in_words(lossmith: Command, pairs: Path, positive: dict):
    told = lossmith("explain", pairs, "--id", positive["id"])
    assert told.code == 0
    assert f"record {positive['id']}, test split, 12 chunks" in told.out
    assert f"criterion: {CRITERIA[positive['criterion']]}" in told.out
    assert "predicted 1, label 1" in told.out
    best = positive["evidence"][0]
    assert f"1. importance {best['importance']:+.4f}" in told.out
    assert positive["prompt"][best["start"] : best["end"]] in told.out


def test_a_run_is_told_in_words(lossmith: Command, pairs: Path):
    told = lossmith("explain", pairs)
    assert told.code == 0
    assert "query 3, most like query" in told.out
    assert "terms:" in told.out
    assert "fall of the probability of 1" in told.out
    assert "deletion, evidence less random chunks: +" in told.out
    assert "sufficiency, evidence less random chunks: -" in told.out


def test_json_is_what_python_gives(lossmith: Command, pairs: Path, positive: dict):
    import lossmith as package

    assert json.loads(lossmith("explain", pairs, "--json").out) == package.explain(pairs)
    whole = lossmith("explain", pairs, "--id", positive["id"], "--whole", "--json")
    assert json.loads(whole.out) == package.explain(pairs, id=positive["id"], whole=True)


def test_a_page_is_written_beside_it(lossmith: Command, pairs: Path, positive: dict, tmp_path: Path):
    page = tmp_path / "evidence.html"
    told = lossmith("explain", pairs, "--id", positive["id"], "--html", page)
    assert told.out.endswith(f"page: {page}\n")
    assert positive["id"] in page.read_text()
    quiet = lossmith("explain", pairs, "--id", positive["id"], "--html", page, "--quiet")
    assert (quiet.out, quiet.code) == ("", 0)


def test_mistakes_are_told_with_the_way_out(lossmith: Command, pairs: Path, positive: dict, tmp_path: Path):
    near = lossmith("explain", pairs, "--id", positive["id"][:-1])
    assert (near.code, positive["id"] in near.err) == (2, True)
    assert "--whole is for one record" in lossmith("explain", pairs, "--whole").err
    assert "lossmith report" in lossmith("explain", pairs, "--html", tmp_path / "page.html").err
    other = tmp_path / "causal"
    other.mkdir()
    (other / "config.yaml").write_text("name: causal\ndata: {files: a.jsonl}\nmodel: {base: scratch-tiny}\n")
    told = lossmith("explain", other)
    assert told.code == 2
    assert "task.kind=causal" in told.err
    assert "expected: a run of task.kind=retrieval" in told.err
