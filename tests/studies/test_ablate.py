from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lossmith
from lossmith.errors import LossmithError
from tests.command_line import in_this_process

OBJECTIVES = "ablate.objectives={plain: {cross_entropy: 1.0}, focal: {focal: {weight: 1.0, gamma: 2.0}}}"
ONE = "ablate.processes=1"


def measured(folder: Path, run: str, metric: str) -> float:
    return json.loads((folder / run / "metrics.json").read_text())["metrics"][metric]["value"]


def test_objectives_by_seeds_become_one_table(tiny, tmp_path: Path):
    study = lossmith.ablate("causal", tiny("objectives", OBJECTIVES, "ablate.seeds=2", ONE))
    folder = tmp_path / "runs" / "objectives"
    assert study["path"] == str(folder)
    assert [(run["name"], run["state"]) for run in study["runs"]] == [
        ("plain-seed-0", "done"),
        ("plain-seed-1", "done"),
        ("focal-seed-0", "done"),
        ("focal-seed-1", "done"),
    ]
    results = study["results"]
    rouge = [row for row in results["table"] if row["metric"] == "rougeL"]
    assert [row["objective"] for row in rouge] == ["plain", "focal"]
    for row in rouge:
        assert row["values"] == [measured(folder, f"{row['objective']}-seed-{seed}", "rougeL") for seed in (0, 1)]
        assert row["value"] == sum(row["values"]) / 2
    other = next(one for one in results["comparisons"] if one["metric"] == "rougeL")
    assert (other["objective"], other["against"], other["p"]) == ("focal", "plain", None)
    assert other["differences"] == [two - one for one, two in zip(rouge[0]["values"], rouge[1]["values"], strict=True)]
    assert json.loads((folder / "study.json").read_text())["results"] == results
    # One split for all seeds, and other first weights: the data is prepared once.
    manifests = [json.loads((folder / run["path"] / "manifest.json").read_text()) for run in study["runs"]]
    assert len({manifest["data"]["fingerprint"] for manifest in manifests}) == 1
    assert [manifest["seed"] for manifest in manifests] == [0, 1, 0, 1]


def test_a_failing_run_is_told_and_the_rest_is_measured(tiny, tmp_path: Path, monkeypatch, capsys):
    lost = "ablate.objectives={plain: {cross_entropy: 1.0}, lost: {focal: {weight: 1.0, span: nowhere}}}"
    call = in_this_process(monkeypatch, capsys)
    shown = call("ablate", "causal", *tiny("failing", lost, "ablate.seeds=1", ONE))
    assert shown.code == 1
    assert "error: 1 of 2 runs failed: lost-seed-0" in shown.err
    assert "nowhere" in shown.err
    assert "plain" in shown.out
    study = json.loads((tmp_path / "runs" / "failing" / "study.json").read_text())
    assert study["missing"] == ["lost-seed-0"]
    assert study["runs"][1]["error"]["type"] == "DataError"
    assert {row["objective"] for row in study["results"]["table"]} == {"plain"}


def test_a_killed_study_goes_on_with_what_is_missing(tiny, tmp_path: Path):
    overrides = tiny("killed", OBJECTIVES, "ablate.seeds=1", ONE)
    folder = tmp_path / "runs" / "killed"

    def states() -> list[str]:
        file = folder / "study.json"
        return [run["state"] for run in json.loads(file.read_text())["runs"]] if file.exists() else []

    process = subprocess.Popen([sys.executable, "-m", "lossmith.cli", "ablate", "causal", *overrides, "--quiet"])
    while "done" not in states():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert states() == ["done", "missing"]
    model = folder / "plain-seed-0" / "model" / "model.safetensors"
    trained = model.stat().st_mtime_ns
    study = lossmith.ablate("causal", overrides)
    assert study["missing"] == []
    assert model.stat().st_mtime_ns == trained
    assert len(study["results"]["table"]) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ablate.objectives={plain: {cross_entropy: 1.0}}", "two objectives or more"),
        ("ablate.objectives={plain: {cross_entropy: 1.0}, odd: {focall: 1.0}}", "ablate.objectives.odd"),
        ("ablate.baseline=plan", "did you mean 'plain'"),
        ("ablate.seeds=[1,1]", "one of them twice"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_anything_trains(tiny, tmp_path: Path, given: str, message: str):
    with pytest.raises(LossmithError, match=message):
        lossmith.ablate("causal", tiny("refused", OBJECTIVES, given))
    assert not list((tmp_path / "runs").glob("refused/*/"))
