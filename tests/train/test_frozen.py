"""A head trained on features of a frozen backbone is the one that the whole model would have trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import lossmith
from lossmith.errors import ConfigError
from lossmith.runs import RunFolder, read_jsonl
from lossmith.tasks import classification

from .labelled import overrides_for, write_labelled

FROZEN: dict[str, Any] = {
    "num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 0.05, "logging_steps": 2,
}  # fmt: skip
Overrides = Callable[..., list[str]]


@pytest.fixture
def overrides(tmp_path: Path) -> Overrides:
    return overrides_for(write_labelled(tmp_path / "labelled.jsonl"), tmp_path)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def history(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(RunFolder(run).history)]


def told(run: Path) -> str:
    return next(line for line in RunFolder(run).log.read_text().splitlines() if "the head alone works" in line)


@pytest.mark.parametrize("architecture", ["modernbert", "qwen3"])
def test_features_train_the_head_that_the_whole_model_trains(
    architecture: str, overrides: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["model.freeze_backbone=true", f"model.architecture={architecture}", "objective={class_focal: 1}"]
    one = lossmith.train("classification", overrides("features", *given, **FROZEN), quiet=True).path
    assert "of 56 records" in told(one)
    assert "computed" in told(one)
    manifest = RunFolder(one).manifest()
    assert manifest["model"]["features"]["pooling"] == {"modernbert": "mean", "qwen3": "last"}[architecture]
    with monkeypatch.context() as patch:
        # The same pieces, with every batch through the backbone; no dropout in these scratch models.
        patch.setattr(classification, "HEAD", replace(classification.HEAD, stored=None))
        whole = lossmith.train("classification", overrides("whole", *given, **FROZEN), quiet=True).path
    first, second = weights(one), weights(whole)
    assert first.keys() == second.keys()
    for name, held in second.items():
        torch.testing.assert_close(first[name], held, rtol=1e-5, atol=1e-5)
    for line, true in zip(history(one), history(whole), strict=True):
        assert line.keys() == true.keys()
        for name in ("loss", "grad_norm", "eval_loss", "eval_accuracy"):
            assert line.get(name) == (None if true.get(name) is None else pytest.approx(true[name], rel=1e-5, abs=1e-5))
        assert line.get("tokens") == true.get("tokens")
    start = lossmith.train(
        "classification", overrides("start", *given, **{**FROZEN, "learning_rate": 1e-12}), quiet=True
    )
    changed = {name for name, held in weights(start.path).items() if (held - first[name]).abs().max() > 1e-6}
    assert changed
    assert not [name for name in changed if name.startswith("model.")]


def test_a_second_run_computes_nothing_and_predicts_what_the_whole_model_does(
    overrides: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["model.freeze_backbone=true", "model.hidden_size=24", "evaluate.split=validation"]
    runs = []
    for name, expected, more in (
        ("first", "computed, the others", {}),
        ("second", " 0 computed", {"sampler": "balanced"}),
    ):
        steps = {**FROZEN, "metric_for_best_model": "eval_accuracy", **more}
        runs.append(lossmith.train("classification", overrides(name, *given, **steps), quiet=True))
        assert expected in told(runs[-1].path)
    # The model, loaded again, says of validation what the features said at the best evaluation, by them or whole.
    table = pq.read_table(lossmith.predict(runs[0].path, split="validation"))
    labels, said = (np.array(table.column(name).to_pylist()) for name in ("label", "predicted"))
    assert (labels == said).mean() == pytest.approx(runs[0].best_metric)
    with monkeypatch.context() as patch:
        patch.setattr(classification, "on_features", lambda taken, *_: taken)
        whole = pq.read_table(lossmith.predict(runs[0].path, split="validation"))
    for name in (column for column in whole.column_names if column.startswith("score.")):
        assert table.column(name).to_pylist() == pytest.approx(whole.column(name).to_pylist(), abs=1e-6)


@pytest.mark.parametrize(
    ("preset", "given", "says"),
    [
        ("causal", ["model.base=scratch-tiny"], "trains a class head alone"),
        ("classification", ["model.base=scratch-tiny", "model.adapter=lora"], "exclude each other"),
    ],
)
def test_where_no_head_trains_alone_it_is_refused(
    preset: str, given: list[str], says: str, overrides: Overrides
) -> None:
    with pytest.raises(ConfigError, match=says):
        lossmith.train(preset, overrides("refused", "model.freeze_backbone=true", *given), quiet=True)
