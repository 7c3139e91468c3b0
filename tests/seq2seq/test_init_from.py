"""Weights of one text-to-text run are the start of another, with a fresh optimizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

import lossmith
from lossmith.runs import read_jsonl

SMALL = [
    "model.base=scratch-tiny", "model.vocab_size=300", "model.hidden_size=32", "model.num_hidden_layers=1",
    "model.num_attention_heads=2", "train.device=cpu", "tracking.report_to=[]", "train.eval_strategy=no",
    "train.load_best_model_at_end=false", "train.save_strategy=no", "train.logging_steps=1", "data.split={test: 0}",
    "data.template={prompt: 'Say {{ x }}', answer: '{{ y }}'}",
]  # fmt: skip


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "pairs.jsonl"
    rows = [{"x": f"{n} times", "y": " ".join(["la"] * (n % 5 + 1))} for n in range(24)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [*SMALL, f"data.files={file}", f"runs_dir={tmp_path / 'runs'}"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForSeq2SeqLM.from_pretrained(run / "model").named_parameters())


def test_an_encoder_decoder_goes_on_from_the_weights_of_another_run(given: list[str]) -> None:
    first = lossmith.train("seq2seq", [*given, "name=first", "train.max_steps=4", "train.learning_rate=0.01"]).path
    more = ["train.max_steps=1", "train.learning_rate=1e-9"]
    second = lossmith.train("seq2seq", [*given, "name=second", f"train.init_from={first}", *more]).path
    fresh = lossmith.train("seq2seq", [*given, "name=fresh", *more]).path
    start, after, random = weights(first), weights(second), weights(fresh)
    assert all(torch.allclose(start[name], after[name], atol=1e-6) for name in start)
    assert not all(torch.allclose(start[name], random[name], atol=1e-2) for name in start)
    # Steps are counted anew: nothing but weights is taken over.
    assert [line["step"] for line in read_jsonl(second / "history.jsonl")] == [1]


def test_a_decoder_named_as_start_makes_the_task_a_decoders(given: list[str]) -> None:
    decoder = lossmith.train("seq2seq", [*given, "name=decoder", "model.architecture=qwen3", "train.max_steps=1"]).path
    config = json.loads((decoder / "model" / "config.json").read_text())
    assert config["model_type"] == "qwen3"
    run = lossmith.train("seq2seq", [*given, "name=after", f"train.init_from={decoder}", "train.max_steps=1"]).path
    assert json.loads((run / "model" / "config.json").read_text())["model_type"] == "qwen3"
