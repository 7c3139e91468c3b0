"""Evaluation loss: exact by token, the same at every batch size, and without logits of tokens x vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lossmith.losses import tiles

from .building import PLAIN, Built, row

VALIDATION = [
    row(100 + n, prompt=1 + n % 4, answer=length, items=min(length, n % 5))
    for n, length in enumerate([1, 150, 2, 1, 40, 1, 90, 3, 1, 25])
]
TERMS = "objective={cross_entropy: 0.5, focal: {weight: 0.3, span: items}, generalized_dice: 0.2}"


def evaluated(built: Built) -> dict[str, float]:
    metrics = built.trainer.evaluate()
    return {name: value for name, value in metrics.items() if name.startswith("eval_") and "_per_second" not in name}


def test_it_does_not_depend_on_the_batch_size(build: Callable[..., Built]):
    found = []
    for size in (1, 3, 8):
        given = PLAIN | {"per_device_eval_batch_size": size}
        found.append(evaluated(build(f"size-{size}", TERMS, validation=VALIDATION, **given)))
    for other in found[1:]:
        for name in ("eval_loss", "eval_cross_entropy", "eval_focal", "eval_generalized_dice"):
            assert other[name] == pytest.approx(found[0][name], rel=1e-6)
    one = found[0]
    weighted = 0.5 * one["eval_cross_entropy"] + 0.3 * one["eval_focal"] + 0.2 * one["eval_generalized_dice"]
    assert one["eval_loss"] == pytest.approx(weighted, rel=1e-12)


def test_it_is_that_of_a_plain_loop_over_tokens(build: Callable[..., Built]):
    built = build("plain", validation=VALIDATION, **(PLAIN | {"per_device_eval_batch_size": 4}))
    found = evaluated(built)["eval_loss"]
    total, tokens = 0.0, 0
    model = built.loaded.model.double().eval()
    for each in VALIDATION:
        ids = torch.tensor(each["input_ids"])
        with torch.no_grad():
            log_p = torch.log_softmax(model(input_ids=ids[None]).logits[0], -1)
        for position in range(each["prompt_length"], len(ids)):
            total, tokens = total - float(log_p[position - 1, ids[position]]), tokens + 1
    assert tokens == 314
    assert found == pytest.approx(total / tokens, rel=1e-6)
    # A mean over records, or over batches, is another number.
    assert abs(evaluated(built)["eval_loss"] - total / tokens) < 1e-5 * total / tokens


class LargestTensor(TorchDispatchMode):
    """The most numbers that any result of an operation holds of its own."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor):
                self.numbers = max(self.numbers, each.untyped_storage().nbytes() // each.element_size())
        return result


def test_no_evaluation_and_no_training_step_holds_tokens_times_vocabulary(
    build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tiles, "TILE_ROWS", 16)
    monkeypatch.setattr(tiles, "SWEEP_BYTES", {"cpu": 2**16})
    rows = [row(n, prompt=2, answer=38, items=4) for n in range(16)]
    terms = "objective={cross_entropy: 0.5, generalized_dice: 0.2, sinkhorn: {weight: 0.3, span: items}}"
    given = PLAIN | {"per_device_eval_batch_size": 16, "per_device_train_batch_size": 16}
    built = build("memory", terms, rows=rows, validation=rows, **given)
    tokens_times_vocabulary = 16 * 38 * 300
    with torch.no_grad(), LargestTensor() as dense:
        ids = torch.tensor([each["input_ids"] for each in rows])
        built.loaded.model(input_ids=ids)
    assert dense.numbers >= tokens_times_vocabulary, "the watch must see what a plain model does"
    with LargestTensor() as watch:
        evaluated(built)
    assert watch.numbers < tokens_times_vocabulary / 2
    with LargestTensor() as watch:
        built.fit()
    assert watch.numbers < tokens_times_vocabulary / 2


def test_each_term_is_measured_in_the_history_and_timings_are_left_out(build: Callable[..., Built]):
    given = PLAIN | {"eval_strategy": "steps", "eval_steps": 5}
    built = build("lines", TERMS, validation=VALIDATION, **given)
    lines = [line for line in built.fit() if "eval_loss" in line]
    assert lines
    for line in lines:
        assert set(line) == {
            "step",
            "eval_loss",
            "eval_cross_entropy",
            "eval_focal",
            "eval_generalized_dice",
            "seconds",
        }


def test_a_sample_of_the_validation_records_is_the_same_each_time(build: Callable[..., Built]):
    given = PLAIN | {"max_eval_samples": 3}
    first = build("sampled", validation=VALIDATION, **given)
    again = build("sampled-again", validation=VALIDATION, **given)
    rows = first.trainer.work.validation
    assert rows is not None
    assert len(rows) == 3
    assert again.trainer.work.validation is not None
    assert rows.ids(range(3)) == again.trainer.work.validation.ids(range(3))
    assert evaluated(first) == evaluated(first) | {"eval_runtime": pytest.approx(0, abs=60)}
