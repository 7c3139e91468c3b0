"""Every loss over the outputs of heads against its definition and against torch: value, gradient, range, extremes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.nn import functional

from lossmith.losses import Objective, Outputs

from .batches import relative_error
from .head_outputs import CASES, HEAD_LOSSES, leaf, make_outputs, oracle, slope_of_oracle, with_leaf, with_weights

SHAPES: dict[str, dict[str, int]] = {
    "plain": {},
    "one example": {"examples": 1},
    "one class": {"classes": 1},
    "one of each": {"examples": 1, "classes": 1},
}
each_case = pytest.mark.parametrize(("name", "parameters"), CASES)


def one(name: str, parameters: dict[str, Any], classes: int = 4) -> Objective:
    return Objective({name: with_weights(parameters, classes)})


def value_and_gradient(name: str, outputs: Outputs, parameters: dict[str, Any]) -> tuple[float, Tensor]:
    value = Objective({name: parameters}).on_outputs(outputs)
    (gradient,) = torch.autograd.grad(value.total, leaf(outputs))
    assert value.total.item() == pytest.approx(value.parts[name], rel=1e-6)
    return value.parts[name], gradient


def agree(name: str, outputs: Outputs, parameters: dict[str, Any]) -> None:
    value, gradient = value_and_gradient(name, outputs, parameters)
    assert value == pytest.approx(oracle(name, outputs, parameters), rel=1e-12, abs=1e-14)
    torch.testing.assert_close(gradient, slope_of_oracle(name, outputs, parameters), rtol=1e-7, atol=1e-9)


def test_the_cases_hold_every_loss_over_heads() -> None:
    assert {name for name, _ in CASES} == set(HEAD_LOSSES)
    assert Counter(row.reads for row in HEAD_LOSSES.values()) == {"class head": 6, "regression head": 3}


@pytest.mark.parametrize("shape", SHAPES)
@each_case
def test_value_and_gradient_are_those_of_the_definition(name: str, parameters: dict[str, Any], shape: str) -> None:
    sizes = {"examples": 7, "classes": 4, **SHAPES[shape]}
    agree(name, make_outputs(name, **sizes), with_weights(parameters, sizes["classes"]))


@each_case
def test_all_examples_of_one_class(name: str, parameters: dict[str, Any]) -> None:
    outputs = make_outputs(name)
    if outputs.labels is not None:
        row = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
        one_class = torch.ones_like(outputs.labels) if outputs.labels.ndim == 1 else row.expand(7, 4)
        outputs = replace(outputs, labels=one_class)
    else:
        outputs = replace(outputs, targets=torch.full((7, 4), 2.5, dtype=torch.float64))
    agree(name, outputs, with_weights(parameters, 4))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(CASES), st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**16), st.floats(0.01, 6.0))
def test_any_size_agrees_with_the_definition(
    case: tuple[str, dict[str, Any]], examples: int, classes: int, seed: int, spread: float
) -> None:
    name, parameters = case[0], with_weights(case[1], classes)
    outputs = make_outputs(name, examples, classes, seed=seed, spread=spread)
    assert value_and_gradient(name, outputs, parameters)[0] == pytest.approx(
        oracle(name, outputs, parameters), rel=1e-9, abs=1e-14
    )


@each_case
def test_the_gradient_is_that_of_the_value(name: str, parameters: dict[str, Any]) -> None:
    outputs = make_outputs(name)
    objective = one(name, parameters)
    assert torch.autograd.gradcheck(
        lambda made: objective.on_outputs(with_leaf(outputs, made)).total, leaf(outputs), eps=1e-6, atol=1e-8
    )


@each_case
def test_fp32_is_near_the_definition(name: str, parameters: dict[str, Any]) -> None:
    single = make_outputs(name, dtype=torch.float32)
    exact = with_leaf(single, leaf(single).detach().double().requires_grad_())
    parameters = with_weights(parameters, 4)
    value, gradient = value_and_gradient(name, single, parameters)
    true, slope = value_and_gradient(name, exact, parameters)
    assert value == pytest.approx(true, rel=2e-6, abs=1e-7)
    assert relative_error(gradient, slope) < 2e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@each_case
def test_half_precision_outputs_are_computed_on_in_fp32(
    name: str, parameters: dict[str, Any], dtype: torch.dtype
) -> None:
    narrow = make_outputs(name, dtype=dtype)
    wide = with_leaf(narrow, leaf(narrow).detach().float().requires_grad_())
    parameters = with_weights(parameters, 4)
    # Under autocast as well, which would take the logarithms and products back to 16 bits.
    with torch.autocast("cpu", dtype=dtype):
        value, gradient = value_and_gradient(name, narrow, parameters)
    true, slope = value_and_gradient(name, wide, parameters)
    assert value == pytest.approx(true, rel=1e-6)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient, slope.to(dtype))


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_outputs_are_finite_with_finite_gradients(
    name: str, parameters: dict[str, Any], dtype: torch.dtype, size: float
) -> None:
    outputs = make_outputs(name, dtype=dtype)
    signs = torch.tensor([1.0, -1.0, 0.0, 1.0], dtype=dtype).expand_as(leaf(outputs)[:, :1].expand(-1, 4))
    width = leaf(outputs).shape[1]
    extreme = (size * signs)[:, :width].contiguous().requires_grad_()
    value, gradient = value_and_gradient(name, with_leaf(outputs, extreme), with_weights(parameters, 4))
    assert math.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_values_stay_in_the_range_of_their_row(spread: float) -> None:
    seen = set()
    for name, parameters in CASES:
        outputs = make_outputs(name, examples=20, dtype=torch.float32, spread=spread)
        value = one(name, parameters).on_outputs(outputs).parts[name]
        row = HEAD_LOSSES[name]
        assert row.low - 1e-6 <= value <= row.high + 1e-6, (name, parameters)
        seen.add(name)
    assert len(seen) == 9


@each_case
def test_the_order_of_examples_does_not_matter(name: str, parameters: dict[str, Any]) -> None:
    outputs = make_outputs(name)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    shuffled: dict[str, Any] = {
        field: held[order]
        for field, held in outputs.given(("logits", "labels", "predictions", "targets", "present")).items()
    }
    objective = one(name, parameters)
    first, second = objective.on_outputs(outputs), objective.on_outputs(replace(outputs, **shuffled))
    torch.testing.assert_close(first.total, second.total)
    gradients = [torch.autograd.grad(value.total, leaf(outputs))[0] for value in (first, second)]
    torch.testing.assert_close(*gradients)


# Agreement with torch


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_cross_entropy_is_that_of_torch(weighted: bool, smoothing: float) -> None:
    outputs = make_outputs("class_cross_entropy", 50, 6)
    weights = [0.0, 0.5, 3.0, 1.0, 2.0, 7.0] if weighted else None
    found = Objective({"class_cross_entropy": {"class_weight": weights, "label_smoothing": smoothing}})
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    assert outputs.logits is not None
    assert outputs.labels is not None
    expected = functional.cross_entropy(outputs.logits, outputs.labels, weight=tensor, label_smoothing=smoothing)
    total = found.on_outputs(outputs).total
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, outputs.logits)[0] for each in (total, expected)))


@pytest.mark.parametrize("weights", [None, 4.0, [0.0, 0.5, 3.0, 10.0]])
def test_binary_cross_entropy_is_that_of_torch(weights: Any) -> None:
    outputs = make_outputs("binary_cross_entropy", 50, 4)
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    assert outputs.logits is not None
    assert outputs.labels is not None
    expected = functional.binary_cross_entropy_with_logits(outputs.logits, outputs.labels, pos_weight=tensor)
    total = Objective({"binary_cross_entropy": {"pos_weight": weights}}).on_outputs(outputs).total
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, outputs.logits)[0] for each in (total, expected)))


@pytest.mark.parametrize(("name", "parameters"), [("huber", {}), ("huber", {"delta": 0.3}), ("squared_error", {})])
def test_regression_over_present_slots_is_that_of_torch(name: str, parameters: dict[str, Any]) -> None:
    outputs = make_outputs(name, 50, 3)
    assert outputs.predictions is not None
    assert outputs.targets is not None
    assert outputs.present is not None
    theirs = functional.huber_loss if name == "huber" else functional.mse_loss
    expected = theirs(outputs.predictions[outputs.present], outputs.targets[outputs.present], **parameters)
    total = Objective({name: parameters}).on_outputs(outputs).total
    torch.testing.assert_close(total, expected)


def test_one_slot_may_come_without_its_axis() -> None:
    column = make_outputs("huber", 9, 1)
    flat = Outputs(**{name: held[:, 0] for name, held in column.given(("predictions", "targets", "present")).items()})
    objective = Objective({"huber": 1.0, "squared_error": 0.5})
    assert objective.on_outputs(flat).parts == objective.on_outputs(column).parts


# Siblings


def test_class_focal_zero_is_cross_entropy_without_weights() -> None:
    outputs = make_outputs("class_focal", 20)
    parts = Objective({"class_focal": {"gamma": 0}, "class_cross_entropy": 1.0}).on_outputs(outputs).parts
    assert parts["class_focal"] == pytest.approx(parts["class_cross_entropy"], rel=1e-12)


def test_binary_focal_zero_is_binary_cross_entropy_and_alpha_a_half_is_half_of_it() -> None:
    outputs = make_outputs("binary_focal", 20)
    terms = {
        "plain": {"loss": "binary_focal", "gamma": 0},
        "half": {"loss": "binary_focal", "gamma": 0, "alpha": 0.5},
        "binary_cross_entropy": 1.0,
    }
    parts = Objective(terms).on_outputs(outputs).parts
    assert parts["plain"] == pytest.approx(parts["binary_cross_entropy"], rel=1e-12)
    assert parts["half"] == pytest.approx(parts["binary_cross_entropy"] / 2, rel=1e-12)


def test_two_classes_are_one_label() -> None:
    two = make_outputs("class_focal", 20, 2)
    assert two.logits is not None
    assert two.labels is not None
    single = Outputs(logits=(two.logits[:, 1:] - two.logits[:, :1]), labels=two.labels[:, None])
    for of_classes, of_labels in (("class_cross_entropy", "binary_cross_entropy"), ("class_focal", "binary_focal")):
        expected = Objective({of_classes: 1.0}).on_outputs(two).parts[of_classes]
        assert Objective({of_labels: 1.0}).on_outputs(single).parts[of_labels] == pytest.approx(expected, rel=1e-12)


def test_a_wide_huber_is_half_the_squared_error() -> None:
    outputs = make_outputs("huber", 20)
    parts = Objective({"huber": {"delta": 1e6}, "squared_error": 1.0}).on_outputs(outputs).parts
    assert parts["huber"] == pytest.approx(parts["squared_error"] / 2, rel=1e-12)


def test_the_lambda_of_the_literature_is_a_weight_of_lambda_times_ordered_pairs() -> None:
    outputs = make_outputs("query_diversity", classes=8)
    assert outputs.queries is not None
    cosine = functional.cosine_similarity(outputs.queries[:, None], outputs.queries[None], dim=2)
    undivided = (cosine - 0.4).relu().fill_diagonal_(0.0).sum()
    total = Objective({"query_diversity": 0.1 * 8 * 7}).on_outputs(outputs).total
    torch.testing.assert_close(total, 0.1 * undivided)


def test_a_query_of_length_zero_is_like_no_other_and_has_a_finite_gradient() -> None:
    queries = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    outputs = Outputs(queries=queries, labels=torch.zeros(1, dtype=torch.int64))
    value = Objective({"query_diversity": {"threshold": -0.5}}).on_outputs(outputs)
    assert value.parts["query_diversity"] == pytest.approx((2 * 1.5 + 4 * 0.5) / 6)
    (gradient,) = torch.autograd.grad(value.total, queries)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() < 10


def test_multilabel_dice_without_smoothing_is_one_where_nothing_is_true_and_nothing_predicted() -> None:
    logits = torch.full((1, 3), -1e4, requires_grad=True)
    value = Objective({"multilabel_dice": {"smooth": 0}}).on_outputs(Outputs(logits=logits, labels=torch.zeros(1, 3)))
    assert value.parts["multilabel_dice"] == 1.0
    assert torch.isfinite(torch.autograd.grad(value.total, logits)[0]).all()


def test_class_focal_below_one_has_a_finite_gradient_at_certainty() -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 0.0]], requires_grad=True)
    value = Objective({"class_focal": {"gamma": 0.5}}).on_outputs(Outputs(logits=logits, labels=torch.tensor([0, 1])))
    assert torch.isfinite(torch.autograd.grad(value.total, logits)[0]).all()
