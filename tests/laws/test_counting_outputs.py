"""Laws 1 and 3 swept over the losses that read heads: any cut of a window, dropped examples, empty micro-batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from lossmith.losses import Objective, Outputs
from tests.losses.head_outputs import CASES, HEAD_LOSSES, MADE, leaf, make_outputs, take, with_leaf, with_weights

ADDITIVE = [case for case in CASES if case[1].get("over") != "examples"]
EXEMPT = [case for case in CASES if case not in ADDITIVE]
CUTS = (8, 4, 2, 1)


def test_the_sweep_sees_every_loss_over_heads() -> None:
    assert {name for name, _ in ADDITIVE} == set(HEAD_LOSSES)
    assert len(HEAD_LOSSES) == 9
    assert {name for name, _ in EXEMPT} == {"multilabel_dice"}


def window(name: str, examples: int = 8, classes: int = 3, seed: int = 0) -> Outputs:
    """Examples with labels of unlike number, every third one dropped."""
    outputs = make_outputs(name, examples, classes, seed=seed)
    return replace(outputs, keep=torch.arange(examples) % 3 != 2)


def without_what_the_model_makes(outputs: Outputs) -> Outputs:
    """What is known of a micro-batch before its forward pass."""
    return replace(outputs, **dict.fromkeys(MADE))


def cut(objective: Objective, outputs: Outputs, pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Total and gradient of a window given in pieces, counted before the first of them is computed."""
    made = leaf(outputs).detach().requires_grad_()
    calls = [take(with_leaf(outputs, made), piece) for piece in pieces]
    counts = dict.fromkeys((term.name for term in objective.terms), 0.0)
    for call in calls:
        for name, count in objective.counts_on_outputs(without_what_the_model_makes(call)).items():
            counts[name] += count
    total = torch.zeros((), dtype=torch.float64)
    for call in calls:
        value = objective.on_outputs(call, counts=counts)
        value.total.backward()
        total += value.total.detach()
    assert made.grad is not None
    return total, made.grad


@pytest.mark.parametrize(("name", "parameters"), ADDITIVE)
def test_a_window_cut_anyhow_has_one_gradient(name: str, parameters: dict[str, Any]) -> None:
    objective = Objective({name: {"weight": 0.7, **with_weights(parameters, 3)}})
    outputs = window(name)
    first, *others = [cut(objective, outputs, list(torch.arange(8).split(size))) for size in CUTS]
    assert first[1].any()
    value = objective.on_outputs(outputs)
    torch.testing.assert_close(first[0], value.total.detach(), rtol=1e-12, atol=0)
    for other in others:
        for found, true in zip(other, first, strict=True):
            torch.testing.assert_close(found, true, rtol=1e-11, atol=1e-15)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(ADDITIVE), st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**16))
def test_a_window_dealt_into_uneven_calls_has_one_gradient(
    case: tuple[str, dict[str, Any]], examples: int, calls: int, seed: int
) -> None:
    name, parameters = case[0], with_weights(case[1], 3)
    objective = Objective({name: parameters})
    outputs = window(name, examples, seed=seed)
    dealt = torch.randint(0, calls, (examples,), generator=torch.Generator().manual_seed(seed))
    # Some calls without any example.
    pieces = [(dealt == call).nonzero()[:, 0] for call in range(calls)]
    found, whole = cut(objective, outputs, pieces), cut(objective, outputs, [torch.arange(examples)])
    for one, other in zip(found, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_a_mean_of_weighted_means_would_be_another_gradient() -> None:
    outputs = window("class_cross_entropy")
    objective = Objective({"class_cross_entropy": {"class_weight": [0.1, 1.0, 10.0]}})
    _, true = cut(objective, outputs, list(torch.arange(8).split(2)))
    made = leaf(outputs).detach().requires_grad_()
    for piece in torch.arange(8).split(2):
        (objective.on_outputs(take(with_leaf(outputs, made), piece)).total / 4).backward()
    assert made.grad is not None
    assert not torch.allclose(made.grad, true, rtol=0.05)


def test_examples_of_weight_zero_alone_in_a_call_still_count_their_smoothing() -> None:
    outputs = replace(window("class_cross_entropy"), labels=torch.tensor([0, 0, 1, 0, 2, 1, 0, 1]))
    objective = Objective({"class_cross_entropy": {"class_weight": [0.0, 1.0, 2.0], "label_smoothing": 0.2}})
    whole, pieces = (cut(objective, outputs, list(torch.arange(8).split(size))) for size in (8, 2))
    for found, true in zip(pieces, whole, strict=True):
        torch.testing.assert_close(found, true)


@pytest.mark.parametrize(("name", "parameters"), EXEMPT)
def test_scope_batch_depends_on_the_cut_and_says_so(name: str, parameters: dict[str, Any]) -> None:
    objective = Objective({name: parameters})
    (term,) = objective.terms
    assert (term.kind, term.unit, term.scope) == ("set", "set", "batch")
    outputs = window(name)
    assert objective.counts_on_outputs(outputs) == {name: 1.0}
    whole, pieces = (cut(objective, outputs, list(torch.arange(8).split(size))) for size in (8, 2))
    assert not torch.allclose(whole[1], pieces[1], rtol=1e-3)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_a_dropped_example_is_dropped_never_multiplied_by_zero(name: str, parameters: dict[str, Any]) -> None:
    objective = Objective({name: with_weights(parameters, 3)})
    outputs = window(name)
    assert outputs.keep is not None
    kept = outputs.keep.nonzero()[:, 0]
    alone = replace(take(outputs, kept), keep=None)
    # Whatever stands in what is dropped.
    spoilt: dict[str, Any] = {}
    for field, held in outputs.given(("logits", "labels", "predictions", "targets")).items():
        spoilt[field] = held.detach().clone()
        spoilt[field][~outputs.keep] = torch.nan if held.is_floating_point() else -100
        spoilt[field].requires_grad_(held.requires_grad)
    dirty = replace(outputs, **spoilt)
    first, second = objective.on_outputs(dirty), objective.on_outputs(alone)
    assert torch.equal(first.total, second.total)
    assert {n: float(c) for n, c in first.counts.items()} == {n: float(c) for n, c in second.counts.items()}
    gradients = [torch.autograd.grad(v.total, leaf(o))[0] for v, o in ((first, dirty), (second, outputs))]
    assert torch.equal(*gradients)


def test_a_uniform_example_multiplied_by_zero_would_add_a_constant() -> None:
    outputs = make_outputs("binary_focal", 4, 2)
    assert outputs.logits is not None
    keep = torch.tensor([True, True, True, False])
    objective = Objective({"binary_focal": 1.0})
    dropped = objective.on_outputs(replace(outputs, keep=keep))
    multiplied = objective.on_outputs(replace(outputs, logits=outputs.logits * keep[:, None]))
    assert float(dropped.counts["binary_focal"]) == 3
    assert multiplied.parts["binary_focal"] * 4 - dropped.parts["binary_focal"] * 3 == pytest.approx(0.25 * 0.693147)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_an_empty_micro_batch_is_a_zero_connected_to_the_graph(name: str, parameters: dict[str, Any]) -> None:
    objective = Objective({name: with_weights(parameters, 3)})
    dropped = replace(window(name), keep=torch.zeros(8, dtype=torch.bool))
    absent = [replace(window(name), keep=None, present=torch.zeros(8, 3, dtype=torch.bool))]
    for outputs in (
        dropped,
        take(window(name), torch.arange(0)),
        *(absent if "present" in HEAD_LOSSES[name].needs else []),
    ):
        for counts in (None, {name: 12.0}):
            value = objective.on_outputs(outputs, counts=counts)
            assert value.parts == {name: 0.0}
            assert objective.counts_on_outputs(outputs) == {name: 0.0}
            (gradient,) = torch.autograd.grad(value.total, leaf(outputs))
            assert not gradient.any()


def test_a_window_whose_classes_all_weigh_nothing_gives_zero() -> None:
    outputs = replace(make_outputs("class_cross_entropy", 4, 2), labels=torch.zeros(4, dtype=torch.int64))
    value = Objective({"class_cross_entropy": {"class_weight": [0.0, 1.0]}}).on_outputs(outputs)
    assert value.parts == {"class_cross_entropy": 0.0}
    assert not torch.autograd.grad(value.total, leaf(outputs))[0].any()


def test_what_is_counted() -> None:
    classes = Outputs(labels=torch.tensor([0, 2, 2, 1]), keep=torch.tensor([True, True, True, False]))
    terms = {
        "class_cross_entropy": {"class_weight": [0.5, 1.0, 3.0]},
        "plain": {"loss": "class_cross_entropy"},
        "class_focal": {"class_weight": [0.5, 1.0, 3.0]},
        "query_diversity": 1.0,
    }
    expected = {"class_cross_entropy": 6.5, "plain": 3.0, "class_focal": 3.0, "query_diversity": 3.0}
    assert Objective(terms).counts_on_outputs(classes) == expected
    slots = Outputs(targets=torch.zeros(2, 3), present=torch.tensor([[True, False, True], [False, False, True]]))
    assert Objective({"huber": 1.0, "squared_error": 1.0}).counts_on_outputs(slots) == {"huber": 3, "squared_error": 3}
    assert Objective({"huber": 1.0}).counts_on_outputs(replace(slots, present=None)) == {"huber": 6}


def test_query_diversity_is_the_same_term_however_the_window_is_cut() -> None:
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.9, 0.0]], dtype=torch.float64, requires_grad=True)
    objective = Objective({"query_diversity": 1.0})
    sizes = (5, 1, 2)
    parts = [
        objective.on_outputs(
            Outputs(queries=queries, labels=torch.zeros(size, dtype=torch.int64)), counts={"query_diversity": 8}
        )
        for size in sizes
    ]
    alone = objective.on_outputs(Outputs(queries=queries, labels=torch.zeros(1, dtype=torch.int64)))
    assert sum(part.parts["query_diversity"] for part in parts) == pytest.approx(alone.parts["query_diversity"])
    torch.testing.assert_close(sum(part.total for part in parts), alone.total)


@pytest.mark.parametrize(("name", "parameters"), ADDITIVE)
def test_sums_over_counts_of_any_batches_are_the_value_of_all(name: str, parameters: dict[str, Any]) -> None:
    objective = Objective({name: with_weights(parameters, 3)})
    outputs = window(name)
    with torch.no_grad():
        calls = [objective.on_outputs(take(outputs, piece)) for piece in torch.arange(8).split(3)]
        expected = objective.on_outputs(outputs).parts[name]
    sums, counts = (
        sum(float(each[name]) for each in kind) for kind in zip(*((c.sums, c.counts) for c in calls), strict=True)
    )
    assert sums / counts == pytest.approx(expected, rel=1e-12)
