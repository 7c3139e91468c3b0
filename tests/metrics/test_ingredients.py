from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.metrics.amounts import read_amounts
from lossmith.metrics.ingredient_names import compared_name, singular
from lossmith.metrics.ingredients import is_heading, parse_ingredient
from lossmith.metrics.lines import plain, unbulleted
from lossmith.metrics.numbers import read_number

CUP, TBSP, TSP, OZ, LB, GAL = 236.588, 14.787, 4.929, 28.3495, 453.592, 3785.41

# Written by hand from the meaning of the line: name, then (low, high, unit, thing counted) for each amount given.
LINES = [
    ("3 onions (medium size)", "onion", [(3, 3, "piece", None)]),
    ("~150g (1/3 lb) bacon cubes", "bacon", [(150, 150, "g", None), (LB / 3, LB / 3, "g", None)]),
    ("1 - 2L (1/4 - 1/2 gal) milk", "milk", [(1000, 2000, "ml", None), (GAL / 4, GAL / 2, "ml", None)]),
    ("a jar of apple sauce", "apple sauce", [(1, 1, "piece", "jar")]),
    ("900 g (4-5) golden delicious apples", "golden delicious apple", [(900, 900, "g", None)]),
    ("226 g (2 sticks) cold butter, cut into slices", "butter", [(226, 226, "g", None), (2, 2, "piece", "stick")]),
    ("1-2 g nutmeg", "nutmeg", [(1, 2, "g", None)]),
    ("2 yellow peppers per person", "yellow pepper", [(2, 2, "piece", None)]),
    ("Around 120g of ground beef meat per person", "ground beef meat", [(120, 120, "g", None)]),
    ("1 or 2 onions", "onion", [(1, 2, "piece", None)]),
    ("1 1/2 teaspoon baking powder", "baking powder", [(1.5 * TSP, 1.5 * TSP, "ml", None)]),
    ("1½ tsp. cooking powder", "cooking powder", [(1.5 * TSP, 1.5 * TSP, "ml", None)]),
    ("1-1/2 cups plain yogurt", "plain yogurt", [(1.5 * CUP, 1.5 * CUP, "ml", None)]),
    ("1/4-1/2 cup chopped parsley", "parsley", [(CUP / 4, CUP / 2, "ml", None)]),
    ("2 and 1/4 teaspoons Active Dry Yeast", "active dry yeast", [(2.25 * TSP, 2.25 * TSP, "ml", None)]),
    ("3⁄4 cup milk", "milk", [(0.75 * CUP, 0.75 * CUP, "ml", None)]),
    ("260 g / 2⅛ cups wheat flour", "wheat flour", [(260, 260, "g", None), (2.125 * CUP, 2.125 * CUP, "ml", None)]),
    ("50 g / 1¾ oz dark chocolate", "dark chocolate", [(50, 50, "g", None), (1.75 * OZ, 1.75 * OZ, "g", None)]),
    ("600ml ( 1 Pint ) warm water", "water", [(600, 600, "ml", None), (2 * CUP, 2 * CUP, "ml", None)]),
    ("2tbsp of Yellow Mustard", "yellow mustard", [(2 * TBSP, 2 * TBSP, "ml", None)]),
    ("2 Tbsp Vegetable Oil", "vegetable oil", [(2 * TBSP, 2 * TBSP, "ml", None)]),
    ("2 TB butter, cut into pieces", "butter", [(2 * TBSP, 2 * TBSP, "ml", None)]),
    ("1½T salt", "salt", [(1.5 * TBSP, 1.5 * TBSP, "ml", None)]),
    ("3t bruschetta herbs", "bruschetta herb", [(3 * TSP, 3 * TSP, "ml", None)]),
    (".5 TB ground allspice", "ground allspice", [(0.5 * TBSP, 0.5 * TBSP, "ml", None)]),
    ("2 TSP baking powder", "baking powder", [(2 * TSP, 2 * TSP, "ml", None)]),
    ("1 table spoon of honey (optional)", "honey", [(TBSP, TBSP, "ml", None)]),
    ("70cl water", "water", [(700, 700, "ml", None)]),
    ("2 1/2 dl cream", "cream", [(250, 250, "ml", None)]),
    ("1lt of fresh cream", "cream", [(1000, 1000, "ml", None)]),
    ("100gr of Cheese (optional)", "cheese", [(100, 100, "g", None)]),
    ("400gm Basmati Rice", "basmati rice", [(400, 400, "g", None)]),
    ("1 Lb. (450 g) beef (flank or skirt steak)", "beef", [(LB, LB, "g", None), (450, 450, "g", None)]),
    ("1lbs./500g liver (chicken)", "liver", [(LB, LB, "g", None), (500, 500, "g", None)]),
    ("2 qts water", "water", [(8 * CUP, 8 * CUP, "ml", None)]),
    ("3 c flour", "flour", [(3 * CUP, 3 * CUP, "ml", None)]),
    ("4 cloves of garlic, minced", "garlic", [(4, 4, "piece", "clove")]),
    ("3-4 garlic cloves", "garlic", [(3, 4, "piece", None)]),
    ("3 cloves", "clove", [(3, 3, "piece", "clove")]),
    ("1 tsp whole cloves", "clove", [(TSP, TSP, "ml", None)]),
    ("2 celery stalks", "celery", [(2, 2, "piece", None)]),
    ("1 sprig rosemary, needles finely chopped", "rosemary", [(1, 1, "piece", "sprig")]),
    ("2 pcks vanilla sugar (16g) *or* other", "vanilla sugar other", [(2, 2, "piece", "packet")]),
    ("1 can Cannellini beans, drained and rinsed", "cannellini bean", [(1, 1, "piece", "can")]),
    ("1 (15-ounce) can black beans, rinsed", "black bean", [(1, 1, "piece", "can"), (15 * OZ, 15 * OZ, "g", None)]),
    ("1 15 oz can diced tomatoes", "tomato", [(1, 1, "piece", "can"), (15 * OZ, 15 * OZ, "g", None)]),
    ("2 x 400g tins chopped plum tomatoes", "plum tomato", [(800, 800, "g", None)]),
    ("400 ml can coconut milk", "coconut milk", [(400, 400, "ml", None)]),
    ("2 33cl bottles of brown beer", "brown beer", [(2, 2, "piece", "bottle"), (660, 660, "ml", None)]),
    ("1 pinch of nutmeg", "nutmeg", [(1, 1, "piece", "pinch")]),
    ("Pinch of season salt", "season salt", [(1, 1, "piece", "pinch")]),
    ("Handful of chopped onion", "onion", [(1, 1, "piece", "handful")]),
    ("Sprigs of Mint", "mint", []),
    ("beef (chuck, brisket): 1kg | 2 1/4lb", "beef", [(1000, 1000, "g", None), (2.25 * LB, 2.25 * LB, "g", None)]),
    ("brown stock: 100ml | 1/2 cup", "brown stock", [(100, 100, "ml", None), (CUP / 2, CUP / 2, "ml", None)]),
    ("Eggs: 5", "egg", [(5, 5, "piece", None)]),
    ("Chickpeas, 400g ( drained )", "chickpea", [(400, 400, "g", None)]),
    ("Paprika, 2 Tsp", "paprika", [(2 * TSP, 2 * TSP, "ml", None)]),
    ("Star anise, 2", "star anise", [(2, 2, "piece", None)]),
    ("Salt - 1 1/2 teaspoons", "salt", [(1.5 * TSP, 1.5 * TSP, "ml", None)]),
    ("Water *3 dl*", "water", [(300, 300, "ml", None)]),
    ("White wine 1/4 cup (60g)", "white wine", [(CUP / 4, CUP / 4, "ml", None), (60, 60, "g", None)]),
    ("Oat Flakes (270 g - 800 mL)", "oat flake", [(270, 270, "g", None), (800, 800, "ml", None)]),
    ("Star Anise (4-5)", "star anise", [(4, 5, "piece", None)]),
    ("Juice of 2-3 Limes", "lime juice", [(2, 3, "piece", None)]),
    ("the yolks of 6 eggs", "egg yolk", [(6, 6, "piece", None)]),
    ("from 30g to 70g of sugar", "sugar", [(30, 70, "g", None)]),
    ("6 or 7 tbsp of sugar", "sugar", [(6 * TBSP, 7 * TBSP, "ml", None)]),
    ("Up to 1/3 cup Water, chilled", "water", [(CUP / 3, CUP / 3, "ml", None)]),
    ("1 cup + 2 1/2 Tbsp Butter, divided", "butter", [(CUP + 2.5 * TBSP, CUP + 2.5 * TBSP, "ml", None)]),
    ("3/4 of a cup of warm water", "water", [(0.75 * CUP, 0.75 * CUP, "ml", None)]),
    ("half a tin (200g) of baked beans", "baked bean", [(0.5, 0.5, "piece", "can"), (200, 200, "g", None)]),
    ("Half a pound of butter", "butter", [(LB / 2, LB / 2, "g", None)]),
    ("Three ounces and a half of fresh butter.", "butter", [(3.5 * OZ, 3.5 * OZ, "g", None)]),
    ("One pound of beef suet chopped fine.", "beef suet", [(LB, LB, "g", None)]),
    ("20cl (~ 0,05 gal) water", "water", [(200, 200, "ml", None), (0.05 * GAL, 0.05 * GAL, "ml", None)]),
    ("225 g 50-70% dark chocolate chips", "dark chocolate chip", [(225, 225, "g", None)]),
    ("8 bone-in, skin-on chicken thighs", "chicken thigh", [(8, 8, "piece", None)]),
    ("2 [chicken breasts](/pan-seared-chicken)", "chicken breast", [(2, 2, "piece", None)]),
    ("1 jalapeño pepper", "jalapeno pepper", [(1, 1, "piece", None)]),
    ("1,000 g flour", "flour", [(1000, 1000, "g", None)]),
    ("salt to taste", "salt", []),
    ("Fish stock (see 2.)", "fish stock", []),
    ("Dairy liquid cream (10%+ fat recommended)", "dairy liquid cream", []),
]


@pytest.mark.parametrize(("line", "name", "amounts"), LINES, ids=[line for line, *_ in LINES])
def test_hand_checked_lines(line, name, amounts):
    found = parse_ingredient(line)
    assert found.name == name
    assert [(one.unit, one.piece) for one in found.amounts] == [(unit, piece) for _, _, unit, piece in amounts]
    for one, (low, high, _, _) in zip(found.amounts, amounts, strict=True):
        assert (one.low, one.high) == pytest.approx((low, high), rel=1e-3)


def test_most_real_lines_with_a_digit_have_a_quantity(shared_data):
    text = (shared_data / "recipes" / "public_domain_recipes.jsonl").read_text(encoding="utf-8")
    lines = [line for row in text.splitlines() for line in json.loads(row)["ingredients"]]
    counted = [line for line in lines if re.search(r"\d", line)]
    parsed = sum(bool(parse_ingredient(line).amounts) for line in counted)
    assert len(counted) > 1900
    assert parsed / len(counted) >= 0.99
    assert all(parse_ingredient(line).name for line in lines if line.strip())


def test_old_books_parse_too(shared_data):
    text = (shared_data / "recipes" / "beeton_household_management.jsonl").read_text(encoding="utf-8")
    lists = [json.loads(row)["ingredients"] for row in text.splitlines()]
    lines = [line for listed in lists for line in re.split(r"[,;] ", listed) if re.match(r"\d", line)]
    assert len(lines) > 3000
    assert sum(bool(parse_ingredient(line).amounts) for line in lines) / len(lines) >= 0.99


def test_optional_is_remembered_and_not_part_of_the_name():
    assert parse_ingredient("(optional) 30g cocoa powder").optional
    assert parse_ingredient("1 egg (optional)").name == "egg"
    assert not parse_ingredient("1 egg").optional


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2 large Onions, finely chopped", "onion"),
        ("crème fraîche", "creme fraiche"),
        ("4 tomatoes", "1 fresh tomato, diced"),
        ("cherries", "1 cherry"),
        ("1 cup all-purpose flour", "all purpose flour (sifted)"),
        ("2 chillies", "1 chili"),
    ],
)
def test_names_that_are_the_same(one, other):
    assert parse_ingredient(one).name == parse_ingredient(other).name


@pytest.mark.parametrize(("one", "other"), [("baking powder", "baking soda"), ("red wine", "red wine vinegar")])
def test_names_that_differ(one, other):
    assert compared_name(one) != compared_name(other)


def test_headings_are_told_from_ingredients():
    assert is_heading("For the dough:")
    assert not is_heading("Eggs: 5")


def test_bullets_and_running_numbers_leave():
    assert [unbulleted(line) for line in ("- a", "* a", "• a", "12) a", "1. a")] == ["a"] * 5
    assert unbulleted("1.5 dl milk") == "1.5 dl milk"


@given(st.integers(1, 500), st.integers(1, 7), st.integers(2, 8))
def test_a_mixed_number_is_its_whole_and_its_fraction(whole, top, bottom):
    text = f"{whole} {top}/{bottom} cups"
    value, _ = read_number(text, 0)
    assert value == pytest.approx(whole + top / bottom if top < bottom else whole)


@given(st.text(max_size=60))
def test_any_text_parses_without_an_error(text):
    found = parse_ingredient(text)
    assert all(amount.low <= amount.high and amount.low >= 0 for amount in found.amounts)
    assert plain(plain(text)) == plain(text) or "/" in plain(text) or "(" in text


@given(st.floats(0.25, 900).map(lambda number: round(number, 2)), st.sampled_from([("kg", 1000), ("lb", LB), ("g", 1)]))
def test_weights_convert_to_grams(number, unit):
    name, size = unit
    amounts, end = read_amounts(f"{number} {name} flour")
    assert amounts[0].unit == "g"
    assert amounts[0].middle == pytest.approx(number * size, rel=1e-4)
    assert f"{number} {name} flour"[end:] == "flour"


def test_plurals_of_the_kitchen():
    plurals = "potatoes berries loaves radishes peaches olives zucchinis molasses couscous grass boxes peas"
    singulars = "potato berry loaf radish peach olive zucchini molasses couscous grass box pea"
    assert [singular(word) for word in plurals.split()] == singulars.split()
