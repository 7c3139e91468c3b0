"""Examples that weigh by their group: against sums written out in float64, under the laws of counting, and refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.config.objective import check_objective
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.losses import Objective, Outputs
from lossmith.losses.groups import GroupWeights
from lossmith.losses.reduce import value_of
from lossmith.names import TaskRow, TaskWay
from tests.losses.head_outputs import CASES, HEAD_LOSSES, leaf, make_outputs, take, with_leaf, with_weights
from tests.oracles import class_losses

NAMES = ("arab", "gay", "woman")
RECORDS = {(None, "arab"): 10, (None, "gay"): 50, (None, "woman"): 40, (None, None): 25}
WEIGHABLE = [
    case for case in CASES if HEAD_LOSSES[case[0]].reads == "class head" and case[1].get("over") != "examples"
    and case[0] != "query_diversity"
]  # fmt: skip
RULES = ("group", "worst_group")
GIVES = ("logits", "labels", "queries", "predictions", "targets", "present")
ANYTHING = TaskRow(
    "anything",
    "a task of all heads",
    {"": TaskWay("some.module:TASK", losses=("tokens", "class head", "regression head"), gives=GIVES)},
)


def weighed(name: str, parameters: dict[str, Any], rule: str) -> Objective:
    objective = Objective({name: {"weight": 0.7, "weights_by": rule, **with_weights(parameters, 3)}})
    return objective.grouped_by(RECORDS, NAMES)[0]


def window(name: str, examples: int = 12) -> Outputs:
    """Examples of three groups and of none, every fifth one dropped."""
    outputs = make_outputs(name, examples, 3, seed=1)
    groups = torch.tensor([0, 1, -1, 2, 1, 1, -1, 0, 2, 1, 1, 1])[:examples]
    return replace(outputs, groups=groups, keep=torch.arange(examples) % 5 != 4)


def of_one(name: str, outputs: Outputs, parameters: dict[str, Any]) -> list[tuple[float, float, int]]:
    """Value, denominator and group of each kept example, by the definitions in plain numbers."""
    assert outputs.logits is not None and outputs.labels is not None and outputs.groups is not None
    found = []
    weight = parameters.get("class_weight") if name == "class_cross_entropy" else None
    for number in range(outputs.examples):
        if outputs.keep is not None and not outputs.keep[number]:
            continue
        logits, label = [outputs.logits[number].tolist()], [outputs.labels[number].tolist()]
        own = 1.0 if weight is None else weight[label[0]]
        value = getattr(class_losses, name)(logits, label, **parameters) * own
        found.append((value, own, int(outputs.groups[number])))
    return found


def by_definition(rule: str, values: list[tuple[float, float, int]], q: list[float] | None = None) -> float:
    if rule == "group":
        weight = [100 / (3 * 10), 100 / (3 * 50), 100 / (3 * 40), 1.0]
        top = math.fsum(weight[g] * v for v, _, g in values)
        return top / math.fsum(weight[g] * n for _, n, g in values)
    total = 0.0
    share = 100 / 125
    for g, weight in zip((0, 1, 2, -1), [*(share * each for each in q or [1 / 3] * 3), 1 - share], strict=True):
        own = [(v, n) for v, n, group in values if group == g]
        if own:
            total += weight * math.fsum(v for v, _ in own) / math.fsum(n for _, n in own)
    return total


def test_the_sweep_sees_every_loss_that_can_be_weighed() -> None:
    classes = {name for name, row in HEAD_LOSSES.items() if row.reads == "class head"}
    assert {name for name, _ in WEIGHABLE} == classes - {"query_diversity"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("name", "parameters"), WEIGHABLE)
def test_values_are_those_of_the_definition(name: str, parameters: dict[str, Any], rule: str) -> None:
    outputs = window(name)
    value = weighed(name, parameters, rule).on_outputs(outputs)
    expected = by_definition(rule, of_one(name, outputs, with_weights(parameters, 3)))
    assert value.parts[name] == pytest.approx(expected, rel=1e-12)
    assert value.total.item() == pytest.approx(0.7 * expected, rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [6, 5, 2, 1])
def test_a_window_cut_anyhow_has_one_gradient(rule: str, size: int) -> None:
    objective = weighed("class_cross_entropy", {"class_weight": "each"}, rule)
    outputs = window("class_cross_entropy")
    whole = leaf(outputs)
    objective.on_outputs(outputs).total.backward()
    made = whole.detach().clone().requires_grad_()
    calls = [take(with_leaf(outputs, made), piece) for piece in torch.arange(12).split(size)]
    counts: dict[str, float] = {}
    for call in calls:
        for component, count in objective.counts_on_outputs(replace(call, logits=None)).items():
            counts[component] = counts.get(component, 0.0) + count
    sums: dict[str, float] = dict.fromkeys(counts, 0.0)
    parts = 0.0
    for call in calls:
        value = objective.on_outputs(call, counts=counts)
        value.total.backward()
        parts += value.parts["class_cross_entropy"]
        for component, total in value.sums.items():
            sums[component] += float(total)
    assert whole.grad is not None and whole.grad.any()
    torch.testing.assert_close(made.grad, whole.grad, rtol=1e-11, atol=1e-15)
    (term,) = objective.terms
    assert value_of(term, sums, counts) == pytest.approx(parts, rel=1e-12)
    assert value_of(term, sums, counts) == pytest.approx(objective.on_outputs(outputs).parts[term.name], rel=1e-12)


def test_an_example_of_weight_two_is_as_good_as_two() -> None:
    outputs = make_outputs("class_focal", 3, 3)
    groups = torch.tensor([0, 1, 1])
    # Of the four records of two groups, one is of the first: it weighs 2, the others 2/3.
    objective, _ = Objective({"class_focal": {"weights_by": "group"}}).grouped_by(
        {(None, "a"): 1, (None, "b"): 3}, ("a", "b")
    )
    repeated = take(outputs, torch.tensor([0, 0, 0, 1, 2]))
    found = objective.on_outputs(replace(outputs, groups=groups)).total
    torch.testing.assert_close(found, Objective({"class_focal": 1.0}).on_outputs(repeated).total)


def test_group_dro_follows_the_losses_as_the_paper_says() -> None:
    step = 0.5
    objective, facts = Objective({"class_focal": {"weights_by": "worst_group", "group_step_size": step}}).grouped_by(
        RECORDS, NAMES
    )
    outputs = window("class_focal")
    values = of_one("class_focal", outputs, {})
    means = [
        math.fsum(v for v, _, g in values if g == group) / sum(g == group for _, _, g in values) for group in range(3)
    ]
    q = [1 / 3] * 3
    (term,) = objective.terms
    assert term.groups is not None
    for _ in range(7):
        assert objective.on_outputs(outputs).parts["class_focal"] == pytest.approx(
            by_definition("worst_group", values, q), rel=1e-12
        )
        term.groups.follow(means)
        raw = [each * math.exp(step * mean) for each, mean in zip(q, means, strict=True)]
        q = [each / math.fsum(raw) for each in raw]
    assert facts["class_focal"] == {
        "parameter": "weights_by",
        "rule": "worst_group",
        "split": "train",
        "examples": 125,
        "counts": {"arab": 10, "gay": 50, "woman": 40},
        "without_group": 25,
        "weights": pytest.approx(dict.fromkeys(NAMES, 0.8 / 3)),
        "step_size": step,
    }


def test_a_group_that_is_easy_for_long_comes_back() -> None:
    weights = GroupWeights(("easy", "hard"), (5, 5), step_size=1.0)
    for _ in range(2000):
        weights.follow([0.0, 1.0])
    assert weights.weights[:2] == (0.0, 1.0)
    again = GroupWeights(("easy", "hard"), (5, 5), step_size=1.0)
    again.restore(weights.state())
    for _ in range(2000):
        again.follow([1.0, None])
    assert again.weights[:2] == (0.5, 0.5)


def test_groups_are_counted_over_the_records_that_a_term_reads() -> None:
    records = {("a", "x"): 30, ("a", "y"): 10, ("b", "x"): 8, (None, "y"): 4, (None, None): 4}
    terms = {
        "class_focal": {"weights_by": "group"},
        "by_task": {"a": {"class_focal": {"weights_by": "group"}}, "b": {"class_focal": {"weights_by": "group"}}},
    }
    objective, _ = Objective(terms).grouped_by(records, ("x", "y"))
    found = {term.name: term.groups.weights for term in objective.terms if term.groups is not None}
    # The third: no record of y, which weighs as no group does.
    assert found == {
        "class_focal": (1.0, 1.0, 1.0),
        "a.class_focal": pytest.approx((40 / 60, 2.0, 1.0)),
        "b.class_focal": (1.0, 1.0, 1.0),
    }
    assert found["class_focal"][0] == 1.0


def test_shares_and_empty_calls_of_weighed_terms() -> None:
    terms = {"class_focal": {"weights_by": "group"}, "class_cross_entropy": {"weights_by": "worst_group"}}
    objective, _ = Objective(terms).grouped_by(RECORDS, NAMES)
    outputs = window("class_focal")
    shares = objective.shares_on_outputs(outputs, counts=objective.counts_on_outputs(outputs))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) > 0
    nothing = replace(outputs, keep=torch.zeros(12, dtype=torch.bool))
    value = objective.on_outputs(nothing, counts=objective.counts_on_outputs(outputs))
    assert value.parts == {"class_focal": 0.0, "class_cross_entropy": 0.0}
    (gradient,) = torch.autograd.grad(value.total, leaf(outputs))
    assert not gradient.any()


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"class_focal": {"weights_by": "groups"}}, "did you mean 'group'"),
        ({"class_focal": {"weights_by": "group", "group_step_size": 0.1}}, "step of group DRO alone"),
        ({"class_focal": {"weights_by": "worst_group", "group_step_size": 0}}, "a number above 0"),
        ({"multilabel_dice": {"weights_by": "group", "over": "examples"}}, "a value for each example"),
        ({"query_diversity": {"weights_by": "group"}}, "a value for each example"),
        ({"focal": {"weights_by": "group"}}, "reads a class head"),
        ({"huber": {"weights_by": "worst_group"}}, "reads a class head"),
    ],
)
def test_what_cannot_be_weighed_is_refused_before_and_after_torch_is_loaded(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Objective(terms)
    with pytest.raises(ConfigError, match=says):
        check_objective(terms, ANYTHING)


def test_what_a_call_lacks_is_named() -> None:
    terms = {"class_focal": {"weights_by": "group"}}
    outputs = window("class_focal")
    with pytest.raises(InputError, match="were not counted on the training split"):
        Objective(terms).on_outputs(outputs)
    objective, _ = Objective(terms).grouped_by(RECORDS, NAMES)
    with pytest.raises(InputError, match="which the outputs do not hold"):
        objective.on_outputs(replace(outputs, groups=None))
    with pytest.raises(InputError, match="stands for no group"):
        objective.on_outputs(replace(outputs, groups=torch.full((12,), 3)))
    with pytest.raises(DataError, match=r"(?s)no training record has a group.*data\.group"):
        Objective(terms).grouped_by({(None, None): 9}, ())


def test_groups_of_other_places_leave_a_term_alone_that_has_none() -> None:
    outputs: Outputs = window("class_focal")
    plain: Tensor = Objective({"class_focal": 1.0}).on_outputs(replace(outputs, groups=None)).total
    assert torch.equal(Objective({"class_focal": 1.0}).on_outputs(outputs).total, plain)
