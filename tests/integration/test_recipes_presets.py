"""Every preset of recipes on real recipes, from the sources to the report: each file of the run folder."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lossmith.config.compose import preset_names
from lossmith.config.load import load_config, training_hash
from lossmith.names import LOSSES
from tests.integration.plain_loading import same_answers

PRESETS = [name.removeprefix("recipes/") for name in preset_names() if name.startswith("recipes/")]

each_preset = pytest.mark.parametrize("preset", PRESETS)


def test_the_sweep_sees_every_preset():
    named = "cross-entropy sinkhorn dice focal focal-ingredients lovasz self-adjusting-dice mixed"
    assert set(PRESETS) == set(named.split())
    assert len(PRESETS) == 8


@each_preset
def test_the_folder_holds_every_file(recipe_run, preset: str):
    run = recipe_run(preset)
    names = "config.yaml manifest.json train.log history.jsonl audit.json rejected.jsonl metrics.json report.html"
    for name in [*names.split(), "model/config.json", "model/model.safetensors", "predictions/test.parquet"]:
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert not [path for path in run.rglob(".*") if path.is_file() and path.name != ".lock"]


@each_preset
def test_metrics_have_the_stated_shape(recipe_run, preset: str):
    run = recipe_run(preset)
    metrics = json.loads((run / "metrics.json").read_text(), parse_constant=pytest.fail)
    config = load_config(run / "config.yaml")
    assert (metrics["split"], metrics["n"]) == ("test", 6)
    assert list(metrics["metrics"]) == config.evaluate.metrics
    for entry in metrics["metrics"].values():
        assert {"value", "low", "high", "n", "direction", "reason"} <= set(entry)
        assert entry["n"] == 6
        assert (entry["value"] is None) <= bool(entry["reason"])
        if None not in (entry["value"], entry["low"]):
            assert entry["low"] <= entry["value"] <= entry["high"]
    assert set(metrics["baselines"]) == {"prompt_copied", "nearest_training_record"}
    for figures in metrics["baselines"].values():
        assert {"value", "low", "high", "n"} <= set(figures["rougeL"])
    assert metrics["baselines"]["nearest_training_record"]["rougeL"]["value"] > 0
    assert metrics["gates"] == []
    assert metrics["groups"] == {}
    assert metrics["beats_constant"] is None


@each_preset
def test_history_has_training_and_evaluation_lines(recipe_run, preset: str):
    run = recipe_run(preset)
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    training = [line for line in lines if "loss" in line]
    evaluations = [line for line in lines if "eval_loss" in line]
    assert training
    assert evaluations
    assert evaluations[-1]["step"] == 3
    objective = load_config(run / "config.yaml").objective
    weights = {name: term["weight"] if isinstance(term, dict) else term for name, term in objective.items()}
    for line in training:
        assert {"step", "loss", "terms", "learning_rate", "grad_norm", "tokens", "seconds"} == set(line)
        assert {name: term["weight"] for name, term in line["terms"].items()} == weights
        total = sum(term["weight"] * term["value"] for term in line["terms"].values())
        assert line["loss"] == pytest.approx(total, rel=1e-6)
        assert line["grad_norm"] > 0
        assert line["tokens"] > 0
    if len(weights) > 1:
        shares = [term["share"] for term in training[0]["terms"].values()]
        assert sum(shares) == pytest.approx(1.0)
    for line in evaluations:
        total = sum(weight * line[f"eval_{name}"] for name, weight in weights.items())
        assert line["eval_loss"] == pytest.approx(total, rel=1e-6)


@each_preset
def test_predictions_are_one_row_a_record_in_the_stated_columns(recipe_run, preset: str):
    run = recipe_run(preset)
    table = pq.read_table(run / "predictions" / "test.parquet")
    assert table.column_names == ["id", "prompt", "target", "prediction", "error"]
    prepared = pq.read_table(_prepared(run) / "test.parquet")
    assert table.num_rows == 6
    order = prepared["id"].to_pylist()
    assert sorted(table["id"].to_pylist(), key=order.index) == table["id"].to_pylist()
    rows = {row["id"]: row for row in prepared.select(["id", "prompt", "target"]).to_pylist()}
    for row in table.to_pylist():
        assert {key: row[key] for key in ("id", "prompt", "target")} == rows[row["id"]]
        assert row["error"] is None
        assert isinstance(row["prediction"], str)


@each_preset
def test_the_manifest_tells_how_the_run_came_about(recipe_run, recipes: Path, preset: str):
    run = recipe_run(preset)
    manifest = json.loads((run / "manifest.json").read_text())
    config = load_config(run / "config.yaml")
    assert manifest["schema"] == 1
    assert manifest["lossmith"] == version("lossmith")
    assert manifest["versions"]["torch"]
    assert (manifest["device"], manifest["dtype"], manifest["seed"]) == ("cpu", "float32", 0)
    assert manifest["config_hash"] == training_hash(config)
    assert manifest["data"]["files"][0]["path"] == str(recipes.resolve())
    assert manifest["data"]["files"][0]["bytes"] == recipes.stat().st_size
    assert sum(manifest["data"]["counts"].values()) <= 60
    assert [term["name"] for term in manifest["objective"]] == list(config.objective)
    assert manifest["set_terms"] == [name for name in config.objective if LOSSES[name].kind == "set"]
    for term in manifest["objective"]:
        facts = {"name", "loss", "task", "code", "weight", "span", "kind", "unit", "scope", "parameters"}
        assert facts <= set(term)
        assert term["counted"] == []
    assert set(manifest["stages"]) == {"prepare", "train", "predict.test", "evaluate", "report"}
    for stage in manifest["stages"].values():
        assert stage["seconds"] >= 0
        assert stage["peak_memory_bytes"] > 1e7
    assert any("3 optimizer steps (fewer than 30)" in sentence for sentence in manifest["warnings"])


@each_preset
def test_the_audit_counts_what_was_prepared(recipe_run, preset: str):
    run = recipe_run(preset)
    audit = json.loads((run / "audit.json").read_text())
    for split, facts in audit["splits"].items():
        table = pq.read_table(_prepared(run) / f"{split}.parquet")
        assert facts["records"] == table.num_rows
        assert facts["tokens"] == sum(len(ids) for ids in table["input_ids"].to_pylist())
        assert facts["supervised_tokens"] == sum(
            span["end"] - span["start"] for spans in table["supervised"].to_pylist() for span in spans
        )
        assert facts["spans"]["ingredients"]["tokens"] > 0


@each_preset
def test_the_report_is_one_file_that_needs_nothing_else(recipe_run, preset: str):
    page = (recipe_run(preset) / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>") or page.startswith("<!doctype html>")
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", page)
    for name in load_config(recipe_run(preset) / "config.yaml").objective:
        assert name.replace("_", " ") in page.replace("_", " ").lower()


def test_the_configuration_reads_back(recipe_run, recipes: Path):
    for preset in PRESETS:
        config = load_config(recipe_run(preset) / "config.yaml")
        original = load_config(f"recipes/{preset}")
        assert config.objective == original.objective
        assert config.data.template == original.data.template
        assert config.data.files == str(recipes)


def test_every_supervised_text_is_the_answer_and_its_end_of_turn(recipe_run):
    from transformers import AutoTokenizer

    run = recipe_run("sinkhorn")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    seen = 0
    for split in ("train", "validation", "test"):
        for row in pq.read_table(_prepared(run) / f"{split}.parquet").to_pylist():
            if row["error"] is not None:
                continue
            [where] = row["supervised"]
            text = tokenizer.decode(row["input_ids"][where["start"] : where["end"]])
            assert text == row["target"] + tokenizer.eos_token
            assert where["start"] == row["prompt_length"]
            assert tokenizer.decode(row["input_ids"][: row["prompt_length"]]) == row["prompt"]
            parsed = json.loads(row["target"])
            items = [span for span in row["spans"] if span["name"] == "ingredients"]
            assert len(items) == len(parsed["ingredients"])
            for span, line in zip(items, parsed["ingredients"], strict=True):
                covered = tokenizer.decode(row["input_ids"][span["start"] : span["end"]])
                assert json.dumps(line.strip(), ensure_ascii=False)[1:-1] in covered
            seen += 1
    assert seen >= 50


def test_the_model_loads_and_generates_the_same_with_plain_transformers(recipe_run):
    run = recipe_run("mixed")
    same = same_answers(run, library="transformers", loader="AutoModelForCausalLM")
    assert same == [True, True, True]


def _prepared(run: Path) -> Path:
    return Path(json.loads((run / "manifest.json").read_text())["data"]["folder"])
