"""The rule that makes a recipe of a base, a main, a style and a number of servings."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lossmith.data.kitchen.tables import FATS, GARNISHES, Base, Food, Main, Style, Unit

_FRACTIONS = {Fraction(0): "", Fraction(1, 4): "1/4", Fraction(1, 2): "1/2", Fraction(3, 4): "3/4"}
_TSP_IN_TBSP = 3
_STEP = {
    "pot": ("Warm the {fat} in a pot", "simmer it at {celsius} °C"),
    "pan": ("Heat the {fat} in a pan", "stir it at {celsius} °C"),
    "oven": ("Grease a dish with the {fat}", "bake it at {celsius} °C"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A dish with its ingredient lines and its steps."""

    title: str
    servings: int
    ingredients: tuple[str, ...]
    steps: tuple[str, ...]


def cook(base: Base, main: Main, style: Style, servings: int) -> Recipe:
    """The recipe of a dish; all amounts scale with the servings.

    What a part brings is the heavier, the heavier the two other parts are: by a quarter for each unit of their weight.
    So every line depends on the servings and on all three parts.

    >>> from lossmith.data.kitchen.tables import BASES, MAINS, STYLES
    >>> cook(BASES[0], MAINS[1], STYLES[1], 4).ingredients[:3]
    ('240 g pearl barley', '720 ml vegetable stock', '3 carrots')
    """
    fat = FATS[base.method, style.region]
    garnish = GARNISHES[main.kind, style.region]
    of_base, of_main, of_style = main.weight + style.weight, base.weight + style.weight, base.weight + main.weight
    parts = (
        (base.starch, of_base),
        (base.liquid, of_base),
        (base.aromatic, of_base),
        (main.food, of_main),
        (main.companion, of_main),
        (style.spice, of_style),
        (style.flavour, of_style),
        (fat, of_style),
        (garnish, of_main),
    )
    lines = tuple(write_line(food, servings, weight) for food, weight in parts)
    return Recipe(f"{style.name} {main.name} {base.name}", servings, lines, _steps(base, main, style, servings))


def write_line(food: Food, servings: int, weight: int) -> str:
    """An ingredient line: quantity, unit and name.

    Grams turn into kilograms and millilitres into litres from 1000, teaspoons into tablespoons where quarters of one
    come out.

    >>> write_line(Food("flour", 160, "g"), 8, 4), write_line(Food("leeks", 1, "piece", "leek"), 2, 1)
    ('1.28 kg flour', '1 1/4 leeks')
    """
    quantity = Fraction(food.amount * servings * (4 + weight), 8)
    amount, unit = _in_unit(quantity, food.unit)
    if unit == "piece":
        return f"{amount} {food.one if quantity <= 1 else food.name}"
    return f"{amount} {unit} {food.name}"


def _in_unit(quantity: Fraction, unit: Unit) -> tuple[str, str]:
    if unit == "tsp":
        spoons = quantity / _TSP_IN_TBSP
        if spoons >= 1 and (spoons * 4).denominator == 1:
            return _mixed(spoons), "tbsp"
        return _mixed(quantity), unit
    if unit in ("g", "ml") and quantity >= 1000:
        return f"{float(quantity / 1000):g}", {"g": "kg", "ml": "l"}[unit]
    return _mixed(quantity), unit


def _mixed(quantity: Fraction) -> str:
    whole, rest = divmod(quantity, 1)
    return " ".join(part for part in (str(whole) if whole else "", _FRACTIONS[rest]) if part)


def _steps(base: Base, main: Main, style: Style, servings: int) -> tuple[str, ...]:
    first, last = _STEP[base.method]
    fat = FATS[base.method, style.region].name
    garnish = GARNISHES[main.kind, style.region].name
    celsius = base.celsius + 5 * style.weight
    minutes = base.minutes + 5 * main.weight + servings
    return (
        first.format(fat=fat) + f" and soften the {base.aromatic.name} for {4 + 2 * style.weight} minutes.",
        f"Add the {main.food.name}, {main.companion.name} and {style.spice.name}; "
        f"cook for {main.minutes + base.weight} minutes.",
        f"Stir in the {base.starch.name}, {base.liquid.name} and {style.flavour.name}, then "
        + last.format(celsius=celsius)
        + f" for {minutes} minutes.",
        f"Scatter the {garnish} over it and serve {servings}.",
    )
