from __future__ import annotations

import json
from pathlib import Path

import pytest

import lossmith
from lossmith.errors import ConfigError, LossmithError

OBJECTIVES = "ablate.objectives={plain: {cross_entropy: 1.0}, focal: {focal: {weight: 1.0, gamma: 2.0}}}"


def test_objectives_by_seeds_become_one_table(tiny, tmp_path: Path):
    study = lossmith.ablate("causal", tiny("objectives", OBJECTIVES, "ablate.seeds=2", "ablate.processes=1"))
    folder = tmp_path / "runs" / "objectives"
    assert study["path"] == str(folder)
    assert [(run["name"], run["state"]) for run in study["runs"]] == [
        ("plain-seed-0", "done"),
        ("plain-seed-1", "done"),
        ("focal-seed-0", "done"),
        ("focal-seed-1", "done"),
    ]
    results = study["results"]
    by_name = {
        run["name"]: json.loads((folder / run["path"] / "metrics.json").read_text())["metrics"]["rougeL"]["value"]
        for run in study["runs"]
    }
    plain = next(row for row in results["table"] if (row["objective"], row["metric"]) == ("plain", "rougeL"))
    assert plain["values"] == [by_name["plain-seed-0"], by_name["plain-seed-1"]]
    assert plain["value"] == sum(plain["values"]) / 2
    other = next(one for one in results["comparisons"] if one["metric"] == "rougeL")
    assert (other["objective"], other["against"], other["p"]) == ("focal", "plain", None)
    assert other["differences"] == [by_name[f"focal-seed-{s}"] - by_name[f"plain-seed-{s}"] for s in (0, 1)]
    written = json.loads((folder / "study.json").read_text())
    assert written["results"] == results
    assert written["missing"] == []
