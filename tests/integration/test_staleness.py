"""A stage is carried out again when what it was made from has changed, and only then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import InputError

FILES = {
    "model": "model/model.safetensors",
    "predictions": "predictions/test.parquet",
    "metrics": "metrics.json",
}


@pytest.fixture
def run_again(tmp_path: Path, small, monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[str]]:
    """Runs once, then again with other overrides; says which of FILES were written anew."""
    lossmith.run("recipes/dice", small(), quiet=True)
    folder = tmp_path / "runs" / "own"

    def again(*overrides: str) -> set[str]:
        before = {name: (folder / path).stat().st_mtime_ns for name, path in FILES.items()}
        assert lossmith.run("recipes/dice", small(*overrides), quiet=True) == folder
        return {name for name, path in FILES.items() if (folder / path).stat().st_mtime_ns != before[name]}

    return again


def test_only_what_is_stale_is_made_again(run_again, tmp_path: Path, small):
    folder = tmp_path / "runs" / "own"
    prepared_in = _manifest(folder)["stages"]["prepare"]
    assert run_again() == set()
    assert run_again() == set()
    assert _manifest(folder)["stages"]["prepare"] == prepared_in
    assert run_again("evaluate.metrics=[rouge1]") == {"metrics"}
    assert list(_metrics(folder)) == ["rouge1"]
    assert run_again("evaluate.metrics=[rouge1]") == set()
    assert run_again("evaluate.metrics=[rouge1]", "generate.max_new_tokens=5") == {"predictions", "metrics"}
    assert run_again("evaluate.metrics=[rouge1]", "generate.max_new_tokens=5", "evaluate.limit=4") == {
        "predictions",
        "metrics",
    }
    assert pq.read_table(folder / "predictions/test.parquet").num_rows == 4
    shutil.rmtree(folder / "predictions")
    lossmith.run("recipes/dice", small("evaluate.metrics=[rouge1]"), quiet=True)
    assert pq.read_table(folder / "predictions/test.parquet").num_rows == 6


def test_what_the_single_verbs_made_is_known_to_run(run_again, tmp_path: Path, small):
    folder = tmp_path / "runs" / "own"
    lossmith.evaluate(folder, ["evaluate.metrics=[chrf]"])
    assert list(_metrics(folder)) == ["chrf"]
    assert run_again() == {"metrics"}
    assert "ingredient_f1" in _metrics(folder)
    lossmith.predict(folder, ["generate.max_new_tokens=3"])
    assert "predictions" in run_again()
    assert run_again() == set()
    lossmith.predict(folder, split="validation")
    lossmith.evaluate(folder, split="validation")
    assert (folder / "metrics.validation.json").exists()
    assert run_again() == set()


def test_another_objective_under_the_same_name_gets_a_folder_of_its_own(run_again, tmp_path: Path, small):
    first = tmp_path / "runs" / "own"
    kept = (first / FILES["model"]).stat().st_mtime_ns
    second = lossmith.run("recipes/focal", small(), quiet=True)
    assert second != first
    assert second.name.startswith("own-")
    assert lossmith.run("recipes/focal", small(), quiet=True) == second
    assert (first / FILES["model"]).stat().st_mtime_ns == kept


def test_a_refused_configuration_leaves_its_name_to_the_next(small, tmp_path: Path):
    with pytest.raises(InputError, match="absent from the whole training split"):
        lossmith.run("recipes/dice", small("objective.focal={weight: 0.2, span: ingredient}"), quiet=True)
    assert lossmith.train("recipes/dice", small(), quiet=True).path == tmp_path / "runs" / "own"


def test_changed_sources_are_trained_on_again_by_run_and_told_by_train(small, recipes: Path, tmp_path: Path):
    lines = recipes.read_text().splitlines(keepends=True)
    own = tmp_path / "own.jsonl"
    own.write_text("".join(lines[:50]))
    given = small(f"data.files={own}")
    folder = lossmith.run("recipes/dice", given, quiet=True)
    first = (folder / FILES["model"]).stat().st_mtime_ns
    own.write_text("".join(lines[50:110]))
    with pytest.raises(InputError, match="sources or the template have changed") as caught:
        lossmith.train("recipes/dice", given, quiet=True)
    assert "--fresh" in str(caught.value)
    assert (folder / FILES["model"]).stat().st_mtime_ns == first
    lossmith.predict(folder)
    assert any("sources have changed" in sentence for sentence in _manifest(folder)["warnings"])
    lossmith.run("recipes/dice", given, quiet=True)
    assert (folder / FILES["model"]).stat().st_mtime_ns != first
    assert not any("sources have changed" in sentence for sentence in _manifest(folder)["warnings"])
    known = set(pq.read_table(Path(_manifest(folder)["data"]["folder"]) / "test.parquet")["id"].to_pylist())
    assert set(pq.read_table(folder / FILES["predictions"])["id"].to_pylist()) <= known


def test_train_on_a_finished_run_does_nothing(recipe_run, workplace: Path, recipes: Path):
    from tests.integration.conftest import SHRUNK

    run = recipe_run("dice")
    before = (run / FILES["model"]).stat().st_mtime_ns
    given = [*SHRUNK, f"data.files={recipes}", f"runs_dir={workplace / 'runs'}", "name=dice"]
    result = lossmith.train("recipes/dice", given, quiet=True)
    assert result.path == run
    assert (run / FILES["model"]).stat().st_mtime_ns == before
    assert result.history["eval_loss"]
    assert result.best_step == 3


def test_fresh_starts_again(small, tmp_path: Path):
    first = lossmith.train("recipes/dice", small(), quiet=True)
    before = (first.path / FILES["model"]).read_bytes()
    stamp = (first.path / FILES["model"]).stat().st_mtime_ns
    second = lossmith.train("recipes/dice", small(), fresh=True, quiet=True)
    assert (second.path / FILES["model"]).stat().st_mtime_ns != stamp
    assert (second.path / FILES["model"]).read_bytes() == before
    assert len(second.history["loss"]) == len(first.history["loss"])


def _manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def _metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())["metrics"]
