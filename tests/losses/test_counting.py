"""The laws of counting: windows, examples, spans, empty parts, ignored and permuted positions."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from lossmith.losses import Objective

from .batches import ALL_TERMS, TOKEN_LOSSES, Batch, make_batch, relative_error

ADDITIVE = {
    name: {**(term if isinstance(term, dict) else {"weight": term}), "scope": "sequence"}
    if name in ("generalized_dice", "lovasz_softmax", "tversky")
    else term
    for name, term in ALL_TERMS.items()
}


def whole(objective: Objective, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    value = objective(*batch.arguments(), **batch.keywords)
    hidden, weight = torch.autograd.grad(value.total, batch.leaves)
    return value.total.detach(), hidden, weight


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**16), st.integers(1, 6))
def test_a_window_cut_into_calls_gives_the_gradient_of_one_call(seed: int, pieces: int) -> None:
    batch = make_batch(24, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    # Ragged: six examples of unlike lengths, dealt out in pieces, some of them without positions.
    example = torch.randint(0, 6, (24,), generator=draw)
    batch.keywords["examples"] = example * 1000 - 7
    objective = Objective(ADDITIVE)
    total, hidden, weight = whole(objective, batch)
    parts = [batch.take((example % pieces == piece).nonzero()[:, 0]) for piece in range(pieces)]
    window = dict.fromkeys(ADDITIVE, 0.0)
    for part in parts:
        words = part.keywords
        for name, count in objective.counts(part.labels, words["spans"], words["examples"]).items():
            window[name] += count
    summed, gradient = torch.zeros(()), torch.zeros_like(weight)
    for piece, part in enumerate(parts):
        value = objective(*part.arguments(), **part.keywords, counts=window)
        by_hidden, by_weight = torch.autograd.grad(value.total, part.leaves)
        summed, gradient = summed + value.total.detach(), gradient + by_weight
        assert relative_error(by_hidden, hidden[example % pieces == piece]) < 1e-11 or not by_hidden.any()
    torch.testing.assert_close(summed, total, check_dtype=False)
    assert relative_error(gradient, weight) < 1e-11


def test_parts_of_a_window_add_up_and_sums_over_counts_are_exact() -> None:
    batch = make_batch(24)
    example = batch.keywords["examples"]
    objective = Objective(ADDITIVE)
    expected = objective(*batch.arguments(), **batch.keywords).parts
    window = objective.counts(batch.labels, batch.keywords["spans"], example)
    values = []
    for one in example.unique():
        part = batch.take((example == one).nonzero()[:, 0])
        values.append(objective(*part.arguments(), **part.keywords, counts=window))
    for name in ADDITIVE:
        assert sum(value.parts[name] for value in values) == pytest.approx(expected[name], rel=1e-9)
        sums, counts = (
            sum(float(each[name]) for each in all_) for all_ in zip(*((v.sums, v.counts) for v in values), strict=True)
        )
        assert sums / counts == pytest.approx(expected[name], rel=1e-9)


def test_counts_are_those_of_the_call() -> None:
    batch = make_batch(24)
    spans = dict(batch.keywords["spans"])
    batch.keywords["spans"] = spans
    objective = Objective({**ALL_TERMS, "batch_dice": {"loss": "generalized_dice", "scope": "batch", "weight": 1.0}})
    value = objective(*batch.arguments(), **batch.keywords)
    counts = objective.counts(batch.labels, spans, batch.keywords["examples"])
    assert {name: float(count) for name, count in value.counts.items()} == counts
    rationale, ingredients = spans["rationale"], spans["ingredients"] >= 0
    assert counts["cross_entropy"] == 24
    assert counts["focal"] == int((~rationale).sum())
    assert counts["lovasz_softmax"] == 3
    assert counts["sinkhorn"] == batch.keywords["examples"][ingredients].unique().numel()
    assert counts["batch_dice"] == 1
    assert objective.counts(batch.labels[:0], {n: s[:0] for n, s in spans.items()})["batch_dice"] == 0


def test_an_example_without_the_span_has_no_part_in_the_denominator() -> None:
    batch = make_batch(6)
    batch.keywords["examples"] = torch.tensor([5, 5, 9, 9, 1, 1])
    batch.keywords["spans"] = {"rationale": torch.tensor([True, True, False, False, True, False])}
    objective = Objective({"generalized_dice": {"span": "rationale"}})
    value = objective(*batch.arguments(), **batch.keywords)
    alone = [
        objective(*part.arguments(), **part.keywords).parts["generalized_dice"]
        for part in (batch.take(torch.tensor([0, 1])), batch.take(torch.tensor([4])))
    ]
    assert value.counts["generalized_dice"] == 2
    assert value.parts["generalized_dice"] == pytest.approx(sum(alone) / 2)


@pytest.mark.parametrize("name", [*TOKEN_LOSSES, "scope batch"])
def test_an_empty_span_is_a_zero_connected_to_the_graph(name: str) -> None:
    batch = make_batch(7)
    batch.keywords["spans"] = {"nothing": torch.full((7,), -1)}
    loss = "lovasz_softmax" if name == "scope batch" else name
    scope = {"scope": "batch"} if name == "scope batch" else {}
    objective = Objective({"term": {"loss": loss, "span": "nothing", **scope}})
    for call in (objective, objective.dense):
        value = call(*batch.arguments(), **batch.keywords)
        assert (value.parts, float(value.counts["term"])) == ({"term": 0.0}, 0.0)
        (gradient,) = torch.autograd.grad(value.total, batch.hidden)
        assert not gradient.any()
    value = objective(*batch.arguments(), **batch.keywords, counts={"term": 12.0})
    value.total.backward()
    assert batch.weight.grad is not None


def test_an_empty_term_leaves_the_others_alone() -> None:
    batch = make_batch(7)
    batch.keywords["spans"] = {"nothing": torch.zeros(7, dtype=torch.bool)}
    terms: dict[str, Any] = {"cross_entropy": 1.0, "sinkhorn": {"weight": 0.4, "span": "nothing"}}
    value = Objective(terms)(*batch.arguments(), **batch.keywords)
    expected = Objective({"cross_entropy": 1.0})(*batch.arguments())
    assert value.total == expected.total
    for found, true in zip(*(torch.autograd.grad(v.total, batch.leaves) for v in (value, expected)), strict=True):
        assert torch.equal(found, true)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16))
def test_the_order_of_positions_does_not_matter(seed: int) -> None:
    batch = make_batch(seed=seed)
    order = torch.randperm(batch.labels.numel(), generator=torch.Generator().manual_seed(seed))
    objective = Objective(ALL_TERMS)
    total, hidden, weight = whole(objective, batch)
    shuffled = whole(objective, batch.take(order))
    torch.testing.assert_close(shuffled[0], total)
    assert relative_error(shuffled[1], hidden[order]) < 1e-11
    assert relative_error(shuffled[2], weight) < 1e-11


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16))
def test_positions_outside_the_answer_never_change_anything(seed: int) -> None:
    batch = make_batch(seed=seed)
    answer = torch.rand(batch.labels.numel(), generator=torch.Generator().manual_seed(seed)) < 0.6
    spans = batch.keywords["spans"]
    spans["answer"] = answer
    spans["rationale"] = spans["rationale"] & answer
    spans["ingredients"] = spans["ingredients"].masked_fill(~answer, -1)
    objective = Objective(ALL_TERMS)
    assert torch.equal(objective.reads(batch.labels, spans), answer)
    total, hidden, weight = whole(objective, batch)
    part = batch.take(answer.nonzero()[:, 0])
    alone = whole(objective, part)
    assert torch.equal(total, alone[0])
    assert torch.equal(hidden[answer], alone[1])
    assert torch.equal(weight, alone[2])
    assert not hidden[~answer].any()
    # Nor does what stands there, an ignored label among it.
    batch.labels = batch.labels.masked_fill(~answer, -100)
    with torch.no_grad():
        batch.hidden[~answer] = torch.nan
    torch.testing.assert_close(whole(objective, batch)[0], total, rtol=0, atol=0)


def test_overlapping_spans_add_their_gradients() -> None:
    batch = make_batch(12)
    masks = {"a": torch.arange(12) < 8, "b": torch.arange(12) >= 4}
    terms = {
        "first": {"loss": "focal", "span": "a", "weight": 0.3},
        "second": {"loss": "focal", "span": "b", "weight": 0.7},
    }
    value = Objective(terms)(*batch.arguments(), spans=masks)
    (gradient,) = torch.autograd.grad(value.total, batch.hidden)
    expected = torch.zeros_like(gradient)
    for name, term in terms.items():
        alone = Objective({name: term})(*batch.arguments(), spans=masks)
        expected += torch.autograd.grad(alone.total, batch.hidden)[0]
    torch.testing.assert_close(gradient, expected)


def test_spans_are_unions_and_differences() -> None:
    labels = torch.zeros(6, dtype=torch.int64)
    spans = {"a": torch.tensor([0, 0, 1, -1, -1, -1]), "b": torch.tensor([0, 0, 0, 1, 1, 0], dtype=torch.bool)}
    cases: list[tuple[Any, list[int]]] = [
        ("answer", [0, 1, 2, 3, 4, 5]),
        ("a", [0, 1, 2]),
        (["a", "b"], [0, 1, 2, 3, 4]),
        (["answer", "-a"], [3, 4, 5]),
        (["-a", "answer"], [3, 4, 5]),
        ("-b", [0, 1, 2, 5]),
        (["a", "b", "-b"], [0, 1, 2]),
    ]
    for span, expected in cases:
        read = Objective({"focal": {"span": span}}).reads(labels, spans)
        assert read.nonzero()[:, 0].tolist() == expected, span


def test_shares_are_norms_of_weighted_gradients_over_their_sum() -> None:
    batch = make_batch(24, dtype=torch.float32)
    objective = Objective(ALL_TERMS)
    window = dict.fromkeys(ALL_TERMS, 50.0)
    shares = objective.shares(*batch.arguments(), **batch.keywords, counts=window)
    norms = {}
    for name, term in ALL_TERMS.items():
        value = Objective({name: term}).dense(*batch.arguments(), **batch.keywords, counts={name: 50.0})
        norms[name] = float(torch.autograd.grad(value.total, batch.hidden)[0].norm())
    assert shares == pytest.approx({name: norm / sum(norms.values()) for name, norm in norms.items()}, rel=1e-4)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert batch.hidden.grad is None
    assert batch.weight.grad is None


def test_shares_leave_out_terms_without_positions_and_work_under_no_grad() -> None:
    batch = make_batch(8)
    spans = {"nothing": torch.zeros(8, dtype=torch.bool)}
    objective = Objective({"cross_entropy": 1.0, "focal": {"weight": 1.0, "span": "nothing"}})
    with torch.no_grad():
        assert objective.shares(*batch.arguments(), spans=spans) == {"cross_entropy": 1.0}


def test_a_denominator_that_cannot_be_is_refused() -> None:
    batch = make_batch(8)
    objective = Objective({"cross_entropy": 1.0})
    with pytest.raises(ValueError, match="did you mean 'cross_entropi'"):
        objective(*batch.arguments(), counts={"cross_entropi": 8.0})
    with pytest.raises(ValueError, match="not above 0"):
        objective(*batch.arguments(), counts={"cross_entropy": 0.0})


def test_float_addition_over_tiles_does_not_depend_on_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossmith.losses import tiles

    batch = make_batch(200, dtype=torch.float32)
    objective = Objective(ALL_TERMS)
    totals = []
    for rows in (1, 7, 64, 1024):
        monkeypatch.setattr(tiles, "TILE_ROWS", rows)
        totals.append(whole(objective, batch))
    for total, hidden, weight in totals[1:]:
        torch.testing.assert_close(total, totals[0][0], rtol=1e-6, atol=0)
        assert relative_error(hidden, totals[0][1]) < 1e-6
        assert relative_error(weight, totals[0][2]) < 1e-6
