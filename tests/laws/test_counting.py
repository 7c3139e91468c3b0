"""Law 1 swept over the losses: 8 x 1 = 4 x 2 = 2 x 4 for each that is counted by token or example."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lossmith.losses import LOSSES, Head, Objective

COUNTED = [name for name, row in LOSSES.items() if row.reads == "tokens"]
CUTS = ((8, 1), (4, 2), (2, 4), (1, 8))
# Positions of the 8 examples of a window, ragged, one without any of the span; labels repeat within an example.
POSITIONS = (1, 40, 2, 1, 17, 3, 1, 9)
VOCABULARY, WIDTH = 37, 8


def test_the_sweep_sees_every_loss_over_tokens():
    assert len(COUNTED) == 9
    assert {LOSSES[name].unit for name in COUNTED} == {"token", "example"}


def window(draw: torch.Generator) -> list[dict[str, Tensor]]:
    """One record of positions for each example; `part` holds item numbers on about half of them."""
    return [
        {
            "hidden": torch.randn(count, WIDTH, generator=draw, dtype=torch.float64),
            "labels": torch.randint(0, 11, (count,), generator=draw),
            "part": torch.randint(-1, 2, (count,), generator=draw) if number != 3 else torch.full((count,), -1),
        }
        for number, count in enumerate(POSITIONS)
    ]


def gradients(objective: Objective, examples: Sequence[dict[str, Tensor]], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Total, and the gradients on the hidden states and the head, of the window cut into calls of `size` examples."""
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=torch.float64).requires_grad_()
    embeddings = (torch.randn(VOCABULARY, 5, generator=draw, dtype=torch.float64), 2.0)
    calls = []
    for start in range(0, len(examples), size):
        chosen = examples[start : start + size]
        calls.append(
            {
                "hidden": torch.cat([each["hidden"] for each in chosen]).requires_grad_(),
                "labels": torch.cat([each["labels"] for each in chosen]),
                "spans": {"part": torch.cat([each["part"] for each in chosen])},
                "examples": torch.cat([torch.full_like(e["labels"], n) for n, e in enumerate(chosen)]),
            }
        )
    counts: dict[str, float] = {}
    for call in calls:
        for name, count in objective.counts(call["labels"], call["spans"], call["examples"]).items():
            counts[name] = counts.get(name, 0.0) + count
    total = torch.zeros((), dtype=torch.float64)
    for call in calls:
        hidden, labels = call.pop("hidden"), call.pop("labels")
        value = objective(hidden, Head(weight), labels, **call, embeddings=embeddings, counts=counts)
        value.total.backward()
        total += value.total.detach()
        call["hidden"] = hidden
    assert weight.grad is not None
    return total, torch.cat([call["hidden"].grad for call in calls]), weight.grad


@pytest.mark.parametrize("span", ["answer", "part", "without"])
@pytest.mark.parametrize("name", COUNTED)
def test_a_window_cut_anyhow_has_one_gradient(name: str, span: str):
    given = {"answer": "answer", "part": "part", "without": ["answer", "-part"]}[span]
    objective = Objective({name: {"weight": 0.7, "span": given}})
    examples = window(torch.Generator().manual_seed(0))
    (first, *others) = [gradients(objective, examples, size) for size, _ in CUTS]
    assert all(bool(gradient.any()) for gradient in first[1:])
    for other in others:
        for found, true in zip(other, first, strict=True):
            torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "name", [name for name, row in LOSSES.items() if any(p.name == "scope" for p in row.parameters)]
)
def test_scope_batch_alone_depends_on_the_cut(name: str):
    objective = Objective({name: {"weight": 1.0, "scope": "batch"}})
    examples = window(torch.Generator().manual_seed(0))
    whole, _, true = gradients(objective, examples, 8)
    pieces, _, found = gradients(objective, examples, 2)
    assert not torch.allclose(whole, pieces, rtol=1e-3) or not torch.allclose(found, true, rtol=1e-3)
