"""The verbs that work on runs, as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossmith.runs import RunFolder
from tests.integration.conftest import SHRUNK


@pytest.fixture
def copied(recipe_run, tmp_path: Path):
    """Copies of shared runs that a test may change."""

    def copy(preset: str) -> Path:
        target = tmp_path / "runs" / preset
        if not target.exists():
            shutil.copytree(recipe_run(preset), target)
        return target

    return copy


def test_run_prints_the_figures_and_the_report(command, small):
    shown = command("run", "recipes/dice", *small())
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert any(line.startswith("ingredient_precision ") for line in lines)
    assert lines[-1].startswith("report: ")
    assert Path(lines[-1].removeprefix("report: ")).is_file()
    assert "The model does not beat" in shown.out
    assert "warning: only 3 optimizer steps" in shown.err
    again = command("run", "recipes/dice", *small(), "--json")
    assert json.loads(again.out)["metrics"].keys() == json.loads(_text(small, "metrics.json"))["metrics"].keys()
    quiet = command("run", "recipes/dice", *small(), "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_run_leaves_with_3_where_an_enforced_gate_is_missed(command, small):
    given = small("evaluate.require=['chrf >= 99', 'rougeL >= 0']")
    assert command("run", "recipes/dice", *given).code == 0
    shown = command("run", "recipes/dice", *given, "--enforce")
    assert shown.code == 3
    assert "gate chrf >= 99: MISSED" in shown.out
    assert "gate rougeL >= 0: passed" in shown.out
    assert shown.err.splitlines()[-2].startswith("error: 1 of 2 gates missed")
    assert "Traceback" not in shown.err


def test_evaluate_enforces_only_when_asked(command, copied):
    run = copied("dice")
    gate = "evaluate.require=['chrf >= 99']"
    assert command("evaluate", run, gate).code == 0
    shown = command("evaluate", run, gate, "--enforce", "--json")
    assert shown.code == 3
    assert json.loads(shown.out)["gates"][0]["passed"] is False
    met = command("evaluate", run, "evaluate.require=['chrf >= 0']", "--enforce", "--quiet")
    assert (met.code, met.out, met.err) == (0, "", "")


def test_a_runs_model_and_data_cannot_be_changed_by_an_override(command, copied):
    for verb, override in (("predict", "train.learning_rate=1"), ("evaluate", "data.limit=3")):
        shown = command(verb, copied("dice"), override)
        assert shown.code == 2
        assert "overrides of generate or evaluate" in shown.err


def test_the_stages_one_by_one_give_what_run_gives(command, small, recipe_run, tmp_path: Path):
    given = small(name="stages")
    prepared = command("prepare", "recipes/mixed", *given, "--json")
    assert set(json.loads(prepared.out)) == {"folder", "audit"}
    trained = command("train", "recipes/mixed", *given, "--json")
    told = json.loads(trained.out)
    run = Path(told["run"])
    assert (run, told["best_step"]) == (tmp_path / "runs" / "stages", 3)
    assert not (run / "predictions").exists()
    missing = command("evaluate", run)
    assert missing.code == 2
    assert "lossmith predict" in missing.err
    assert command("predict", run).out == f"predictions: {run / 'predictions' / 'test.parquet'}\n"
    assert command("evaluate", run).code == 0
    assert command("report", run).out == f"report: {run / 'report.html'}\n"
    shared = recipe_run("mixed")
    assert pq.read_table(run / "predictions/test.parquet") == pq.read_table(shared / "predictions/test.parquet")
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (run, shared))
    assert ours == theirs


def test_prepare_prints_the_audit(command, small):
    shown = command("prepare", "recipes/dice", *small())
    assert shown.code == 0
    for word in ("records", "supervised", "ingredients"):
        assert word in shown.out
    quiet = command("prepare", "recipes/dice", *small(), "--quiet")
    assert (quiet.code, quiet.out) == (0, "")


def test_another_split_has_files_of_its_own(command, copied):
    run = copied("dice")
    before = (run / "metrics.json").read_text()
    assert command("predict", run, "--split", "validation", "--quiet").out == ""
    shown = command("evaluate", run, "--split", "validation", "--json")
    assert json.loads(shown.out)["split"] == "validation"
    assert json.loads((run / "metrics.validation.json").read_text()) == json.loads(shown.out)
    assert (run / "metrics.json").read_text() == before
    wrong = command("predict", run, "--split", "tset")
    assert wrong.code == 2
    assert "test" in wrong.err


def test_compare_pairs_the_records(command, recipe_run, tmp_path: Path):
    first, second = recipe_run("cross-entropy"), recipe_run("mixed")
    shown = command("compare", first, second, "--metrics", "rougeL,chrf", "--json")
    result = json.loads(shown.out)
    assert result["n"] == 6
    text = json.dumps(result)
    assert "rougeL" in text
    assert "chrf" in text
    assert "ingredient_f1" not in text
    table = command("compare", first, second)
    assert "paired comparison on 6 records" in table.out
    page = tmp_path / "page.html"
    told = command("compare", first, second, "--html", page)
    assert f"report: {page}" in told.out
    assert "<html" in page.read_text()
    assert command("compare", first, second, "--html", page, "--quiet").out == ""


def test_compare_refuses_runs_of_other_records(command, recipe_run, copied):
    other = copied("dice")
    file = other / "predictions" / "test.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(0, "id", pa.array([f"x{n}" for n in range(table.num_rows)])), file)
    shown = command("compare", recipe_run("cross-entropy"), other)
    assert shown.code == 2
    assert "records" in shown.err
    wrong = command("compare", recipe_run("cross-entropy"), recipe_run("mixed"), "--metrics", "rouge11")
    assert wrong.code == 2
    assert "rouge1" in wrong.err


def test_an_unfinished_training_names_both_flags_and_run_goes_on(command, copied, recipes: Path):
    run = copied("dice")
    shutil.rmtree(run / "model")
    given = ["recipes/dice", *SHRUNK, f"data.files={recipes}", f"runs_dir={run.parent}", "name=dice"]
    shown = command("train", *given)
    assert shown.code == 2
    assert "--resume" in shown.err
    assert "--fresh" in shown.err
    assert command("train", *given, "--resume", "--quiet").code == 0
    assert (run / "model" / "model.safetensors").exists()


def test_a_damaged_file_of_a_run_is_told(command, copied):
    run = copied("dice")
    (run / "predictions" / "test.parquet").write_bytes(b"PAR1 half")
    shown = command("evaluate", run)
    assert shown.code == 2
    assert "no readable parquet" in shown.err
    (run / "manifest.json").write_text("{ half")
    shown = command("predict", run)
    assert shown.code == 1
    assert "manifest.json is damaged" in shown.err
    assert "Traceback" not in shown.err


def test_a_folder_that_another_process_holds_is_left_alone(command, copied):
    run = copied("dice")
    with RunFolder(run).lock():
        shown = command("evaluate", run)
    assert shown.code == 1
    assert "another process is working in" in shown.err


def test_the_python_functions_take_and_give_plain_values(small, recipe_run):
    import lossmith

    prepared = lossmith.prepare("recipes/dice", small())
    assert prepared["folder"].is_dir()
    assert prepared["audit"]["splits"]["train"]["records"] > 0
    assert lossmith.compare([recipe_run("dice"), recipe_run("focal")])["n"] == 6
    for name in lossmith.__all__:
        assert callable(getattr(lossmith, name))
    result = lossmith.train({"defaults": ["recipes/dice"], "seed": 1}, small(), quiet=True)
    assert isinstance(result.path, Path)
    assert all(isinstance(value, float | int) for values in result.history.values() for value in values)
    assert {"loss", "term/generalized_dice", "eval_loss"} <= set(result.history)


def _text(small, name: str) -> str:
    folder = next(one.removeprefix("runs_dir=") for one in small() if one.startswith("runs_dir="))
    return (Path(folder) / "own" / name).read_text()
