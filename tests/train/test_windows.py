"""The gradient of a window is that of one dense loss over all its positions, however it is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from .building import PLAIN, Built, Windows, relative, row

# Supervised tokens: 1 beside 400, an epoch of three windows of 4 whose last holds 3 records.
LENGTHS = [1, 400, 2, 1, 90, 1, 30, 400, 1, 7, 12]
ROWS = [
    row(number, prompt=1 + number % 5, answer=answer, items=min(answer, 1 + number * 3 % 40) if number % 3 else 0)
    for number, answer in enumerate(LENGTHS)
]


def dense_sums(model: nn.Module, rows: Sequence[dict[str, Any]]) -> tuple[Tensor, int, Tensor, int]:
    """Cross-entropy summed over the answer, focal loss over `items`, with their counts; one row at a time, float64."""
    answer, items = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    answers = inside = 0
    for each in rows:
        ids = torch.tensor(each["input_ids"])
        logits = model(input_ids=ids[None]).logits[0]
        log_p = torch.log_softmax(logits, -1)
        for start, end, focal in [(each["supervised"][0]["start"], each["supervised"][0]["end"], False)] + [
            (span["start"], span["end"], True) for span in each["spans"]
        ]:
            for position in range(start, end):
                log_label = log_p[position - 1, ids[position]]
                if focal:
                    items, inside = items - (1 - log_label.exp()) ** 2 * log_label, inside + 1
                else:
                    answer, answers = answer - log_label, answers + 1
    return answer, answers, items, inside


def gradient(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def double_copy(built: Built, given: dict[str, Tensor]) -> nn.Module:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(built.loaded.model.config).double().eval()
    model.load_state_dict({name: value.double() for name, value in given.items()})
    return model


def watched(built: Built) -> tuple[Windows, list[dict[str, Tensor]]]:
    """The windows of a training, and the weights that each of them started from."""
    weights: list[dict[str, Tensor]] = []
    windows = Windows(built.trainer, built.loaded.model)
    step = windows.on_pre_optimizer_step

    def with_weights(*args: Any, **keywords: Any) -> None:
        weights.append({name: value.clone() for name, value in built.loaded.model.state_dict().items()})
        step(*args, **keywords)

    windows.on_pre_optimizer_step = with_weights  # type: ignore[method-assign]
    built.fit()
    return windows, weights


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    "objective",
    ["{cross_entropy: 1}", "{cross_entropy: 0.6, focal: {weight: 0.4, span: items}}"],
    ids=["answer", "answer and span"],
)
def test_a_window_has_the_gradient_of_one_dense_loss(build: Callable[..., Built], objective: str, size: int):
    with_span = "focal" in objective
    given = PLAIN | {"per_device_train_batch_size": size, "gradient_accumulation_steps": 4 // size}
    built = build("window", f"objective={objective}", rows=ROWS, **given)
    windows, weights = watched(built)
    assert [sum(len(batch) for batch in window) for window in windows.rows] == [4, 4, 3]
    assert sorted(number for window in windows.rows for batch in window for number in batch) == list(range(11))
    far = []
    for found, batches, start in zip(windows.gradients, windows.rows, weights, strict=True):
        model = double_copy(built, start)
        answer, answers, items, inside = dense_sums(model, [ROWS[n] for batch in batches for n in batch])
        loss = answer / answers
        if with_span:
            loss = 0.6 * loss + (0.4 * items / inside if inside else 0.0)
        true = gradient(model, loss)
        assert relative(found, true) < 1e-5
        # What is wrong elsewhere: a mean over micro-batches of their means, and a sum of means never divided.
        means = []
        for batch in batches:
            answer, answers, items, inside = dense_sums(model, [ROWS[n] for n in batch])
            mean = answer / answers
            means.append(0.6 * mean + (0.4 * items / inside if inside else 0.0) if with_span else mean)
        far.append(
            (
                relative(gradient(model, torch.stack(means).mean()), true),
                relative({name: g / len(batches) for name, g in found.items()}, true),
            )
        )
    assert max(mean_of_means for mean_of_means, _ in far) > 0.3
    assert all(divided_again > 0.4 for _, divided_again in far)


def test_a_term_without_positions_in_a_window_leaves_it_to_the_others(build: Callable[..., Built]):
    # The span stands in the last record alone: one window of two has nothing for focal, and no value for the line.
    rows = [row(n, prompt=2, answer=5, items=3 if n == 3 else 0) for n in range(4)]
    given = PLAIN | {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    spanned = build("spanned", "objective={cross_entropy: 1, focal: {weight: 9, span: items}}", rows=rows, **given)
    alone = build("alone", "objective={cross_entropy: 1}", rows=rows, **given)
    windows, plain = Windows(spanned.trainer, spanned.loaded.model), Windows(alone.trainer, alone.loaded.model)
    history, _ = spanned.fit(), alone.fit()
    without = [3 not in [n for batch in window for n in batch] for window in windows.rows]
    assert sorted(without) == [False, True]
    assert [line["terms"]["focal"]["value"] is None for line in history] == without
    if without[0]:
        assert relative(windows.gradients[0], plain.gradients[0]) == 0.0
    for line in history:
        parts = [t["weight"] * t["value"] for t in line["terms"].values() if t["value"] is not None]
        assert line["loss"] == pytest.approx(sum(parts), rel=1e-12)


def test_a_short_iterator_gives_a_short_window_and_an_empty_one_none(build: Callable[..., Built]):
    rows = [row(n, prompt=2, answer=n + 1) for n in range(3)]
    built = build("short", rows=rows, **PLAIN)
    trainer = built.trainer
    loader = iter([trainer.data_collator([trainer.work.train[n]]) for n in range(3)])
    batches, _ = trainer.get_batch_samples(loader, 2, torch.device("cpu"))
    assert (len(batches), trainer._window) == (2, {"cross_entropy": 3.0})
    # The iterator was not read further than asked.
    batches, _ = trainer.get_batch_samples(loader, 2, torch.device("cpu"))
    assert (len(batches), trainer._window) == (1, {"cross_entropy": 3.0})
    batches, count = trainer.get_batch_samples(loader, 2, torch.device("cpu"))
    assert (batches, float(count)) == ([], 0.0)
