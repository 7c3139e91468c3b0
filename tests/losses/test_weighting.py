"""Weights counted on the training split: numbers, facts, what cannot be counted."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.utils.class_weight import compute_class_weight

from lossmith.errors import DataError, InputError
from lossmith.losses import LOSSES, LabelCounts, Objective, Outputs
from lossmith.losses.weighting import RULES, weights_from_counts

RARE = LabelCounts(("none", "slur", "threat"), (90, 9, 1), 100)
FLAGS = LabelCounts(("arbitration", "unilateral"), (5, 40), 200)


def test_the_rules_are_those_of_the_table_of_losses() -> None:
    told: dict[str, set[str]] = {}
    for row in LOSSES.values():
        for parameter in row.parameters:
            if "list" in parameter.type:
                told.setdefault(parameter.name, set()).update(parameter.choices)
    assert told == {parameter: set(rules) for parameter, rules in RULES.items()}
    assert sum(len(rules) for rules in RULES.values()) == 7


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_balanced_is_that_of_scikit_learn(counts: list[int]) -> None:
    labels = [c for c, count in enumerate(counts) for _ in range(count)]
    given_counts = LabelCounts(tuple(map(str, range(len(counts)))), tuple(counts), len(labels))
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    for rule in ("balanced", "inverse"):
        assert weights_from_counts("class_weight", rule, given_counts)[0] == pytest.approx(list(expected))


def test_effective_number_is_that_of_the_paper_with_mean_one() -> None:
    weights, _ = weights_from_counts("class_weight", "effective_number", RARE)
    raw = [(1 - 0.999) / (1 - 0.999**count) for count in RARE.positives]
    assert weights == pytest.approx([each * 3 / sum(raw) for each in raw])
    assert math.fsum(weights) / 3 == pytest.approx(1.0)
    # From some thousand examples on, more of them change nothing.
    many = weights_from_counts("class_weight", "effective_number", LabelCounts(("a", "b"), (10**5, 10**6), 11 * 10**5))
    assert many[0] == pytest.approx([1.0, 1.0])


def test_pos_weight_and_alpha_are_shares_of_each_label() -> None:
    assert weights_from_counts("pos_weight", "auto", FLAGS)[0] == pytest.approx([39.0, 4.0])
    for rule in ("inverse", "auto"):
        assert weights_from_counts("alpha", rule, FLAGS)[0] == pytest.approx([0.975, 0.8])


def test_prevalence_warns_that_it_multiplies_the_rare_class_by_the_small_number() -> None:
    with pytest.warns(UserWarning, match=r"rare labels by the small number \(0.025 is the smallest\)"):
        weights, _ = weights_from_counts("alpha", "prevalence", FLAGS)
    assert weights == pytest.approx([0.025, 0.2])


@pytest.mark.parametrize(
    ("parameter", "rule"), [(p, r) for p, rules in RULES.items() for r in rules if r != "prevalence"]
)
def test_balancing_rules_give_the_rarer_the_larger_weight(parameter: str, rule: str) -> None:
    weights, facts = weights_from_counts(parameter, rule, RARE)
    assert weights == sorted(weights)
    assert weights[0] < weights[-1]
    assert facts == {
        "parameter": parameter,
        "rule": rule,
        "split": "train",
        "examples": 100,
        "counts": {"none": 90, "slur": 9, "threat": 1},
        "weights": dict(zip(RARE.names, weights, strict=True)),
    }


@pytest.mark.filterwarnings("ignore:alpha. prevalence")
@pytest.mark.parametrize(("parameter", "rule"), [(p, r) for p, rules in RULES.items() for r in rules])
def test_a_class_or_label_without_examples_is_named_unless_it_is_declared(parameter: str, rule: str) -> None:
    names, positives = ("none", "slur", "threat"), (90, 10, 0)
    with pytest.raises(DataError, match=r"'threat' has no (positive )?training example") as error:
        weights_from_counts(parameter, rule, LabelCounts(names, positives, 100))
    assert "declare the classes" in (error.value.fix or "")
    weights, facts = weights_from_counts(parameter, rule, LabelCounts(names, positives, 100, declared=True))
    assert weights[2] == 0.0
    assert facts["weights"]["threat"] == 0.0
    # The others weigh what they would without it.
    assert weights[:2] == weights_from_counts(parameter, rule, LabelCounts(names[:2], positives[:2], 100))[0]


def test_a_label_that_is_always_true_is_named_too() -> None:
    counts = LabelCounts(("a", "b"), (10, 3), 10)
    with pytest.raises(DataError, match="'a' has no negative training example"):
        weights_from_counts("pos_weight", "auto", counts)


@pytest.mark.parametrize("declared", [False, True])
def test_without_any_example_nothing_can_be_counted(declared: bool) -> None:
    with pytest.raises(DataError, match="no training example"):
        weights_from_counts("class_weight", "balanced", LabelCounts(("a",), (0,), 0, declared=declared))


def test_counts_that_cannot_be_are_refused() -> None:
    for names, positives, examples in ((("a",), (1, 2), 3), ((), (), 3), (("a",), (4,), 3), (("a",), (-1,), 3)):
        with pytest.raises(InputError, match="do not fit"):
            LabelCounts(names, positives, examples)
    with pytest.raises(InputError, match="did you mean 'balanced'"):
        weights_from_counts("class_weight", "balancd", RARE)


def test_an_objective_takes_the_numbers_and_tells_the_facts_of_each_term() -> None:
    terms: dict[str, Any] = {
        "class_cross_entropy": {"weight": 0.6, "class_weight": "balanced"},
        "class_focal": {"weight": 0.3, "class_weight": [1.0, 1.0, 2.0]},
        "soft": {"loss": "class_focal", "weight": 0.1, "class_weight": "effective_number"},
        "sure": {"loss": "class_focal", "weight": 0.1},
    }
    objective, facts = Objective(terms).weighted_by(RARE)
    assert {name: [fact["rule"] for fact in found] for name, found in facts.items()} == {
        "class_cross_entropy": ["balanced"],
        "soft": ["effective_number"],
    }
    weights = {term.name: term.params["class_weight"] for term in objective.terms}
    assert weights["class_cross_entropy"] == pytest.approx([100 / 270, 100 / 27, 100 / 3])
    assert weights["class_focal"] == [1.0, 1.0, 2.0]
    assert weights["sure"] is None
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(10, 3, generator=draw, dtype=torch.float64)
    labels = torch.tensor([0] * 8 + [1, 2])
    found = objective.on_outputs(Outputs(logits=logits, labels=labels)).parts["class_cross_entropy"]
    tensor = torch.tensor(weights["class_cross_entropy"], dtype=torch.float64)
    assert found == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels, weight=tensor)))


@pytest.mark.parametrize(
    ("term", "parameter", "expected"),
    [
        ({"loss": "binary_cross_entropy", "pos_weight": "auto"}, "pos_weight", [39.0, 4.0]),
        ({"loss": "binary_focal", "alpha": "inverse"}, "alpha", [0.975, 0.8]),
    ],
)
def test_labels_of_one_example_are_weighted_each_by_its_own_counts(
    term: dict[str, Any], parameter: str, expected: list[float]
) -> None:
    objective, facts = Objective({"mine": term}).weighted_by(FLAGS)
    assert objective.terms[0].params[parameter] == pytest.approx(expected)
    assert facts["mine"][0]["counts"] == {"arbitration": 5, "unilateral": 40}
    outputs = Outputs(logits=torch.zeros(2, 2), labels=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert math.isfinite(objective.on_outputs(outputs).parts["mine"])


def test_every_weighted_loss_can_be_weighted_by_each_of_its_rules() -> None:
    seen: Counter[str] = Counter()
    for name, row in LOSSES.items():
        for parameter in row.parameters:
            for rule in parameter.choices if "list" in parameter.type else ():
                if rule == "prevalence":
                    with pytest.warns(UserWarning, match="prevalence"):
                        objective, _ = Objective({name: {parameter.name: rule}}).weighted_by(RARE)
                else:
                    objective, _ = Objective({name: {parameter.name: rule}}).weighted_by(RARE)
                assert len(objective.terms[0].params[parameter.name]) == 3
                seen[name] += 1
    assert seen == {"class_cross_entropy": 3, "class_focal": 3, "binary_cross_entropy": 1, "binary_focal": 3}
