from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from tests.command_line import in_this_process

SPACE = "tune.space={train.learning_rate: [1e-2]}"
NESTED = (SPACE, "tune.trials=1", "cv.processes=1", "evaluate.baselines=none", "train.save_strategy=no")


def ids(run: Path, *splits: str) -> set[str]:
    prepared = Path(json.loads((run / "manifest.json").read_text())["data"]["folder"])
    return {one for split in splits for one in pq.read_table(prepared / f"{split}.parquet")["id"].to_pylist()}


def test_no_search_sees_the_records_that_its_values_are_measured_on(tiny, tmp_path: Path, monkeypatch, capsys):
    call = in_this_process(monkeypatch, capsys)
    shown = call("tune", "causal", *tiny("nested", *NESTED), "--outer", "2", "--inner", "2")
    assert shown.code == 0, shown.err
    assert "2 folds" in shown.out
    folder = tmp_path / "runs" / "nested"
    study = json.loads((folder / "study.json").read_text())
    assert (study["kind"], [run["name"] for run in study["runs"]]) == ("cv", ["fold-0", "fold-1"])
    assert [one["params"] for one in study["results"]["searches"]] == [{"train.learning_rate": 0.01}] * 2
    assert pq.read_table(folder / "predictions" / "pooled.parquet").num_rows == 14
    for fold in (0, 1):
        measured_on = ids(folder / f"fold-{fold}", "test")
        inner = [folder / f"search-{fold}" / "trial-0" / f"fold-{number}" for number in (0, 1)]
        seen = [ids(run, "train", "validation", "test") for run in inner]
        assert measured_on
        assert not measured_on & (seen[0] | seen[1])
        # The inner folds are all of the outer training part.
        assert ids(inner[0], "test") | ids(inner[1], "test") == ids(folder / f"fold-{fold}", "train", "validation")
        config = json.loads((folder / f"search-{fold}" / "study.json").read_text())
        assert config["results"]["best"]["value"] == study["results"]["searches"][fold]["value"]
