"""QLoRA through bitsandbytes: 4-bit weights, quantised twice, an adapter that trains on them, and what is made of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import lossmith
from lossmith.config.model import ModelConfig
from lossmith.models.base_tokenizer import load_tokenizer
from lossmith.models.load import load_model
from lossmith.models.precision import choose_precision
from lossmith.runs import RunFolder, read_jsonl
from tests.models.conftest import CHATML, TEXTS, tiny_qwen3

pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
TASKS = {
    "causal": [
        "data.template={prompt: '{{ q }}', answer: '{{ a }}'}",
        "generate.max_new_tokens=5",
        "evaluate.metrics=[exact_match]",
    ],
    "classification": ["data.template={text: '{{ q }}'}", "data.label=a", "evaluate.metrics=[accuracy]"],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder in a folder; 64 wide, so that its matrices fill whole blocks."""
    from lossmith.models.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(TEXTS, vocab_size=340, chat_template=CHATML)
    folder = tmp_path_factory.mktemp("base")
    tiny_qwen3(tokenizer, tied=False, width=64).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def trained(task: str, base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSMITH_CACHE", str(folder / "cache"))
    file = folder / "records.jsonl"
    splits = ["train"] * 24 + ["validation"] * 6 + ["test"] * 6
    rows = [
        {"q": "whisk" if n % 2 else "bake 7", "a": ["eggs", "flour"][n % 2], "split": s} for n, s in enumerate(splits)
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    given = [
        *TASKS[task], f"data.files={file}", "data.split.column=split", f"runs_dir={folder}", f"name={task}",
        f"model.base={base}", "model.load_in_4bit=true", "model.bnb_4bit_quant_type=nf4",
        "model.bnb_4bit_use_double_quant=true", "model.bnb_4bit_compute_dtype=float32", "model.lora_r=4",
        "train.device=cpu", "train.learning_rate=0.02", "train.num_train_epochs=4", "tracking.report_to=[]",
    ]  # fmt: skip
    return lossmith.run(task, given, quiet=True)


@pytest.mark.parametrize("task", TASKS)
def test_it_trains_what_is_asked_on_4_bit_weights(
    task: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = trained(task, base, tmp_path, monkeypatch)
    lines: list[dict[str, Any]] = [line for line in read_jsonl(RunFolder(run).history) if "eval_loss" in line]
    assert lines[-1]["eval_loss"] < lines[0]["eval_loss"] - 0.1
    predictions = RunFolder(run).predictions("test")
    rows = pq.read_table(predictions).to_pylist()
    if task == "classification":
        assert [row["prediction"] for row in rows] == [row["target"] for row in rows]
    predictions.unlink()
    assert pq.read_table(lossmith.predict(run)).to_pylist() == rows
    facts = RunFolder(run).manifest()["model"]
    assert facts["trainable_parameters"] < 0.2 * facts["parameters"]
    # The adapter alone is written: its base stays where it is, in its own number format.
    assert (run / "model" / "adapter_config.json").exists()
    assert sum(file.stat().st_size for file in (run / "model").glob("*.safetensors")) < 2e5


def test_weights_are_quantised_twice_and_what_trains_is_not(base: Path):
    import bitsandbytes as bnb

    config = ModelConfig(base=str(base), load_in_4bit=True, bnb_4bit_compute_dtype="float32", lora_r=4)
    tokenizer = load_tokenizer(config)
    precision = choose_precision(device="cpu", dtype="float32")
    loaded = load_model(config, tokenizer, precision=precision)
    layers = [module for module in loaded.model.modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert len(layers) == 14
    for layer in layers:
        assert layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.quant_state.nested
        assert layer.compute_dtype == torch.float32
        assert not layer.weight.requires_grad
    trains = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trains} == {torch.float32}
    assert loaded.total == sum(
        p.numel()
        for p in load_model(
            config.model_copy(update={"load_in_4bit": False}), tokenizer, precision=precision
        ).model.parameters()
    )
