"""Every preset of the retrieval classifier from its sources to a report, and what a run of one leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.runs import read_json
from tests.stories import ASKED, SMALL, write_pairs, write_records, write_terms

PRESETS = ("criteria/iris", "criteria/mean-pool", "screening/iris", "terms/iris", "retrieval")
BARE = (
    "data.template={text: '{{ abstract }}'}",
    "data.label=label",
    "task.classes=['0', '1']",
    "objective.query_diversity=5.6",
)
CONSTANTS = {"majority_class", "always_positive", "training_prior", "tfidf_logistic_regression"}


@pytest.fixture(scope="module")
def sources(workplace: Path) -> dict[str, Path]:
    place = workplace / "stories"
    place.mkdir()
    pairs, records = write_pairs(place / "pairs.jsonl"), write_records(place / "records.jsonl")
    return {
        "criteria/iris": pairs,
        "criteria/mean-pool": pairs,
        "screening/iris": records,
        "terms/iris": write_terms(place / "terms.jsonl"),
        "retrieval": records,
    }


@pytest.fixture(scope="module")
def overrides(sources: dict[str, Path]) -> Callable[[str, str], list[str]]:
    """A preset with a model file on its source, small."""

    def of(preset: str, model: str = "tfidf-svd") -> list[str]:
        bare = BARE if preset == "retrieval" else ()
        return [f"model={model}", f"data.files={sources[preset]}", *SMALL, *bare]

    return of


@pytest.fixture(scope="module")
def run(workplace: Path, overrides: Callable[[str], list[str]]) -> Callable[..., Path]:
    """The run of a preset, carried out once."""
    made: dict[tuple[str, ...], Path] = {}

    def of(preset: str, *more: str) -> Path:
        key = (preset, *more)
        if key not in made:
            place = workplace / "retrieval" / str(len(made))
            made[key] = lossmith.run(preset, [*overrides(preset), f"runs_dir={place}", *more], quiet=True)
        return made[key]

    return of


def rows_of(folder: Path) -> list[dict]:
    return pq.read_table(folder / "predictions" / "test.parquet").to_pylist()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs_from_documents_to_a_report(run, preset):
    folder = run(preset)
    metrics = read_json(folder / "metrics.json")
    rows = rows_of(folder)
    assert metrics["n"] == len(rows) >= 8
    assert all(row["error"] is None for row in rows)
    assert all(row["evidence"] for row in rows)
    trained = set() if preset == "criteria/mean-pool" else {"mean_pool"}
    assert set(metrics["baselines"]) | set(metrics["baselines_absent"]) == CONSTANTS | trained
    assert metrics["baselines_absent"] == {}
    assert (folder / "report.html").stat().st_size > 10_000
    assert read_json(folder / "evidence.json")["n"] == len(rows)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_scratch_model_is_the_encoder_that_needs_no_download(run, overrides, preset, tmp_path):
    own = [*overrides(preset, "scratch-tiny"), f"runs_dir={tmp_path}", "train.max_steps=1"]
    model = lossmith.train(preset, own, quiet=True).path / "model"
    assert read_json(model / "config.json")["model_type"]
    stored = {path.name for path in (model / "encoder").iterdir()}
    assert stored == {path.name for path in (run(preset) / "model" / "encoder").iterdir()}


def test_queries_find_what_the_mean_of_all_chunks_cannot(run):
    metrics = read_json(run("criteria/iris") / "metrics.json")
    mean = metrics["baselines"]["mean_pool"]["roc_auc"]["value"]
    assert metrics["metrics"]["roc_auc"]["value"] > 0.95
    assert mean < 0.8
    against = metrics["against_baselines"]["mean_pool"]
    assert against["differences"]["roc_auc"]["low"] > 0


def test_the_baseline_is_the_preset_that_pools(run):
    """The same classifier on the same data and seed: the run inside a run is the run of criteria/mean-pool."""
    inside = pq.read_table(run("criteria/iris") / "baselines" / "mean_pool" / "predictions" / "test.parquet")
    alone = pq.read_table(run("criteria/mean-pool") / "predictions" / "test.parquet")
    assert inside["id"].to_pylist() == alone["id"].to_pylist()
    np.testing.assert_allclose(inside["score.1"].to_numpy(), alone["score.1"].to_numpy(), atol=1e-6)


def test_figures_are_given_for_each_criterion(run):
    metrics = read_json(run("criteria/iris") / "metrics.json")
    assert set(metrics["criteria"]) == set(ASKED.values())
    terms = read_json(run("terms/iris") / "metrics.json")
    assert len(terms["criteria"]) == 9
    assert terms["criteria"]["pinc"]["roc_auc"]["value"] is None


def test_a_run_that_is_there_is_left_as_it_is_and_a_lost_baseline_made_again(run, overrides):
    folder = run("criteria/iris")
    predictions = folder / "baselines" / "mean_pool" / "predictions" / "test.parquet"
    own = [*overrides("criteria/iris"), f"runs_dir={folder.parent}"]
    before = (folder / "metrics.json").stat().st_mtime_ns, predictions.stat().st_mtime_ns
    assert lossmith.run("criteria/iris", own, quiet=True) == folder
    assert ((folder / "metrics.json").stat().st_mtime_ns, predictions.stat().st_mtime_ns) == before
    predictions.unlink()
    lossmith.run("criteria/iris", own, quiet=True)
    assert predictions.exists()
    assert (folder / "metrics.json").stat().st_mtime_ns > before[0]


def test_groups_gates_and_comparison_are_those_of_any_classification(run, command):
    own = (
        "data.group=kind", "evaluate.require=['roc_auc >= 0.6', 'fpr.a <= 1.0', 'f1 >= 1.1']",
        "evaluate.calibration=temperature", "objective.binary_focal.weights_by=worst_group",
    )  # fmt: skip
    folder = run("criteria/iris", *own)
    metrics = read_json(folder / "metrics.json")
    assert {"a", "b"} <= set(metrics["groups"])
    assert [gate["passed"] for gate in metrics["gates"]] == [True, True, False]
    assert metrics["temperature"] != 1.0
    assert any("binary_focal" in line["terms"] and line["groups"] for line in map(
        json.loads, (folder / "history.jsonl").read_text().splitlines()
    ) if "terms" in line)  # fmt: skip
    assert command("evaluate", folder, "--enforce").code == 3
    compared = lossmith.compare([run("criteria/iris"), run("criteria/mean-pool")], metrics=["roc_auc"])
    assert compared["comparisons"][0]["difference"] < 0


def test_the_same_in_python_a_stage_at_a_time(workplace, overrides):
    own = [*overrides("screening/iris"), f"runs_dir={workplace / 'stages'}"]
    trained = lossmith.train("screening/iris", own, quiet=True)
    assert trained.best_metric is not None
    assert len(trained.history["term/query_diversity"]) >= 1
    assert lossmith.predict(trained.path).exists()
    found = lossmith.evaluate(trained.path)
    assert found["metrics"]["roc_auc"]["value"] is not None
    # Where stages are carried out one by one nothing is trained beside the run, which is said.
    assert "there are no predictions" in found["baselines_absent"]["mean_pool"]
