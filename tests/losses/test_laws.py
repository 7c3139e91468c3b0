"""Each law refuses a loss that breaks it: planted faults, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.losses import laws, trials
from lossmith.losses.laws import check_loss, term_to_check
from lossmith.losses.terms import Term


def _loss(kind: str, *needs: str, **more: Any) -> Any:
    def mark(function: Any) -> Any:
        function.kind, function.needs = kind, needs
        vars(function).update(more)
        return function

    return mark


def _by_example(stats: Any, values: Tensor) -> Tensor:
    return values.new_zeros(stats.examples).index_add(0, stats.example, values)


@_loss("separable", "label_log_prob", low=0.0, high=2.0)
def sound(stats: Any) -> Tensor:
    return 1 - stats.label_log_prob.exp() ** 2


@_loss("set", "expected_embedding", low=0.0)
def sound_set(stats: Any) -> Tensor:
    return _by_example(stats, (stats.expected_embedding - stats.label_embedding).square().sum(1))


@_loss("separable", "logits", "labels", low=0.0)
def sound_head(stats: Any) -> Tensor:
    return torch.nn.functional.multi_margin_loss(stats.logits, stats.labels, reduction="none", p=2)


@_loss("separable", "label_log_prob")
def summed(stats: Any) -> Tensor:
    return -stats.label_log_prob.sum()


@_loss("separable", "label_log_prob")
def whole_numbers(stats: Any) -> Tensor:
    return (stats.label_log_prob > -1).long()


@_loss("separable", "label_log_prob")
def fails(stats: Any) -> Tensor:
    return stats.label_log_prob + "1"


@_loss("separable", "label_log_prob")
def dead(stats: Any) -> Tensor:
    return -stats.label_log_prob.detach()


@_loss("separable", "label_log_prob")
def half_dead(stats: Any) -> Tensor:
    return -stats.label_log_prob * (1 - stats.label_log_prob.exp().detach())


@_loss("separable", "label_log_prob")
def constant(stats: Any) -> Tensor:
    return stats.label_log_prob * 1e-12


@_loss("separable", "label_log_prob")
def cumulated(stats: Any) -> Tensor:
    return -stats.label_log_prob.cumsum(0)


@_loss("separable", "label_log_prob")
def centred(stats: Any) -> Tensor:
    return (stats.label_log_prob - stats.label_log_prob.mean()).square()


@_loss("set", "label_log_prob")
def divided_by_examples(stats: Any) -> Tensor:
    return _by_example(stats, -stats.label_log_prob) / stats.examples


@_loss("set", "label_log_prob")
def first_position(stats: Any) -> Tensor:
    return torch.stack([-stats.label_log_prob[stats.example == number][0] for number in range(stats.examples)])


@_loss("separable", "label_log_prob", low=0.0, high=1.0)
def out_of_range(stats: Any) -> Tensor:
    return 1 + stats.label_log_prob


@_loss("separable", "label_log_prob")
def infinite(stats: Any) -> Tensor:
    return -torch.log1p(-stats.label_log_prob.exp())


@_loss("separable", "label_log_prob")
def naive_focal(stats: Any) -> Tensor:
    return -((1 - stats.label_log_prob.exp()) ** 0.5) * stats.label_log_prob


@_loss("set", "logits", "labels")
def of_the_batch(stats: Any) -> Tensor:
    return stats.logits.logsumexp(1).std()


def broken(loss: str) -> set[str]:
    return {verdict.law for verdict in check_loss(term_to_check(f"{__name__}:{loss}", {})) if verdict.passed is False}


@pytest.mark.parametrize(
    ("loss", "laws_broken"),
    [
        ("sound", set()),
        ("sound_set", set()),
        ("sound_head", set()),
        ("summed", {"shape"}),
        ("whole_numbers", {"shape"}),
        ("fails", {"shape"}),
        ("dead", {"gradient", "alive"}),
        ("half_dead", {"gradient"}),
        ("constant", {"alive"}),
        ("cumulated", {"permutation", "engine", "counting", "independence"}),
        ("centred", {"permutation", "engine", "counting", "independence"}),
        ("divided_by_examples", {"counting", "independence"}),
        ("first_position", {"permutation"}),
        ("out_of_range", {"range"}),
        ("infinite", {"dtype"}),
        ("naive_focal", {"dtype"}),
        ("of_the_batch", {"counting"}),
    ],
)
def test_a_fault_breaks_its_laws_and_no_other(loss: str, laws_broken: set[str]) -> None:
    assert broken(loss) == laws_broken


def test_a_read_that_should_not_be_breaks_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(self: trials.Positions) -> tuple[trials.Positions, Tensor]:
        padded, places = original(self)
        return replace(padded, item=padded.item.clamp_min(0), labels=padded.labels.clamp_min(0)), places

    original = trials.Positions.with_unread
    monkeypatch.setattr(trials.Positions, "with_unread", leaky)
    assert broken("sound") == {"padding"}


def test_an_empty_call_that_counts_breaks_the_law_of_the_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials.Positions, "take", lambda self, index: self)
    term = term_to_check("focal", {})
    passed, reason = laws.LAWS["empty"](term)
    assert not passed
    assert "count 24" in reason


def test_reasons_name_numbers_and_places() -> None:
    told = {
        loss: {verdict.law: verdict.reason for verdict in check_loss(term_to_check(f"{__name__}:{loss}", {}))}
        for loss in ("fails", "summed", "dead", "infinite", "out_of_range")
    }
    assert "TypeError" in told["fails"]["shape"]
    assert "test_laws.py line" in told["fails"]["shape"]
    assert "() of torch.float64 expected: (24,)" in told["summed"]["shape"]
    assert told["dead"]["alive"] == "a gradient up to 0 of a cross-entropy's: it would train nothing"
    assert "the gradient says 0" in told["dead"]["gradient"]
    assert told["infinite"]["dtype"].startswith("the value is not finite in torch.float32")
    assert "declared 0 to 1" in told["out_of_range"]["range"]


def test_parameters_are_given_and_checked() -> None:
    assert term_to_check("focal", {"gamma": 1}).params == {"gamma": 1}
    with pytest.raises(ValueError, match="did you mean 'gamma'"):
        term_to_check("focal", {"gama": 1})
    with pytest.raises(ValueError, match="did you mean 'focal'"):
        term_to_check("focl", {})


def test_a_term_of_a_task_can_be_tried_alone() -> None:
    (term,) = (replace(term_to_check("focal", {}), task="maths", span=("rationale",)),)
    trials.try_once(term)
    failing: Term = replace(term, loss="mine:f", function=lambda stats, **_: stats.label_log_prob.sum())
    with pytest.raises(ValueError, match="one value for each position"):
        trials.try_once(failing)
