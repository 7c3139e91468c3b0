"""What a trained run tells of its evidence: of records, of itself, and when it tells it anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import InputError
from lossmith.runs import RunFolder, read_json, write_json
from lossmith.stages import run
from lossmith.tasks.find_row import near_ids, numbers_of, read_row, read_rows
from tests.evidence.terms_corpus import CRITERIA, DECISIVE, SMALL, pairs_run


def evidence_file(pairs: Path) -> dict:
    return read_json(pairs / "evidence.json")


def predictions(pairs: Path) -> list[dict]:
    return pq.read_table(pairs / "predictions" / "test.parquet").to_pylist()


def test_a_run_writes_its_evidence_as_a_stage(pairs: Path):
    found = evidence_file(pairs)
    figures = {"queries", "similarity", "overlap", "faithfulness"}
    assert set(found) == {"schema", "split", "n", "records", "about"} | figures
    assert found["about"] == "1"
    assert (found["split"], found["n"]) == ("test", len(predictions(pairs)))
    assert np.allclose(np.diag(found["similarity"]), 1)
    assert np.allclose(found["similarity"], np.transpose(found["similarity"]))
    assert np.allclose(np.diag(found["overlap"]), 1)
    assert {"seconds", "peak_memory_bytes"} <= set(RunFolder(pairs).manifest()["stages"]["evidence"])


def test_queries_are_told_by_what_they_look_for(pairs: Path):
    found = evidence_file(pairs)["queries"]
    assert [one["query"] for one in found] == [0, 1, 2, 3]
    decisive = [text for texts in DECISIVE.values() for text in texts]
    for one in found:
        assert [near["cosine"] for near in one["nearest"]] == sorted(
            (n["cosine"] for n in one["nearest"]), reverse=True
        )
        assert len({near["text"] for near in one["nearest"]}) == len(one["nearest"]) == 10
        assert {near["criterion"] for near in one["nearest"]} <= set(CRITERIA.values())
        assert any(near["text"].startswith(tuple(decisive)) for near in one["nearest"])
        assert one["terms"]
        assert all(term["score"] > 0 for term in one["terms"])
    for name in ("0", "1"):
        assert sum(one["usage"][name] for one in found) == pytest.approx(1)


def test_predictions_of_decisive_sentences_rest_on_them(pairs: Path):
    tested = evidence_file(pairs)["faithfulness"]
    assert tested["chunks"] == [1, 2, 3, 5, 8]
    assert tested["summary"]["deletion"]["low"] > 0.1
    assert tested["summary"]["sufficiency"]["high"] < -0.1
    for kind in ("deletion", "sufficiency"):
        assert all(point["low"] <= point["value"] <= point["high"] for point in tested[kind]["evidence"])


def test_the_evidence_of_a_record_is_that_of_its_prediction(pairs: Path):
    top = 0
    positive = [row for row in predictions(pairs) if row["label"] == row["predicted"] == "1"][:6]
    assert len(positive) == 6
    for row in positive:
        found = lossmith.explain(pairs, id=row["id"])
        assert (found["id"], found["split"], found["label"], found["predicted"]) == (row["id"], "test", "1", "1")
        assert found["scores"]["1"] == pytest.approx(row["score.1"], abs=1e-6)
        assert found["criterion"] == CRITERIA[row["criterion"]]
        kept = found["evidence"][: len(row["evidence"])]
        assert [one["chunk"] for one in kept] == [one["chunk"] for one in row["evidence"]]
        for one, stored in zip(kept, row["evidence"], strict=True):
            assert (one["start"], one["end"]) == (stored["start"], stored["end"])
            assert one["importance"] == pytest.approx(stored["importance"], abs=1e-4)
            assert one["weight"] == pytest.approx(stored["weight"], abs=1e-5)
        top += found["evidence"][0]["text"].startswith(DECISIVE[row["criterion"]])
    assert top >= 5


def test_the_whole_document_is_read_at_once(pairs: Path):
    row = predictions(pairs)[1]
    name = row["id"].split(":")[0]
    found = lossmith.explain(pairs, id=row["id"], whole=True)
    windows = [
        one["prompt"] for one in predictions(pairs) if one["id"].startswith(f"{name}:") and one["criterion"] == "ter"
    ]
    assert found["document"]["text"] == "\n".join(windows)
    assert len(found["document"]["chunks"]) == 36
    assert (found["id"], found["whole"], found["criterion"]) == (row["id"], True, CRITERIA[row["criterion"]])
    assert len({one["chunk"] for query in found["queries"] for one in query["chunks"]}) == len(found["evidence"])


def test_another_split_has_a_file_of_its_own(pairs: Path):
    found = lossmith.explain(pairs, split="validation")
    assert found["split"] == "validation"
    assert read_json(pairs / "evidence.validation.json") == found
    assert evidence_file(pairs)["split"] == "test"


def test_what_is_not_stale_is_read_and_what_is_stale_is_made_anew(pairs: Path, tmp_path: Path, terms: Path):
    own = tmp_path / "runs" / "pairs"
    shutil.copytree(pairs, own)
    told = evidence_file(own)
    write_json(own / "evidence.json", {**told, "n": -1})
    assert lossmith.explain(own)["n"] == -1
    overrides = [
        one.replace("evaluate.metrics=[roc_auc]", "evaluate.metrics=[f1]")
        for one in pairs_run(terms, tmp_path, "name=pairs")
    ]
    assert run("retrieval", overrides, quiet=True) == own
    assert evidence_file(own)["n"] == -1, "metrics have no part in it"
    assert run("retrieval", [*overrides, "evaluate.threshold=0.9"], quiet=True) == own
    assert evidence_file(own)["n"] == told["n"], "another threshold predicts otherwise"
    run("retrieval", [*overrides, "evaluate.threshold=0.9", "evaluate.evidence_documents=7"], quiet=True)
    assert (evidence_file(own)["n"], evidence_file(own)["records"]) == (7, told["n"])


def test_the_same_run_tells_the_same(pairs: Path):
    before = (pairs / "evidence.json").read_text()
    RunFolder(pairs).update_manifest(made_from={"evidence.test": None})
    lossmith.explain(pairs)
    assert (pairs / "evidence.json").read_text() == before


def test_an_unknown_record_is_told_with_the_nearest(pairs: Path):
    row = predictions(pairs)[0]["id"]
    with pytest.raises(InputError, match="did you mean") as told:
        lossmith.explain(pairs, id=row.replace("#", "$"))
    assert row in str(told.value)
    with pytest.raises(InputError, match="not in the train split"):
        lossmith.explain(pairs, id=row, split="train")
    with pytest.raises(InputError, match="unknown split 'tset'"):
        lossmith.explain(pairs, id=row, split="tset")
    with pytest.raises(InputError, match="a whole document is one record's"):
        lossmith.explain(pairs, whole=True)


def test_other_sources_than_those_of_training_are_told_of(
    pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    own = tmp_path / "changed"
    shutil.copytree(pairs, own)
    RunFolder(own).update_manifest(trained_on="another fingerprint")
    lossmith.explain(own, id=predictions(pairs)[0]["id"])
    assert "the sources have changed since the model was trained" in caplog.text


def test_a_run_without_a_model_says_how_to_go_on(pairs: Path, tmp_path: Path):
    own = tmp_path / "unfinished"
    shutil.copytree(pairs, own)
    shutil.rmtree(own / "model")
    with pytest.raises(InputError, match="no trained model"):
        lossmith.explain(own, id=predictions(pairs)[0]["id"])


def test_rows_are_found_and_read_across_groups(tmp_path: Path):
    import pyarrow as pa

    file = tmp_path / "rows.parquet"
    table = pa.table({"id": [f"r{n % 9}" for n in range(10)], "text": [str(n) for n in range(10)]})
    pq.write_table(table, file, row_group_size=4)
    assert numbers_of(file, "r0") == [0, 9]
    assert numbers_of(file, "r77") == []
    assert read_row(file, 9) == {"row": 9, "id": "r0", "text": "9"}
    assert read_rows(file, [9, 3, 4, 3], columns=["text"]) == {3: {"text": "3"}, 4: {"text": "4"}, 9: {"text": "9"}}
    with pytest.raises(IndexError, match="no row 10"):
        read_row(file, 10)
    assert near_ids("r88", [f"r{n}" for n in range(100)], count=2)[0] == "r88"


def test_documents_without_a_criterion_and_the_mean_of_chunks_are_explained(terms: Path, tmp_path: Path):
    rows = [json.loads(line) for line in terms.read_text().splitlines()[: 36 * 8]]
    file = tmp_path / "documents.jsonl"
    with file.open("w") as out:
        for start in range(0, len(rows), 12):
            window = rows[start : start + 12]
            text = "" if start == 24 else "\n".join(row["sentence"] for row in window)
            out.write(json.dumps({"text": text, "label": int(any(row["ltd"] for row in window))}) + "\n")
    plain = [
        f"data.files={file}",
        "data.label=label",
        "data.template={text: '{{ text }}'}",
        "data.chunks={by: lines, size: 2, overlap: 1}",
        "data.split={validation: 0, test: 0.5}",
        *SMALL,
        f"runs_dir={tmp_path}",
        "train.num_train_epochs=2",
        "train.early_stopping_patience=0",
        "train.load_best_model_at_end=false",
        "train.eval_strategy=no",
        "task.aggregate=mean",
        "name=mean",
    ]
    own = run("retrieval", plain, quiet=True)
    found = lossmith.explain(own)
    assert (found["queries"], found["similarity"], found["overlap"]) == ([], [], [])
    assert found["faithfulness"]["n"] >= found["n"] - 1
    told = lossmith.explain(own, id=f"{file.name}:3")
    assert (told["document"], told["evidence"], told["error"]) == ({"text": "", "chunks": []}, [], None)
    assert told["scores"]["0"] + told["scores"]["1"] == pytest.approx(1)
    with pytest.raises(InputError, match="stand alone"):
        lossmith.explain(own, id=f"{file.name}:3", whole=True)
