from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, DataError
from lossmith.studies.folds import resolved_kind
from lossmith.studies.leak_check import without_frame
from tests.command_line import in_this_process
from tests.studies.conftest import tiny_study

FOLDS = ("cv.folds=2", "cv.processes=1", "evaluate.baselines=none")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict, Path]]:
    place = tmp_path_factory.mktemp("cv")
    with pytest.MonkeyPatch.context() as patch:
        tiny = tiny_study(place, patch)
        yield lossmith.cv("causal", tiny("folds", *FOLDS)), place / "runs" / "folds"


def test_each_record_is_predicted_once_by_the_run_that_did_not_train_on_it(study):
    found, folder = study
    assert [(run["name"], run["fold"], run["state"]) for run in found["runs"]] == [
        ("fold-0", 0, "done"),
        ("fold-1", 1, "done"),
    ]
    pooled = pq.read_table(folder / "predictions" / "pooled.parquet").to_pylist()
    assert len({row["id"] for row in pooled}) == len(pooled) == 14
    for fold in (0, 1):
        prepared = Path(json.loads((folder / f"fold-{fold}" / "manifest.json").read_text())["data"]["folder"])
        files = [pq.read_table(prepared / f"{name}.parquet") for name in ("train", "validation")]
        trained = {one for file in files for one in file["id"].to_pylist()}
        tested = {row["id"] for row in pooled if row["fold"] == fold}
        assert tested
        assert not trained & tested


def test_pooled_and_fold_figures_are_those_of_the_files(study):
    found, folder = study
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["split"], metrics["n"]) == ("pooled", 14)
    for name, told in found["results"]["metrics"].items():
        files = [folder / f"fold-{fold}" / "metrics.json" for fold in (0, 1)]
        values = [json.loads(file.read_text())["metrics"][name]["value"] for file in files]
        assert told["over_folds"]["values"] == values
        assert told["over_folds"]["value"] == pytest.approx(sum(values) / 2)
        assert told["pooled"][0]["value"] == metrics["metrics"][name]["value"]
    assert "fold-1" in (folder / "report.html").read_text()


def test_two_studies_of_the_same_records_are_compared_by_their_pooled_predictions(study, tmp_path: Path):
    _, folder = study
    found = lossmith.compare([folder, folder], metrics=["rougeL"])
    assert (found["split"], found["n"], found["comparisons"][0]["difference"]) == ("pooled", 14, 0.0)


def test_texts_in_two_folds_are_refused_before_anything_trains(tiny, tmp_path: Path, monkeypatch, capsys):
    file = tmp_path / "leaking.jsonl"
    words = [f"word{place}a word{place}b word{place}c word{place}d word{place}e" for place in range(12)]
    texts = [*words, words[0].upper(), f"{words[1]} more"]
    records = [{"p": text, "a": "AB", "b": "12", "split": "train"} for text in texts]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    call = in_this_process(monkeypatch, capsys)
    # Seeds deal records anew: this one parts both pairs.
    asked = [*tiny("leaking", "data.id=null"), f"data.files={file}", "--folds", "7", "--kind", "k-fold"]
    shown = call("cv", "causal", *asked)
    assert shown.code == 2
    assert "1 record with the text of one in another fold; 1 pair of records in two folds" in shown.err
    assert "similarity 1.00" in shown.err
    assert "similarity 0.83" in shown.err
    assert "leaking.jsonl:13" in shown.err
    assert "data.cluster=COLUMN" in shown.err
    assert not (tmp_path / "runs" / "leaking").exists() or not list((tmp_path / "runs" / "leaking").glob("fold-*"))


def test_clusters_in_two_folds_are_refused(tiny, tmp_path: Path):
    with pytest.raises(DataError, match="clusters with records in several folds"):
        lossmith.cv("causal", tiny("clusters", *FOLDS, "data.cluster=kind", "cv.kind=k-fold", "data.split.column=null"))


def test_the_kind_follows_labels_and_clusters():
    def kind(**given) -> str:
        return resolved_kind(Config.model_validate(given))

    classes = {"task": {"kind": "classification"}}
    assert kind() == "k-fold"
    assert kind(data={"cluster": "post"}) == "clustered"
    assert kind(**classes) == "stratified"
    assert kind(**classes, data={"cluster": "post"}) == "stratified-clustered"
    assert kind(**classes, cv={"kind": "k-fold"}) == "k-fold"
    with pytest.raises(ConfigError, match="needs to know which records belong together"):
        kind(cv={"kind": "clustered"})
    with pytest.raises(ConfigError, match="needs classes"):
        kind(cv={"kind": "stratified"})


def test_a_template_does_not_make_prompts_alike():
    prompts = [f"Judge recipes as a strict judge would. {word}" for word in "ABCDEFGHIJKL"]
    assert without_frame(prompts) == list("ABCDEFGHIJKL")
    assert without_frame(["same words"] * 12) == ["same words"] * 12
