"""The scale that Sinkhorn's points are divided by: that of the embeddings before each window, whatever else is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from transformers import TrainerCallback

from lossmith.models.heads import embedding_scale
from lossmith.tasks import token_forward

from .building import PLAIN, Built, row

TERMS = "objective={cross_entropy: 0.5, sinkhorn: {weight: 2.0, span: items}}"
ROWS = [row(n, prompt=2, answer=9, items=6) for n in range(12)]
# Adam moves every embedding, and far enough that the scale of the start would be another objective.
GIVEN = PLAIN | {"per_device_train_batch_size": 2, "optim": "adamw_torch", "learning_rate": 0.02}
EVALUATED = {"eval_strategy": "steps", "per_device_eval_batch_size": 4}


def test_training_does_not_depend_on_when_it_is_evaluated(build: Callable[..., Built]):
    histories = []
    for name, more in (("never", {}), ("each", {"eval_steps": 1}), ("third", {"eval_steps": 3})):
        given = GIVEN | (EVALUATED | more if more else {})
        history = build(name, TERMS, rows=ROWS, validation=ROWS[:4], **given).fit()
        histories.append([(line["loss"], line["grad_norm"]) for line in history if "loss" in line])
    assert len(histories[0]) == 6
    assert histories[1] == histories[0]
    assert histories[2] == histories[0]


class Scales(TrainerCallback):
    """The scale in use in each window, and that of the embeddings before its step."""

    def __init__(self, built: Built) -> None:
        self.built, self.used, self.true = built, [], []
        built.trainer.add_callback(self)

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        forward = self.built.trainer.work.forward
        self.used.append(forward.scale)
        self.true.append(embedding_scale(self.built.loaded.model, forward._real_tokens))


def test_each_window_has_the_scale_of_its_embeddings(build: Callable[..., Built]):
    built = build("each", TERMS, rows=ROWS, **GIVEN)
    scales = Scales(built)
    built.fit()
    assert scales.used == scales.true
    assert scales.used[0] == built.run.manifest()["model"]["embedding_scale"]
    assert scales.used[-1] > 1.05 * scales.used[0]


def test_the_mean_marginal_error_is_in_the_manifest(build: Callable[..., Built]):
    loose, tight = (
        build(f"tolerance-{tolerance}", TERMS.replace("span", f"tolerance: {tolerance}, span"), rows=ROWS, **GIVEN)
        for tolerance in ("null", "1e-4")
    )
    errors = []
    for built in (loose, tight):
        built.fit()
        errors.append(built.run.manifest()["notes"]["sinkhorn"]["marginal_error"])
    assert 0 < errors[1] <= 1e-4 < errors[0]


def test_frozen_embeddings_are_measured_once(build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch):
    measured = []

    def counted(*arguments: Any) -> float:
        measured.append(embedding_scale(*arguments))
        return measured[-1]

    monkeypatch.setattr(token_forward, "embedding_scale", counted)
    adapter = ["model.adapter=lora", "model.lora_target_modules=[q_proj, v_proj]"]
    built = build("frozen", TERMS, *adapter, rows=ROWS, validation=ROWS[:4], **(GIVEN | EVALUATED | {"eval_steps": 2}))
    built.fit()
    assert len(measured) == 1
