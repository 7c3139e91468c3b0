"""Number formats, recomputed activations and adapters: what trains stays fp32, what is frozen stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import lossmith
from lossmith.models import precision
from lossmith.runs import RunFolder

from .building import PLAIN, Built, Windows, relative, row

ROWS = [row(n, prompt=2, answer=9, items=3) for n in range(8)]
TERMS = "objective={cross_entropy: 0.6, generalized_dice: 0.2, sinkhorn: {weight: 0.2, span: items}}"
GIVEN = PLAIN | {"per_device_train_batch_size": 4, "learning_rate": 0.1}


def test_bf16_on_a_cpu_computes_under_autocast_and_trains_fp32(
    build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(precision._BF16_HARDWARE, "cpu", lambda: False)  # type: ignore[index]
    built = build("half", TERMS, "model.dtype=bfloat16", rows=ROWS, validation=ROWS, **GIVEN)
    seen = []
    forward = built.trainer.work.forward

    def watched(model: Any, batch: Any) -> Any:
        parts = forward(model, batch)
        seen.append(parts.hidden.dtype)
        return parts

    watched.refresh_scale = forward.refresh_scale  # type: ignore[attr-defined]
    object.__setattr__(built.trainer.work, "forward", watched)
    windows = Windows(built.trainer, built.loaded.model)
    history = built.fit()
    assert [line["step"] for line in history] == [1, 2]
    evaluated = built.trainer.evaluate()["eval_loss"]
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in built.loaded.model.parameters()} == {torch.float32}
    assert {g.dtype for window in windows.gradients for g in window.values()} == {torch.float32}
    assert any("no bfloat16 hardware" in warning for warning in built.warnings)
    assert built.run.manifest()["dtype"] == "bfloat16"
    exact = build("whole", TERMS, rows=ROWS, validation=ROWS, **GIVEN)
    reference = Windows(exact.trainer, exact.loaded.model)
    assert exact.fit()[0]["loss"] == pytest.approx(history[0]["loss"], rel=2e-2)
    assert relative(windows.gradients[0], reference.gradients[0]) < 5e-2
    assert evaluated == pytest.approx(exact.trainer.evaluate()["eval_loss"], rel=2e-2)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_gradient_checkpointing_changes_memory_alone(build: Callable[..., Built], adapter: str):
    names = [f"model.adapter={adapter}"] + (["model.lora_target_modules=all-linear"] if adapter == "lora" else [])
    outcomes = []
    for recompute in ("false", "true"):
        given = GIVEN | {"gradient_checkpointing": recompute}
        built = build(f"recompute-{recompute}", TERMS, *names, rows=ROWS, **given)
        windows = Windows(built.trainer, built.loaded.model)
        outcomes.append((built.fit(), windows.gradients))
        recomputing = {getattr(module, "gradient_checkpointing", None) for module in built.loaded.model.modules()}
        assert (True in recomputing) is (recompute == "true")
    (plain, gradients), (recomputed, again) = outcomes
    assert [line["loss"] for line in recomputed] == pytest.approx([line["loss"] for line in plain], rel=1e-6)
    assert len(gradients) == 2
    for one, other in zip(gradients, again, strict=True):
        assert relative(other, one) < 1e-5


@pytest.fixture
def base(overrides: Callable[..., list[str]], tmp_path: Path) -> Path:
    """A trained local model to start from."""
    lossmith.train("causal", overrides("base", **PLAIN), quiet=True)
    return tmp_path / "runs" / "base" / "model"


LOCAL = [
    "model.adapter=lora", "model.lora_r=4", "model.lora_target_modules=[q_proj, v_proj]", "model.vocab_size=null",
    "model.hidden_size=null", "model.num_hidden_layers=null", "model.num_attention_heads=null",
]  # fmt: skip


def test_lora_trains_the_adapters_and_leaves_the_head_frozen(build: Callable[..., Built], base: Path):
    built = build("adapters", TERMS, f"model.base={base}", *LOCAL, rows=ROWS, **GIVEN)
    model = built.loaded.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    windows = Windows(built.trainer, model)
    heads = []
    forward = built.trainer.work.forward

    def watched(wrapped: Any, batch: Any) -> Any:
        parts = forward(wrapped, batch)
        heads.append(parts.head.weight.requires_grad)
        return parts

    watched.refresh_scale = forward.refresh_scale  # type: ignore[attr-defined]
    object.__setattr__(built.trainer.work, "forward", watched)
    built.fit()
    assert heads == [False, False], "a frozen head takes the engine's path without head gradients"
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    assert all("lora_" in name for window in windows.gradients for name in window)
    manifest = built.run.manifest()["model"]
    assert manifest["adapter"] == "lora"
    assert manifest["trainable_parameters"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < manifest["trainable_parameters"] < manifest["parameters"]


def test_the_best_adapter_is_the_model(overrides: Callable[..., list[str]], base: Path, tmp_path: Path):
    given = GIVEN | {
        "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 3, "save_total_limit": 1,
        "load_best_model_at_end": "true", "learning_rate": 0.5, "num_train_epochs": 2,
    }  # fmt: skip
    lossmith.train("causal", overrides("kept", f"model.base={base}", *LOCAL, **given), quiet=True)
    run = RunFolder(tmp_path / "runs" / "kept")
    best = run.checkpoints / f"checkpoint-{run.manifest()['best']['step']}"
    model, kept = (load_file(folder / "adapter_model.safetensors") for folder in (run.model, best))
    assert model.keys() == kept.keys()
    assert all(torch.equal(model[name], kept[name]) for name in kept)


def test_a_model_starts_from_the_weights_that_init_from_names(build: Callable[..., Built], base: Path):
    built = build("from", rows=ROWS, **(GIVEN | {"init_from": base.parent}))
    trained, start = load_file(base / "model.safetensors"), built.loaded.model.state_dict()
    assert built.run.manifest()["model"]["adapter"] == "none"
    assert trained.keys() <= start.keys(), "a scratch model goes on training all its weights"
    assert all(torch.equal(trained[name], start[name]) for name in trained)
