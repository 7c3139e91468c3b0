from __future__ import annotations

import json

import numpy as np
import pytest

from lossmith.metrics.amounts import Amount
from lossmith.metrics.ingredient_matching import matched_ingredients, matching, same_quantity
from lossmith.metrics.recipe_text import Recipe, read_recipe
from lossmith.metrics.recipes import (
    ingredient_f1,
    ingredient_line_f1,
    ingredient_precision,
    ingredient_recall,
    quantity_accuracy,
    quantity_score,
    recipe_valid,
)


def recipe(*ingredients: str, steps: tuple[str, ...] = ("Mix.",)) -> str:
    return json.dumps({"ingredients": list(ingredients), "instructions": list(steps)})


@pytest.mark.parametrize(
    "text",
    [
        '{"ingredients": ["2 eggs", "salt"], "instructions": ["Boil.", "Eat."]}',
        '{"title": "Eggs", "Ingredients": "2 eggs\\nsalt", "Directions": "Boil.\\n\\nEat."}',
        "Ingredients:\n- 2 eggs\n- salt\n\nSteps:\n1. Boil.\n2. Eat.",
        "## Ingredients\n\n* 2 eggs\n* salt\n\n**Method:**\n\n1) Boil.\n2) Eat.\n",
        "A fine dish.\nINGREDIENTS\n2 eggs\nsalt\nDirections: Boil.\nEat.",
        "Ingredients:\nFor the eggs:\n2 eggs\nsalt\nInstructions:\nBoil.\nEat.",
    ],
)
def test_ways_to_write_one_recipe(text):
    assert read_recipe(text) == Recipe(("2 eggs", "salt"), ("Boil.", "Eat."))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Take two eggs and salt.",
        '{"ingredients": ["2 eggs"], "instructions": ["Boil."]',
        '```json\n{"ingredients": ["2 eggs"], "instructions": ["Boil."]}\n```',
        '{"ingredients": ["2 eggs"], "instructions": ["Boil."]} Enjoy!',
        '{"ingredients": [{"name": "egg"}], "instructions": ["Boil."]}',
        '["2 eggs"]',
        '{"name": "eggs"}',
        "{" * 100_000,
    ],
)
def test_what_is_no_recipe(text):
    assert read_recipe(text) is None


def test_valid_needs_both_parts():
    texts = [recipe("2 eggs"), recipe(), recipe("2 eggs", steps=()), "Ingredients:\n2 eggs", None]
    assert recipe_valid(texts).stats[:, 0].tolist() == [1, 0, 0, 0, 0]


def test_counts_are_summed_over_records():
    predictions = [recipe("2 eggs", "salt", "pepper"), recipe("1 cup milk")]
    targets = [recipe("2 eggs", "1 tsp salt"), recipe("240 ml milk", "flour", "sugar", "1 lemon")]
    assert ingredient_precision(predictions, targets).value() == pytest.approx(3 / 4)
    assert ingredient_recall(predictions, targets).value() == pytest.approx(3 / 6)
    assert ingredient_f1(predictions, targets).value() == pytest.approx(6 / 10)
    assert ingredient_line_f1(predictions, targets).value() == pytest.approx(4 / 10)
    assert quantity_accuracy(predictions, targets).value() == pytest.approx(2 / 3)


def test_an_unreadable_prediction_counts_its_targets_ingredients():
    targets = [recipe("2 eggs", "salt"), recipe("1 lemon")]
    scores = ingredient_f1(["no recipe", recipe("1 lemon")], targets)
    assert scores.value() == pytest.approx(2 * 1 / (1 + 3))
    assert scores.notes == ("1 of 2 predictions do not read as a recipe",)
    assert ingredient_recall([None, None], targets).value() == 0.0
    assert ingredient_precision([None, None], targets).value() is None
    assert quantity_accuracy([None, None], targets).value() is None


def test_targets_without_a_recipe_leave_the_metrics_undefined():
    for metric in (ingredient_precision, ingredient_recall, ingredient_f1, ingredient_line_f1, quantity_accuracy):
        scores = metric([recipe("2 eggs")], ["Paris"])
        assert scores.value() is None
        assert "targets" in scores.notes[0]


def test_the_matching_is_one_to_one_and_the_largest():
    found = matching(recipe("salt", "salt"), recipe("salt"))
    assert len(found.pairs) == 1
    # Greedy by likeness would leave one line alone: "red onions" suits both.
    found = matching(recipe("1 red onion", "1 red onions dice"), recipe("1 red onion dices", "1 red onion"))
    assert len(found.pairs) == 2


def test_two_lines_of_one_name_find_their_own_amounts():
    found = matching(recipe("2 tbsp butter", "100 g butter"), recipe("100 g butter", "2 tbsp butter"))
    assert sorted((pair.gold, pair.predicted, pair.closeness) for pair in found.pairs) == [(0, 1, 1.0), (1, 0, 1.0)]


@pytest.mark.parametrize(
    ("predicted", "gold", "expected"),
    [
        ("1 cup milk", "240 ml milk", 1.0),
        ("1 lb beef", "500 g beef", 1.0),
        ("110 g flour", "100 g flour", 1.0),
        ("111 g flour", "100 g flour", 0.5),
        ("80 g flour", "100 g flour", 0.5),
        ("79 g flour", "100 g flour", 0.0),
        ("1 cup flour", "125 g flour", 0.0),
        ("125 g flour", "1 cup (125 g) flour", 1.0),
        ("2 garlic", "2 cloves garlic", 1.0),
        ("2 heads garlic", "2 cloves garlic", 0.0),
        ("3 onions", "2-4 onions", 1.0),
        ("5 onions", "2-4 onions", 0.0),
        ("flour", "100 g flour", 0.0),
    ],
)
def test_quantities(predicted, gold, expected):
    assert quantity_score([recipe(predicted)], [recipe(gold)]).value() == expected
    assert quantity_accuracy([recipe(predicted)], [recipe(gold)]).value() == float(expected == 1.0)


def test_a_line_without_a_quantity_is_right_only_without_one():
    assert ingredient_line_f1([recipe("salt")], [recipe("salt")]).value() == 1.0
    assert ingredient_line_f1([recipe("2 g salt")], [recipe("salt")]).value() == 0.0
    assert quantity_accuracy([recipe("salt")], [recipe("salt")]).value() is None


def test_names_below_the_threshold_do_not_match():
    assert ingredient_f1([recipe("baking powder")], [recipe("baking soda")]).value() == 0.0
    assert ingredient_f1([recipe("yoghurt")], [recipe("yogurt")]).value() == 1.0


def test_the_best_of_several_references_counts():
    several = [[recipe("2 eggs"), recipe("1 lemon", "salt")]]
    assert ingredient_f1([recipe("1 lemon", "salt")], several).value() == 1.0


def test_matched_lines_for_display():
    shown = matched_ingredients(recipe("1 egg", "salt", "120 g flour"), recipe("2 eggs", "salt", "100 g flour", "oil"))
    assert [(one["match"], one["quantity"]) for one in shown["gold"]] == [
        (0, "wrong"),
        (1, "none"),
        (2, "near"),
        (None, None),
    ]
    assert [one["line"] for one in shown["predicted"]] == ["1 egg", "salt", "120 g flour"]
    assert json.loads(json.dumps(shown)) == shown
    unread = matched_ingredients("nothing", recipe("2 eggs"))
    assert not unread["prediction_read"] and unread["gold"][0]["match"] is None


def test_same_quantity_of_nothing_is_wrong():
    assert same_quantity([], [Amount(1, 1, "g")]) == 0.0


def test_real_recipes_match_themselves(shared_data):
    text = (shared_data / "recipes" / "public_domain_recipes.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    texts = [json.dumps({"ingredients": row["ingredients"], "directions": row["directions"]}) for row in rows]
    assert len(texts) == 331
    for metric in (ingredient_precision, ingredient_recall, ingredient_f1, ingredient_line_f1, quantity_accuracy):
        assert metric(texts, texts).value() == 1.0
    shifted = texts[1:] + texts[:1]
    other = ingredient_f1(shifted, texts)
    assert 0.02 < other.value() < 0.4
    assert np.array_equal(other.stats, ingredient_f1(shifted, texts).stats)
