"""Cross-validation of a classification: folds, thresholds, pooled figures, gates."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as oracle

import lossmith
from tests.command_line import in_this_process

TINY = [
    "model.base=scratch-tiny",
    "model.vocab_size=300",
    "model.hidden_size=32",
    "model.num_hidden_layers=1",
    "model.num_attention_heads=2",
    "train.device=cpu",
    "train.num_train_epochs=4",
    "train.learning_rate=1e-2",
    "train.eval_strategy=no",
    "train.load_best_model_at_end=false",
    "tracking.report_to=[]",
    "data.template={text: '{{ text }}'}",
    "data.label=wanted",
    "data.cluster=post",
    "data.group=site",
    "data.split={validation: 0, test: 0}",
    "objective={binary_cross_entropy: 1.0}",
    "evaluate.metrics=[roc_auc,f1,pr_auc]",
    "evaluate.threshold={max: f1}",
    "cv.folds=3",
    "cv.inner=0.3",
    "cv.processes=1",
    "name=classes",
]


def write_records(file: Path) -> Path:
    """A quarter of 96 records is wanted, and mostly says so; two records a post."""
    chance = random.Random(1)
    with file.open("w", encoding="utf-8") as out:
        for number in range(96):
            wanted = number // 2 % 4 == 0
            word = "yes" if wanted == (chance.random() < 0.85) else "no"
            words = chance.choices([f"w{place}" for place in range(60)], k=8)
            record = {"id": f"r{number}", "text": " ".join([*words, word, word]), "wanted": wanted}
            out.write(json.dumps(record | {"post": f"p{number // 2}", "site": "ab"[number % 2]}) + "\n")
    return file


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict, Path, list[str]]]:
    place = tmp_path_factory.mktemp("classes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(place / "cache"))
        file = write_records(place / "records.jsonl")
        overrides = [*TINY, f"data.files={file}", f"runs_dir={place / 'runs'}", "data.id=id"]
        yield lossmith.cv("classification", overrides), place / "runs" / "classes", overrides


@pytest.fixture
def pooled(study) -> list[dict]:
    return pq.read_table(study[1] / "predictions" / "pooled.parquet").to_pylist()


def test_folds_share_no_post_and_hold_their_share_of_each_class(study, pooled):
    assert study[0]["results"]["kind"] == "stratified-clustered"
    assert len(pooled) == 96
    posts = {fold: {row["cluster"] for row in pooled if row["fold"] == fold} for fold in range(3)}
    assert not posts[0] & posts[1]
    assert not posts[2] & (posts[0] | posts[1])
    positives = [sum(row["label"] == "true" for row in pooled if row["fold"] == fold) for fold in range(3)]
    assert max(positives) - min(positives) <= 2


def test_a_record_is_decided_by_the_threshold_of_its_own_fold(study, pooled):
    found, folder, _ = study
    thresholds = {}
    for fold in range(3):
        decision = json.loads((folder / f"fold-{fold}" / "manifest.json").read_text())["decision"]
        thresholds[fold] = decision["threshold"]
        assert decision["fitted_on"]["split"] == "validation"
        assert decision["temperature"] > 0
    assert [one["threshold"] for one in found["results"]["decisions"]] == list(thresholds.values())
    for row in pooled:
        assert (row["predicted"] == "true") == (row["score.true"] >= thresholds[row["fold"]])


def test_every_figure_is_that_of_its_file(study, pooled):
    found, folder, _ = study
    truth = np.array([row["label"] == "true" for row in pooled])
    said = np.array([row["predicted"] == "true" for row in pooled])
    scores = np.array([row["score.true"] for row in pooled])
    fold = np.array([row["fold"] for row in pooled])
    metrics = json.loads((folder / "metrics.json").read_text())
    expected = {
        "roc_auc": lambda rows: oracle.roc_auc_score(truth[rows], scores[rows]),
        "pr_auc": lambda rows: oracle.average_precision_score(truth[rows], scores[rows]),
        "f1": lambda rows: oracle.f1_score(truth[rows], said[rows]),
    }
    for name, value in expected.items():
        told = found["results"]["metrics"][name]
        assert metrics["metrics"][name]["value"] == told["pooled"][0]["value"] == pytest.approx(value(fold >= 0))
        by_fold = [value(fold == one) for one in range(3)]
        assert told["over_folds"]["values"] == pytest.approx(by_fold)
        assert told["over_folds"]["value"] == pytest.approx(np.mean(by_fold))
        assert told["over_folds"]["sd"] == pytest.approx(np.std(by_fold, ddof=1))
    assert found["results"]["calibration"] == "temperature"
    assert set(metrics["groups"]) >= {"a", "b"}


def test_baselines_know_the_training_part_of_each_fold_alone(study):
    _, folder, _ = study
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["baselines"]["always_positive"]["f1"]["value"] == pytest.approx(2 * 24 / (2 * 24 + 72))
    assert metrics["baselines"]["tfidf_logistic_regression"]["roc_auc"]["value"] > 0.6
    by_fold = [json.loads((folder / f"fold-{fold}" / "metrics.json").read_text()) for fold in range(3)]
    tables = [one["baselines"]["tfidf_logistic_regression"]["f1"] for one in by_fold]
    assert metrics["baselines"]["tfidf_logistic_regression"]["f1"]["n"] == sum(one["n"] for one in tables)


def test_gates_judge_the_pooled_figures(study, monkeypatch, capsys):
    _, folder, overrides = study
    monkeypatch.setenv("LOSSMITH_CACHE", str(folder.parents[1] / "cache"))
    call = in_this_process(monkeypatch, capsys)
    trained = (folder / "fold-0" / "model" / "config.json").stat().st_mtime_ns
    shown = call("cv", "classification", *overrides, 'evaluate.require=["roc_auc >= 0.01", "f1 >= 1.01"]', "--enforce")
    assert shown.code == 3
    assert "gate roc_auc >= 0.01: passed" in shown.out
    assert "f1 >= 1.01" in shown.err
    assert (folder / "fold-0" / "model" / "config.json").stat().st_mtime_ns == trained
