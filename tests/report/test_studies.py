"""Pages of studies: folds, objectives over seeds, searches, and studies where something is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lossmith.errors import InputError
from lossmith.metrics.paired import holm
from lossmith.report.page import write_report
from lossmith.report.studies.study_files import read_study
from lossmith.runs import RunFolder, write_json
from lossmith.studies.over_folds import over_folds
from lossmith.studies.over_seeds import SeedValues, difference_over_seeds, over_seeds

from .orchard import crates, write_classified
from .reading import Page, read_page

OBJECTIVES = {"bce": {"binary_cross_entropy": 1.0}, "focal": {"binary_focal": {"weight": 1.0, "gamma": 1.0}}}
LEAKS = {"exact": 1, "near": 0, "clusters": 2, "complete": True}
LEAKS["pairs"] = [{"first": "a", "second": "b", "parts": [0, 2], "similarity": 1.0}]


def write_study(folder: Path, kind: str, runs: Sequence[Mapping[str, Any]], results: Mapping[str, Any] | None) -> Path:
    """study.json as the study's folder has it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model": {"base": "scratch-tiny"}, "task": {"kind": "classification"}, "cv": {"folds": 3}}
    study = {"schema": 1, "kind": kind, "name": folder.name, "config": config, "runs": list(runs), "results": results}
    write_json(folder / "study.json", study | {"missing": []})
    return folder


def row(name: str, state: str = "done", **varies: Any) -> dict[str, Any]:
    error = {"message": "no room on the disk"} if state == "failed" else None
    return {"name": name, "path": name, "state": state, "seconds": 12.0, "error": error, **varies}


def whole(page: Page) -> Page:
    assert page.mismatched == [] and page.open == []
    ids = [held["id"] for _, held in page.tags if "id" in held]
    assert len(ids) == len(set(ids)) and len(page.all("table")) == len(page.all("caption"))
    assert not re.search(r"https?://", page.source)
    return page


def folded(folder: Path, leaks: Mapping[str, Any]) -> Path:
    table = crates(120, skill=0.8)
    facts = json.loads(table.schema.metadata[b"lossmith"]) | {"threshold": None, "temperature": None}
    table = table.append_column("fold", pa.array([number % 3 for number in range(120)]))
    table = table.replace_schema_metadata({b"lossmith": json.dumps(facts).encode()})
    write_classified(folder, table, metrics=["f1", "recall"], baselines=["always_positive"], require=["f1 >= 0.99"])
    run = RunFolder(folder)
    run.predictions("test").rename(run.predictions("pooled"))
    pooled = json.loads(run.metrics().read_text()) | {"split": "pooled"}
    write_json(run.metrics(), pooled)
    run.manifest_file.unlink()
    values = {"f1": [0.5, 0.7, 0.6], "recall": [0.9, None, 0.8]}
    found = {
        name: {
            "direction": "up",
            "over_folds": over_folds([{"value": one, "reason": "no positive record"} for one in held], folds=3),
            "pooled": [pooled["metrics"][name]],
        }
        for name, held in values.items()
    }
    decisions = [{"run": f"fold-{fold}", "threshold": 0.1 + fold / 10, "temperature": 1.2} for fold in range(3)]
    results = {"folds": 3, "repeats": 1, "kind": "stratified", "n": 120, "metrics": found, "decisions": decisions}
    results |= {"leaks": {"threshold": 0.8, "repeats": [leaks]}, "search_metric": "f1"}
    results["searches"] = [{"fold": 0, "study": "search-0", "value": 0.8, "params": {"train.learning_rate": 3e-5}}]
    return write_study(folder, "cv", [row(f"fold-{fold}", fold=fold, repeat=0) for fold in range(3)], results)


def test_folds_stand_with_their_mean_and_the_pooled_file(tmp_path: Path) -> None:
    study = folded(tmp_path / "folds", LEAKS)
    page = whole(read_page(write_report([study])))
    assert "Misses its gate" in page.text and "stratified, 3 folds, 120 records" in page.text
    assert (
        "The folds leak: 1 repeated text, 2 clusters in two folds" in page.text and "a and b 0 and 2 1.00" in page.text
    )
    facts = over_folds([{"value": 0.5}, {"value": 0.7}, {"value": 0.6}], folds=3)
    assert f"0.600 {facts['low']:.3f} to {facts['high']:.3f} 0.100" in page.text
    assert "1 of 3 folds has no value: no positive record" in page.text
    pooled = json.loads(RunFolder(study).metrics().read_text())["metrics"]["f1"]
    assert f"{pooled['value']:.3f} {pooled['low']:.3f} to {pooled['high']:.3f}" in page.text
    assert re.search(r"fold-1 12\.0 s 0\.200 0\.700 –", page.text)
    assert "Pooled results" in page.text and "from the threshold of each fold on" in page.text
    assert "fold 0 0.800 train.learning_rate: 3e−5" in page.text
    assert len([held for held in page.all("circle") if held.get("class") == "single"]) >= 5


def test_folds_without_a_leak_say_so(tmp_path: Path) -> None:
    clean = {"exact": 0, "near": 0, "clusters": 0, "complete": True, "pairs": []}
    text = read_page(write_report([folded(tmp_path / "clean", clean)])).text
    assert "No text and no cluster stands in two folds" in text and "Bad: The folds leak" not in text


def ablated(folder: Path, gain: float) -> Path:
    rng = np.random.default_rng(0)
    values = {"bce": rng.normal(0.5, 0.01, 8), "focal": rng.normal(0.5 + gain, 0.01, 8)}
    found = {name: SeedValues(held.tolist(), held + rng.normal(0, 0.005, (1000, 1))) for name, held in values.items()}
    told = {"metric": "f1", "direction": "up", "n": 300}
    table = [{"objective": name, **told, **over_seeds(held)} for name, held in found.items()]
    comparison = {"objective": "focal", "against": "bce", **told, **difference_over_seeds(found["bce"], found["focal"])}
    comparison["p_holm"] = holm([comparison["p"]])[0]
    results = {"split": "test", "n": 300, "clusters": None, "baseline": "bce", "objectives": OBJECTIVES, "models": []}
    results |= {"seeds": list(range(8)), "table": table, "comparisons": [comparison], "tests": 1, "notes": ["So few."]}
    results["baselines"] = {"tfidf_logistic_regression": {"f1": {"value": 0.444, "low": 0.4, "high": 0.49}}}
    runs = [row(f"{name}-seed-{seed}", objective=name, seed=seed) for name in OBJECTIVES for seed in range(8)]
    runs[3] = row("bce-seed-3", "failed", objective="bce", seed=3)
    return write_study(folder, "ablate", runs, results)


def test_an_ablation_says_which_objective_is_better(tmp_path: Path) -> None:
    page = whole(read_page(write_report([ablated(tmp_path / "better", 0.05)])))
    assert "focal beats bce on f1" in page.text and "1 of 16 runs failed bce-seed-3: no room on the disk" in page.text
    assert "p = 0.008" in page.text and "1 × binary_focal(class head; gamma = 1)" in page.text
    assert "TF-IDF + logistic regression" in page.text and "So few." in page.text
    single = [held for held in page.all("circle") if held.get("class") == "single"]
    assert len(single) == 8 + 8 + 8


def test_an_ablation_without_a_difference_claims_none(tmp_path: Path) -> None:
    text = read_page(write_report([ablated(tmp_path / "same", 0.0)])).text
    assert "No objective is shown to differ from bce on f1" in text and "That does not show that they are equal" in text
    assert "beats" not in text


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    trials = [
        {
            "number": number,
            **row(f"trial-{number}", state),
            "params": {"train.learning_rate": 10.0 ** -(number % 4 + 1), "train.optim": ["adamw", "sgd"][number % 2]},
            "value": value,
            "intermediate": [{"step": step, "value": 0.1 * step} for step in (1, 2)],
        }
        for number, (state, value) in enumerate(
            [("done", 0.5), ("pruned", 0.2), ("done", 0.7), ("failed", None), ("done", 0.6)]
        )
    ]
    space = {"train.learning_rate": {"low": 1e-5, "high": 0.1, "log": True}, "train.optim": ["adamw", "sgd"]}
    importances = {"method": "fanova", "n": 3, "values": {"train.optim": 0.75, "train.learning_rate": 0.25}}
    results = {"metric": "f1", "direction": "up", "split": "validation", "folds": None, "sampler": "tpe"}
    results |= {"pruner": "median", "space": space, "counts": {"done": 3, "pruned": 1, "failed": 1}, "trials": trials}
    results |= {"best": trials[2], "best_file": "best.yaml", "importances": importances}
    folder = write_study(tmp_path / "found", "tune", trials, results)
    (folder / "best.yaml").write_text("# the best\nname: found-best\n")
    return folder


def test_a_search_shows_its_best_trial_and_every_other(searched: Path) -> None:
    page = whole(read_page(write_report([searched])))
    assert "Trial 2 is the best of 3 finished trials: f1 0.700" in page.text and "flatters" in page.text
    assert f"lossmith run {searched / 'best.yaml'}" in page.text and "name: found-best" in page.text
    assert page.text.index("train.optim 75.0 %") < page.text.index("train.learning_rate 25.0 %")
    assert "train.learning_rate 1e−5 to 0.1, logarithmic" in page.text
    order = re.findall(
        r"(\d) (?:best )?(?:done|pruned|(?:✗ Bad: )?failed)", page.text[page.text.index("Trials, the best") :]
    )
    assert order == ["2", "4", "0", "1", "3"]
    charts = [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', page.source)]
    best = next(line for one in charts for line in one["lines"] if line["label"] == "best so far")
    assert [value for _, value in best["points"]] == [0.5, 0.5, 0.7, 0.7, 0.7]


def test_a_search_that_found_nothing_yet_has_a_page(tmp_path: Path) -> None:
    results = {"metric": "f1", "direction": "up", "split": "validation", "space": {}, "counts": {}, "trials": []}
    folder = write_study(tmp_path / "empty", "tune", [], results | {"best": None, "importances": {"reason": "too few"}})
    assert "No trial has finished yet" in whole(read_page(write_report([folder]))).text


def test_a_study_that_was_stopped_says_what_is_missing(tmp_path: Path) -> None:
    for kind in ("cv", "ablate"):
        folder = write_study(tmp_path / kind, kind, [row("one"), row("two", "missing")], None)
        text = whole(read_page(write_report([folder]))).text
        assert "1 of 2 runs are missing" in text


def test_another_kind_is_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "other", "survey", [], None)
    with pytest.raises(InputError, match="of no kind of study"):
        read_study(folder)
