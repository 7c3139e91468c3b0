"""Every loss against its definition: value and gradient, in float64 and in fp32, tiled and dense."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.losses import Objective
from tests.oracles import heads, set_losses, token_losses

from .batches import Batch, make_batch, relative_error

TOKEN_CASES: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("cross_entropy", {"label_smoothing": 1.0}),
    ("focal", {}),
    ("focal", {"gamma": 0.0}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 1.0}),
    ("focal", {"gamma": 5.0}),
    ("self_adjusting_dice", {}),
    ("self_adjusting_dice", {"detach": False}),
    ("self_adjusting_dice", {"alpha": 0.5, "smooth": 0.1, "detach": False}),
    ("unlikelihood", {}),
    ("entropy_penalty", {}),
]
SET_CASES: list[tuple[str, dict[str, Any]]] = [
    (name, parameters | scope)
    for name, parameters in (
        ("generalized_dice", {}),
        ("generalized_dice", {"smooth": 1.0}),
        ("tversky", {}),
        ("tversky", {"alpha": 0.3, "beta": 0.7, "smooth": 0.0}),
        ("lovasz_softmax", {}),
    )
    for scope in ({}, {"scope": "batch"})
]
SHAPES = {
    "plain": {},
    "bias scale cap": {"bias": True, "scale": 0.7, "softcap": 3.0},
    "one position": {"positions": 1},
    "one class": {"vocab": 1},
}


def oracle_mean(name: str, batch: Batch, parameters: dict[str, Any]) -> Tensor:
    logits = heads.final_logits(batch.hidden, batch.weight, bias=batch.bias, scale=batch.scale, softcap=batch.softcap)
    log_p, labels = heads.log_probs(logits), batch.labels.tolist()
    if hasattr(token_losses, name):
        loss = getattr(token_losses, name)
        return torch.stack([loss(row, label, **parameters) for row, label in zip(log_p, labels, strict=True)]).mean()
    parameters = dict(parameters)
    together = parameters.pop("scope", "sequence") == "batch"
    ids = [0] * len(labels) if together else batch.keywords["examples"].tolist()
    values = []
    for example in set(ids):
        own = [n for n, each in enumerate(ids) if each == example]
        values.append(getattr(set_losses, name)([log_p[n] for n in own], [labels[n] for n in own], **parameters))
    return torch.stack(values).mean()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "parameters"), TOKEN_CASES + SET_CASES)
@pytest.mark.usefixtures("small_tiles")
def test_value_and_gradient_are_those_of_the_definition(name: str, parameters: dict[str, Any], shape: str) -> None:
    batch = make_batch(**{"positions": 13, "vocab": 9, "width": 3, **SHAPES[shape]})
    mean = oracle_mean(name, batch, parameters)
    true_gradients = torch.autograd.grad(mean, batch.leaves, allow_unused=True, materialize_grads=True)
    true = float(mean.detach())
    if shape == "one class":
        # p is 1 whatever the logits; the naive formulas differentiate (1-p)^g to nan there.
        true_gradients = tuple(torch.zeros_like(leaf) for leaf in batch.leaves)
    objective = Objective({name: {"weight": 1.0, "span": "answer", **parameters}})
    for call in (objective, objective.dense):
        value = call(*batch.arguments(), **batch.keywords)
        assert value.parts[name] == pytest.approx(true, rel=1e-10, abs=1e-12)
        gradients = torch.autograd.grad(value.total, batch.leaves, allow_unused=True, materialize_grads=True)
        for found, expected in zip(gradients, true_gradients, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("name", "parameters"), TOKEN_CASES + SET_CASES)
def test_fp32_is_near_the_definition(name: str, parameters: dict[str, Any]) -> None:
    exact = make_batch(positions=13, vocab=9, width=3)
    single = make_batch(positions=13, vocab=9, width=3, dtype=torch.float32)
    # The same numbers: rounding of the inputs is not the loss's error.
    exact.hidden = single.hidden.detach().double().requires_grad_()
    exact.weight = single.weight.detach().double().requires_grad_()
    true = oracle_mean(name, exact, parameters)
    expected = torch.autograd.grad(true, exact.leaves)
    value = Objective({name: {"span": "answer", **parameters}})(*single.arguments(), **single.keywords)
    assert value.parts[name] == pytest.approx(float(true.detach()), rel=2e-6, abs=1e-7)
    for found, truth in zip(torch.autograd.grad(value.total, single.leaves), expected, strict=True):
        assert relative_error(found, truth) < 2e-6


def test_entropy_penalty_is_minus_log_vocabulary_at_uniform() -> None:
    batch = make_batch()
    batch.hidden = torch.zeros_like(batch.hidden).requires_grad_()
    value = Objective({"entropy_penalty": 1.0})(*batch.arguments())
    assert value.parts["entropy_penalty"] == pytest.approx(-torch.tensor(31.0).log().item(), rel=1e-6)


def test_cross_entropy_is_that_of_torch() -> None:
    batch = make_batch()
    for smoothing in (0.0, 0.3):
        expected = torch.nn.functional.cross_entropy(
            batch.hidden @ batch.weight.t(), batch.labels, label_smoothing=smoothing
        )
        value = Objective({"cross_entropy": {"label_smoothing": smoothing}})(*batch.arguments())
        torch.testing.assert_close(value.total, expected)
