"""Errors that implementations of these losses are known for, each by its name."""

from __future__ import annotations

import time

import pytest
import torch

from lossmith.losses import Objective, Statistics
from lossmith.losses.classes import pair_with_present_classes
from lossmith.losses.focal import focal
from lossmith.losses.lovasz_softmax import lovasz_softmax
from lossmith.losses.self_adjusting_dice import self_adjusting_dice

from .batches import make_batch, relative_error


def test_generalized_dice_is_not_drowned_by_absent_words() -> None:
    batch = make_batch(64, 500, 16)
    norms = {}
    for name in ("cross_entropy", "generalized_dice"):
        value = Objective({name: 1.0})(*batch.arguments(), examples=batch.keywords["examples"])
        norms[name] = torch.autograd.grad(value.total, batch.hidden)[0].norm()
    # Over the whole vocabulary with w = 1/(n+eps)^2 the ratio is near 1e-23.
    assert norms["generalized_dice"] / norms["cross_entropy"] > 1e-3


@pytest.mark.parametrize("loss", ["focal", "lovasz_softmax", "cross_entropy"])
def test_ignored_positions_do_not_become_uniform_ones_of_class_zero(loss: str) -> None:
    batch = make_batch(16)
    batch.labels = batch.labels.clamp_min(1)
    answer = torch.arange(16) < 10
    padded_labels = torch.where(answer, batch.labels, 0)
    objective = Objective({loss: 1.0})
    value = objective(batch.hidden, batch.head, padded_labels, spans={"answer": answer})
    alone = objective(batch.hidden[:10], batch.head, batch.labels[:10])
    assert value.parts == alone.parts


def test_focal_below_one_has_a_finite_gradient_at_certainty() -> None:
    log_prob = torch.tensor([0.0, -1e-30, -0.5], requires_grad=True)
    focal(Statistics(label_log_prob=log_prob), gamma=0.5).sum().backward()
    assert log_prob.grad is not None
    assert torch.isfinite(log_prob.grad).all()


def test_focal_zero_is_cross_entropy_exactly() -> None:
    batch = make_batch(dtype=torch.float32)
    cross = Objective({"cross_entropy": 1.0})(*batch.arguments())
    none = Objective({"focal": {"gamma": 0}})(*batch.arguments())
    assert cross.total == none.total
    for one, other in zip(*(torch.autograd.grad(v.total, batch.leaves) for v in (cross, none)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("detach", [True, False])
def test_self_adjusting_dice_is_a_half_at_both_ends(detach: bool) -> None:
    log_p = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64).log()
    values = self_adjusting_dice(Statistics(label_log_prob=log_p), detach=detach)
    torch.testing.assert_close(values, torch.tensor([1 / 2, 1 / 3, 1 / 2], dtype=torch.float64))


def test_undetached_self_adjusting_dice_pushes_confident_tokens_back() -> None:
    p = torch.tensor([0.1, 0.3, 0.7, 0.9], dtype=torch.float64)
    for detach, signs in ((True, [-1, -1, -1, -1]), (False, [-1, -1, 1, 1])):
        log_p = p.log().requires_grad_()
        self_adjusting_dice(Statistics(label_log_prob=log_p), detach=detach).sum().backward()
        assert log_p.grad is not None
        assert log_p.grad.sign().tolist() == signs


def test_self_adjusting_dice_selects_no_checkpoint() -> None:
    terms = {t.name: t for t in Objective({"self_adjusting_dice": 1.0, "focal": 1.0}).terms}
    assert not terms["self_adjusting_dice"].selects_checkpoints
    assert terms["focal"].selects_checkpoints


def test_a_span_mask_of_integers_is_not_an_index() -> None:
    batch = make_batch(8)
    mask = torch.tensor([0, 0, 0, 1, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="neither a mask nor item numbers"):
        Objective({"focal": {"span": "s"}})(*batch.arguments(), spans={"s": mask.to(torch.uint8)})
    boolean = Objective({"focal": {"span": "s"}})(*batch.arguments(), spans={"s": mask.bool()})
    numbers = Objective({"focal": {"span": "s"}})(*batch.arguments(), spans={"s": torch.where(mask > 0, 0, -1)})
    alone = Objective({"focal": 1.0})(batch.hidden[3:5], batch.head, batch.labels[3:5])
    assert boolean.parts["focal"] == numbers.parts["focal"] == alone.parts["focal"]


def test_the_last_position_is_a_position_like_any_other() -> None:
    batch = make_batch(8)
    value = Objective({"cross_entropy": 1.0, "generalized_dice": 1.0})(*batch.arguments())
    (gradient,) = torch.autograd.grad(value.total, batch.hidden)
    assert gradient[-1].any()


def test_lovasz_does_not_walk_over_the_vocabulary() -> None:
    positions, vocab = 400, 150_000
    labels = torch.randint(0, vocab, (positions,), generator=torch.Generator().manual_seed(0))
    pairs = pair_with_present_classes(labels, torch.zeros_like(labels), 1)
    log_p = torch.log_softmax(torch.randn(positions, pairs.word.numel()), 1).flatten()
    start = time.perf_counter()
    value = lovasz_softmax(Statistics(classes=pairs, class_log_probs=log_p))
    assert time.perf_counter() - start < 2.0
    assert 0 <= float(value) <= 1


def test_lovasz_at_ties_has_one_value_whatever_the_order() -> None:
    labels = torch.tensor([1, 1, 2, 3])
    uniform = torch.full((4, 4), 0.25, dtype=torch.float64).log()
    values = []
    for order in (torch.arange(4), torch.tensor([3, 1, 0, 2])):
        own = labels[order]
        pairs = pair_with_present_classes(own, torch.zeros_like(own), 1)
        log_p = uniform[pairs.position, pairs.word[pairs.column]]
        values.append(lovasz_softmax(Statistics(classes=pairs, class_log_probs=log_p)))
    torch.testing.assert_close(values[0], values[1])


def test_all_positions_of_one_class() -> None:
    batch = make_batch(12)
    batch.labels = torch.full((12,), 5)
    terms = {"generalized_dice": 1.0, "lovasz_softmax": 1.0, "tversky": 1.0}
    tiled, dense = (call(*batch.arguments()) for call in (Objective(terms), Objective(terms).dense))
    assert tiled.parts == pytest.approx(dense.parts, rel=1e-12)
    found, expected = (torch.autograd.grad(v.total, batch.hidden)[0] for v in (tiled, dense))
    assert relative_error(found, expected) < 1e-12


def test_confident_labels_keep_their_gradient_in_fp32() -> None:
    batch = make_batch(32, 64, 16, dtype=torch.float32, trainable=False)
    batch.hidden = (batch.weight[batch.labels] * 1.2).detach().requires_grad_()
    value = Objective({"cross_entropy": 1.0})(*batch.arguments())
    assert value.parts["cross_entropy"] < 0.05
    (found,) = torch.autograd.grad(value.total, batch.hidden)
    exact = batch.hidden.detach().double().requires_grad_()
    truth = torch.nn.functional.cross_entropy(exact @ batch.weight.double().t(), batch.labels)
    single = batch.hidden.detach().requires_grad_()
    dense = torch.nn.functional.cross_entropy(single @ batch.weight.t(), batch.labels)
    (true,), (theirs,) = torch.autograd.grad(truth, exact), torch.autograd.grad(dense, single)
    assert relative_error(found, true) < max(1.2 * relative_error(theirs, true), 1e-5)
