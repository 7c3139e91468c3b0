"""torch.compile of the model: its steps are those of the plain one, and the vocabulary stays out of the graph."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from .building import PLAIN, Built, Windows, relative, row

ROWS = [row(n, prompt=2, answer=5 + n, items=3) for n in range(8)]
TERMS = "objective={cross_entropy: 0.6, generalized_dice: 0.2, sinkhorn: {weight: 0.2, span: items}}"
GIVEN = PLAIN | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 0.1}


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=pytest.mark.skipif(
                not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="inductor needs a C++ compiler"
            ),
        ),
    ],
)
def test_a_compiled_training_is_the_plain_one(build: Callable[..., Built], backend: str):
    outcomes = []
    for name, more in (
        ("plain", []),
        (backend, [f"train.hf={{torch_compile: true, torch_compile_backend: {backend}}}"]),
    ):
        torch._dynamo.reset()
        built = build(name, TERMS, "model.num_hidden_layers=1", *more, rows=ROWS, validation=ROWS, **GIVEN)
        windows = Windows(built.trainer, built.loaded.model)
        history = built.fit()
        outcomes.append((history, windows.gradients, built.trainer.evaluate()["eval_loss"]))
    (plain, gradients, evaluated), (compiled, again, evaluated_again) = outcomes
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0, "nothing was compiled"
    assert [line["loss"] for line in compiled] == pytest.approx([line["loss"] for line in plain], rel=1e-5)
    assert evaluated_again == pytest.approx(evaluated, rel=1e-5)
    assert len(gradients) == 2
    for one, other in zip(gradients, again, strict=True):
        assert relative(other, one) < 1e-5
