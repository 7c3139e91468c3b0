"""Every metric of the table obeys the laws of its table."""

from __future__ import annotations

import inspect
import json
import random

import numpy as np
import pytest

from lossmith.metrics.intervals import interval
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
every_metric = pytest.mark.parametrize("row", METRICS.values(), ids=list(METRICS))


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
    return row.load()(*({"prediction": predictions, "target": targets}[column] for column in row.columns))


def nearness(row, value: float) -> float:
    """Larger is better."""
    return {"up": value, "down": -value, "one": -abs(value - 1)}[row.direction]


def test_the_table_holds_these_metrics():
    assert set(METRICS) == TEXT | RECIPES
    assert len(METRICS) == 19


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
