"""Every metric of the table obeys the laws of its table."""

from __future__ import annotations

import inspect
import json
import random

import numpy as np
import pytest

from lossmith.labels import Classes
from lossmith.metrics.intervals import interval
from lossmith.metrics.outcomes import Groups, Outcomes, outcomes
from lossmith.metrics.scores import Ranked
from lossmith.names import METRICS, find_metric

TEXT = {
    "exact_match",
    "bleu",
    "chrf",
    "rouge1",
    "rouge2",
    "rougeL",
    "edit_distance",
    "word_edit_distance",
    "length_ratio",
    "repetition",
    "distinct_1",
    "distinct_2",
}
RECIPES = {
    "recipe_valid",
    "ingredient_precision",
    "ingredient_recall",
    "ingredient_f1",
    "ingredient_line_f1",
    "quantity_accuracy",
    "quantity_score",
}
STRUCTURE = {"json_valid", "schema_valid", "field_f1"}
# What `recipes` keep to.
SCHEMA = {"type": "object", "required": ["ingredients", "instructions"]}
CLASSES = {
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "f1_macro", "f1_micro", "mcc"),
    *("fpr", "fnr", "tpr", "selection_rate"),
    *("roc_auc", "roc_auc_macro", "roc_auc_micro", "pr_auc", "pr_auc_macro", "pr_auc_micro", "wss95"),
    *("brier", "log_loss", "ece"),
}
GROUPS = {
    *("fpr_gap", "fnr_gap", "tpr_gap", "selection_rate_gap", "equalized_odds_difference", "bias_score"),
    *("worst_group_accuracy", "worst_group_balanced_accuracy", "worst_group_f1_macro", "worst_group_f1"),
    *("worst_group_recall", "worst_group_fpr", "worst_group_fnr"),
    *("subgroup_auc", "bpsn_auc", "bnsp_auc"),
    *("worst_group_subgroup_auc", "worst_group_bpsn_auc", "worst_group_bnsp_auc"),
}
TEXTS = {name: row for name, row in METRICS.items() if row.reads == "texts"}
OUTCOMES = {name: row for name, row in METRICS.items() if row.reads != "texts"}
every_metric = pytest.mark.parametrize("row", TEXTS.values(), ids=list(TEXTS))
every_class_metric = pytest.mark.parametrize("row", OUTCOMES.values(), ids=list(OUTCOMES))


def recipes(seed: int, size: int = 14) -> list[str]:
    """Recipes, each of other lines, that are good targets and predictions of every metric here."""
    chance = random.Random(seed)
    lines = ["2 eggs", "100 g flour", "1 cup milk", "salt", "3 onions", "1/2 lb butter", "2 tbsp oil", "1 lemon"]
    steps = ["Mix it all well.", "Boil for ten minutes.", "Fry until brown.", "Serve it hot with bread."]
    made = []
    for place in range(size):
        parts = {
            "ingredients": [*chance.sample(lines, 4), f"{place + 1} g spice number x{chr(97 + place)}"],
            "instructions": chance.sample(steps, 3),
        }
        made.append(json.dumps(parts))
    return made


def score(row, predictions, targets):
    held = {"prediction": predictions, "target": targets, "schema": [SCHEMA] * len(predictions)}
    return row.load()(*(held[column] for column in row.columns))


def nearness(row, value: float) -> float:
    """Larger is better."""
    return {"up": value, "down": -value, "one": -abs(value - 1)}[row.direction]


def test_the_table_holds_these_metrics():
    assert set(TEXTS) == TEXT | RECIPES | STRUCTURE
    assert set(OUTCOMES) == CLASSES | GROUPS
    assert len(METRICS) == 22 + 23 + 19


@every_metric
def test_row_and_signature_are_equal(row):
    function = row.load()
    parameters = inspect.signature(function).parameters
    positional = [one.name for one in parameters.values() if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == [f"{column}s" for column in row.columns]
    options = {one.name: one.default for one in parameters.values() if one.kind is inspect.Parameter.KEYWORD_ONLY}
    assert options == {one.name: one.default for one in row.parameters}
    assert function.__name__ == row.name
    assert ">>>" in (function.__doc__ or "")
    assert row.low < row.high and row.undefined and row.about


@every_metric
def test_values_and_intervals_lie_in_the_stated_range(row):
    for seed in range(4):
        targets, predictions = recipes(seed), recipes(seed + 10)
        predictions[0], predictions[1], predictions[2] = "", None, "no recipe at all"
        scores = score(row, predictions, targets)
        found = interval(scores, proportion=row.interval == "wilson")
        assert row.low <= found.low <= scores.value() + 1e-12
        assert scores.value() - 1e-12 <= found.high <= row.high
        assert found.method == row.interval


@every_metric
def test_identical_predictions_have_the_best_value(row):
    targets = recipes(0)
    best = nearness(row, score(row, targets, targets).value())
    for predictions in (recipes(1), [text[: len(text) // 2] for text in targets], [" ".join(targets)] * len(targets)):
        value = score(row, predictions, targets).value()
        # Variety looks at predictions alone: no text is its best by being equal to a target.
        assert value is None or nearness(row, value) <= best or row.columns == ("prediction",)
    if len(row.columns) == 2:
        assert nearness(row, score(row, targets, targets).value()) == pytest.approx(
            {"up": row.high, "down": -row.low, "one": 0.0}[row.direction]
        )


@every_metric
def test_empty_predictions_have_the_worst_value_or_none(row):
    targets = recipes(0)
    worst = {"up": row.low, "down": row.high, "one": 0.0}[row.direction]
    for empty in ("", "   ", None):
        value = score(row, [empty] * len(targets), targets).value()
        assert value == worst or (
            value is None and row.name in {"ingredient_precision", "quantity_accuracy", "quantity_score"}
        )


@every_metric
def test_a_failed_row_is_counted_and_never_helps(row):
    targets = recipes(0)
    whole = score(row, targets, targets)
    failed = score(row, [None, *targets[1:]], targets)
    assert len(failed) == len(targets)
    # These two are ratios over what was predicted or matched; recall and F1 carry the failure.
    if row.name in {"ingredient_precision", "quantity_accuracy", "quantity_score"}:
        assert failed.value() == whole.value()
        return
    if row.name in {"distinct_1", "distinct_2"}:
        assert failed.stats[0].tolist() == [0.0, 1.0]
        return
    assert nearness(row, failed.value()) < nearness(row, whole.value())


@every_metric
def test_the_order_of_records_does_not_matter(row):
    targets, predictions = recipes(2), recipes(3)
    predictions[4] = None
    order = np.random.default_rng(0).permutation(len(targets)).tolist()
    moved = score(row, [predictions[place] for place in order], [targets[place] for place in order])
    scores = score(row, predictions, targets)
    assert moved.value() == pytest.approx(scores.value(), rel=1e-12)
    assert np.allclose(moved.stats, scores.stats[order], rtol=1e-12)


@every_metric
def test_equal_input_gives_equal_numbers(row):
    targets, predictions = recipes(4), recipes(5)
    first, again = (score(row, list(predictions), list(targets)) for _ in range(2))
    assert np.array_equal(first.stats, again.stats)
    assert interval(first, seed=3) == interval(again, seed=3)


@every_metric
def test_sums_of_records_are_the_value_of_those_records(row):
    targets, predictions = recipes(6), recipes(7)
    predictions[3] = None
    scores = score(row, predictions, targets)
    assert scores.parts == ("shares" if row.name.startswith("distinct") else "sums")
    assert scores.stats.dtype == np.float64
    if scores.parts == "sums":
        part = np.array([0, 3, 5, 9])
        alone = score(row, [predictions[place] for place in part], [targets[place] for place in part])
        assert scores.of(part).value() == pytest.approx(alone.value(), rel=1e-12)


@every_metric
def test_no_records_is_undefined(row):
    assert score(row, [], []).value() is None


def test_a_misspelt_metric_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'ingredient_f1'"):
        find_metric("ingredients_f1")


def judged(seed: int, size: int = 300, *, failed: int = 0, wrong: float = 0.3) -> Outcomes:
    """Records of two classes in three groups, with scores that mostly agree with the labels."""
    generator = np.random.default_rng(seed)
    gold = generator.integers(2, size=size)
    score = np.clip(np.where(gold == 1, 0.7, 0.3) + generator.normal(0, wrong, size), 0.001, 0.999).round(2)
    said = [None if row < failed else int(one >= 0.5) for row, one in enumerate(score)]
    scores = np.stack([1 - score, score], axis=1)
    scores[:failed] = np.nan
    members = np.stack([np.arange(size) % 3 == group for group in range(3)], axis=1)
    groups = Groups(("a", "b", "c"), members)
    return outcomes(Classes(("no", "yes"), positive="yes"), gold=gold, said=said, scores=scores, groups=groups)


def of(row, found: Outcomes):
    if row.reads == "classes":
        return row.load()(found)
    binary = found.against_rest("yes")
    return row.load()(binary, found.groups.members[:, 0]) if row.reads == "group" else row.load()(binary)


@every_class_metric
def test_a_class_metric_takes_what_its_row_says(row):
    function = row.load()
    expected = {"classes": ["outcomes"], "class": ["binary"], "group": ["binary", "inside"]}[row.reads]
    assert list(inspect.signature(function).parameters) == expected
    assert function.__name__ == row.name and ">>>" in (function.__doc__ or "")
    assert row.columns[0] == "label" and ("group" in row.columns) == (row.name in GROUPS)
    if row.macro:
        assert METRICS[row.macro].reads == "classes" and row.reads == "class"


@every_class_metric
def test_a_class_metric_and_its_interval_lie_in_the_stated_range(row):
    for seed in range(3):
        scores = of(row, judged(seed, failed=5))
        found = interval(scores, proportion=row.interval == "wilson")
        assert row.low <= found.low <= scores.value() + 1e-9
        assert scores.value() - 1e-9 <= found.high <= row.high
        assert found.method == row.interval
        assert found == interval(of(row, judged(seed, failed=5)), proportion=row.interval == "wilson")


@every_class_metric
def test_a_perfect_classifier_has_the_best_value(row):
    value = of(row, judged(0, wrong=0.0)).value()
    # Scores of .3 and .7 are right each time, and never sure.
    best = {"ece": 0.3, "brier": 0.09, "log_loss": -np.log(0.7), "wss95": 0.45, "selection_rate_gap": None}
    expected = best.get(row.name, {"up": row.high, "down": row.low, "none": None}[row.direction])
    assert expected is None or value == pytest.approx(expected, abs=0.06 if row.name == "wss95" else 1e-9)


@every_class_metric
def test_failed_records_never_help_a_class_metric(row):
    right = judged(1, wrong=0.0)
    said = [None if place < 6 else int(one) for place, one in enumerate(right.gold[:, 1])]
    scores = np.where(np.arange(len(right))[:, None] < 6, np.nan, right.scores)
    failed = outcomes(right.classes, gold=right.gold[:, 1], said=said, scores=scores, groups=right.groups)
    found = of(row, failed)
    assert len(found) == len(right)
    if row.columns[1] == "score":
        # They have no score, and n says so.
        assert found.n < of(row, right).n
    elif row.name not in ("selection_rate", "selection_rate_gap"):
        better = {"up": 1, "down": -1}[row.direction]
        assert better * found.value() <= better * of(row, right).value()
    assert (failed.said[:6] == ~right.gold[:6]).all() and failed.failed.sum() == 6


@every_class_metric
def test_a_record_of_weight_two_is_two_records(row):
    found = judged(3, size=90)
    scores = of(row, found)
    doubled = np.concatenate([np.arange(90), np.arange(0, 90, 4)])
    times = np.bincount(doubled, minlength=90).astype(float)[None]
    weighted = (
        scores.weigh(scores.columns, times) if isinstance(scores, Ranked) else scores.reduce(times @ scores.stats)
    )
    assert weighted[0] == pytest.approx(of(row, found.take(doubled)).value(), rel=1e-12)


@every_class_metric
def test_no_records_have_no_class_metric(row):
    assert of(row, judged(0).take(np.zeros(0, dtype=int))).value() is None


@every_class_metric
def test_one_class_alone_never_breaks_a_class_metric(row):
    found = judged(4)
    for place in range(2):
        value = of(row, found.take(found.gold[:, place])).value()
        assert value is None or row.low <= value <= row.high
