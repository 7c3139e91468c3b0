"""A classification from its configuration to its predictions: what is checked, measured, decided and kept."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.errors import ConfigError, DataError
from lossmith.runs import RunFolder, read_json, read_jsonl
from lossmith.tasks.classified import METADATA_KEY

TINY = [
    "model.base=scratch-tiny", "model.vocab_size=300", "model.hidden_size=32", "model.num_hidden_layers=1",
    "model.num_attention_heads=2", "tracking.report_to=[]", "data.template={text: '{{ text }}'}",
    "data.split={validation: 0, test: 0, column: split}", "train.device=cpu", "train.learning_rate=5e-3",
    "train.num_train_epochs=3",
]  # fmt: skip
SPLITS = {"train": 64, "validation": 24, "test": 24}


def write(file: Path, *, share: float = 0.4, splits: dict[str, int] = SPLITS) -> Path:
    """Texts that say what they are: `yes` where a text has a plus, `kind` by its length, `sharp` by a hash."""
    draw = random.Random(0)
    lines = []
    for split, count in splits.items():
        for number in range(count):
            sharp, long = number % 3 == 0, number % 2
            yes = number < max(1, round(share * count))
            text = "".join(draw.choices("abcdefgh ", k=60 if long else 9)) + "+" * 4 * yes + " ##" * sharp
            record = {"text": text, "yes": yes, "kind": "xyz"[yes + long], "sharp": int(sharp), "long": long}
            lines.append(json.dumps({**record, "split": split}))
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    file = write(tmp_path / "records.jsonl")

    def run(name: str, *more: str) -> Path:
        given = [*TINY, f"data.files={file}", f"runs_dir={tmp_path / 'runs'}", f"name={name}", *more]
        return lossmith.run("classification", given, quiet=True)

    return run


def predictions(run: Path, split: str = "test") -> tuple[dict[str, list[Any]], dict[str, Any]]:
    table = pq.read_table(RunFolder(run).predictions(split))
    return table.to_pydict(), json.loads(table.schema.metadata[METADATA_KEY])


def test_a_run_tells_classes_scores_and_its_best_checkpoint(run_it: Callable[..., Path]):
    run = run_it(
        "classes", "data.label=kind", "train.metric_for_best_model=f1_macro",
        "objective={class_focal: {weight: 1, class_weight: balanced}, class_cross_entropy: 0.5}",
    )  # fmt: skip
    rows, known = predictions(run)
    scores = np.array([rows[f"score.{name}"] for name in "xyz"])
    assert scores.sum(0) == pytest.approx(np.ones(24))
    assert rows["predicted"] == ["xyz"[place] for place in scores.argmax(0)] == rows["prediction"]
    assert rows["label"] == rows["target"]
    assert rows["error"] == [None] * 24
    assert known["classes"]["names"] == ["x", "y", "z"]
    assert (known["threshold"], known["temperature"]) == (0.5, 1.0)
    lines = read_jsonl(RunFolder(run).history)
    assert all(0 <= line["accuracy"] <= 1 for line in lines if "terms" in line)
    evaluations = [line for line in lines if "eval_loss" in line]
    assert all("eval_accuracy" in line for line in evaluations)
    manifest = RunFolder(run).manifest()
    assert manifest["best"]["value"] == max(line["eval_f1_macro"] for line in evaluations)
    counted = manifest["objective"][0]["counted"][0]
    assert counted["rule"] == "balanced"
    assert sum(counted["counts"].values()) == counted["examples"] == 64
    # The model that is kept gives on validation what the best evaluation measured.
    metrics = lossmith.stages.predict(run, split="validation") and lossmith.evaluate(run, split="validation")
    assert metrics["metrics"]["f1_macro"]["value"] == pytest.approx(manifest["best"]["value"])


@pytest.mark.parametrize("metric", ["worst_group_balanced_accuracy", "recall.x", "fpr_gap"])
def test_the_best_checkpoint_is_chosen_by_any_metric(run_it: Callable[..., Path], metric: str):
    run = run_it(
        "best", "data.label=yes" if "." not in metric else "data.label=kind", "data.group=long",
        f"train.metric_for_best_model={metric}", "evaluate.smallest_group=3",
    )  # fmt: skip
    found = [line[f"eval_{metric}"] for line in read_jsonl(RunFolder(run).history) if "eval_loss" in line]
    assert len(found) == 3
    assert RunFolder(run).manifest()["best"]["value"] == (min if metric == "fpr_gap" else max)(found)
    assert lossmith.stages.predict(run, split="validation").exists()
    again = lossmith.evaluate(run, [f"evaluate.metrics=[{metric}]"], split="validation")["metrics"]
    assert again[metric]["value"] == pytest.approx(RunFolder(run).manifest()["best"]["value"])


def test_an_aim_and_a_temperature_are_fitted_on_validation_and_kept_with_the_model(run_it: Callable[..., Path]):
    given = ["data.label=yes", "objective={binary_cross_entropy: {weight: 1, pos_weight: auto}}"]
    run = run_it("aim", *given, 'evaluate.threshold={recall: ">= 0.9"}', "evaluate.calibration=temperature")
    rows, known = predictions(run)
    decision = read_json(run / "model" / "lossmith.json")["decision"]
    assert decision == RunFolder(run).manifest()["decision"]
    assert (known["threshold"], known["temperature"]) == (decision["threshold"], decision["temperature"])
    assert decision["temperature"] != 1.0
    assert decision["fitted_on"] == {"split": "validation", "records": 24}
    assert rows["predicted"] == ["true" if s >= decision["threshold"] else "false" for s in rows["score.true"]]
    assert np.add(rows["score.true"], rows["score.false"]) == pytest.approx(np.ones(24))
    fitted, _ = predictions(run, "validation") if lossmith.stages.predict(run, split="validation") else ({}, {})
    positive = [s for s, label in zip(fitted["score.true"], fitted["label"], strict=True) if label == "true"]
    assert sum(s >= decision["threshold"] for s in positive) / len(positive) >= 0.9
    # Another threshold makes other predictions of the same model.
    assert run_it("aim", *given, "evaluate.threshold=0.999") == run
    assert predictions(run)[1]["threshold"] == 0.999
    assert read_json(run / "model" / "lossmith.json")["decision"]["threshold"] == 0.999


def test_labels_that_do_not_exclude_each_other_have_a_threshold_each(run_it: Callable[..., Path]):
    run = run_it(
        "labels", "data.label=[yes, sharp, long]", "evaluate.threshold={max: f1}",
        "objective={binary_focal: {weight: 1, alpha: inverse}, multilabel_dice: 0.2}", "evaluate.metrics=[accuracy]",
    )  # fmt: skip
    rows, known = predictions(run)
    assert set(known["threshold"]) == {"yes", "sharp", "long"}
    for name, threshold in known["threshold"].items():
        assert rows[f"predicted.{name}"] == [int(score >= threshold) for score in rows[f"score.{name}"]]
    names = ["yes", "sharp", "long"]
    told = [", ".join(n for n in names if rows[f"label.{n}"][at]) for at in range(24)]
    assert rows["label"] == told


def test_a_fresh_process_gives_the_same_scores(run_it: Callable[..., Path]):
    run = run_it(
        "fresh", "data.label=yes", "model.pooling=mean", "model.architecture=qwen3", "objective={binary_focal: 1}"
    )  # fmt: skip
    rows, known = predictions(run)
    RunFolder(run).predictions("test").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "lossmith.cli", "predict", str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    again, known_again = predictions(run)
    assert again["score.true"] == pytest.approx(rows["score.true"], abs=1e-6)
    assert again["predicted"] == rows["predicted"]
    assert known_again == known


def test_what_cannot_work_is_refused(run_it: Callable[..., Path], tmp_path: Path):
    with pytest.raises(ConfigError, match="is for two classes"):
        run_it("three", "data.label=kind", "objective={binary_cross_entropy: 1}")
    with pytest.raises(ConfigError, match="cannot read one head"):
        run_it("both", "data.label=yes", "objective={binary_cross_entropy: 1, class_focal: 1}")
    with pytest.raises(ConfigError, match="these labels do not"):
        run_it("softmax", "data.label=[yes, sharp]", "objective={class_cross_entropy: 1}")
    with pytest.raises(ConfigError, match="reads queries"):
        run_it("queries", "data.label=yes", "objective={class_cross_entropy: 1, query_diversity: 1}")
    with pytest.raises(ConfigError, match="is for two classes, or for labels"):
        run_it("aimed", "data.label=kind", "evaluate.threshold={max: f1}", "train.max_steps=1")
    with pytest.raises(ConfigError, match="longer than the model can read"):
        run_it("long", "data.label=yes", "data.max_length=9000", "data.template={text: '{{ text * 200 }}'}")
    one_class = write(tmp_path / "one.jsonl", share=0.0, splits={"test": 1, "train": 9, "validation": 9})
    text = one_class.read_text().replace('"yes": true', '"yes": false')
    one_class.write_text(text)
    with pytest.raises(DataError, match=r"same label|one class"):
        run_it("one", "data.label=yes", f"data.files={one_class}", "task.positive=null")


def test_one_positive_in_a_hundred_trains_and_a_class_that_validation_lacks_is_told(
    run_it: Callable[..., Path], tmp_path: Path
):
    file = write(tmp_path / "rare.jsonl", share=0.01, splits={"train": 200, "validation": 8, "test": 20})
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["yes"] = line["yes"] and line["split"] != "validation"
    file.write_text("\n".join(map(json.dumps, lines)))
    run = run_it(
        "rare", f"data.files={file}", "data.label=yes", 'evaluate.threshold={recall: ">= 0.95"}',
        "objective={binary_cross_entropy: {weight: 1, pos_weight: auto}}", "train.num_train_epochs=1",
    )  # fmt: skip
    manifest = RunFolder(run).manifest()
    assert any("'true' is absent from the validation split" in told for told in manifest["warnings"])
    assert any("was not reached" in told for told in manifest["warnings"])
    assert predictions(run)[1]["threshold"] == 0.5
    assert manifest["objective"][0]["parameters"]["pos_weight"] == [99.0]
