"""Units of cooking: how they are written, and what one of them is in g, ml or pieces."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

# pint's name: spellings in lower case. Volumes are US customary where a name has several sizes.
_MEASURES: Mapping[str, str] = {
    "milligram": "mg milligram milligrams milligramme milligrammes",
    "gram": "g gr gm gms grm grms gram grams gramm gramms gramme grammes",
    "kilogram": "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes",
    "ounce": "oz ozs ounce ounces",
    "pound": "lb lbs pound pounds",
    "milliliter": "ml mls cc milliliter milliliters millilitre millilitres",
    "centiliter": "cl centiliter centiliters centilitre centilitres",
    "deciliter": "dl deciliter deciliters decilitre decilitres",
    "liter": "l lt ltr ltrs liter liters litre litres",
    "teaspoon": "tsp tsps teaspoon teaspoons teaspoonful teaspoonfuls",
    "tablespoon": "tb tbs tbl tbsp tbsps tblsp tblsps tablespoon tablespoons tablespoonful tablespoonfuls",
    "cup": "c cup cups cupful cupfuls",
    "fluid_ounce": "floz",
    "gill": "gill gills",
    "pint": "pt pts pint pints",
    "quart": "qt qts quart quarts",
    "gallon": "gal gals gallon gallons",
}

# Things that are counted: two different ones are unlike, a bare number agrees with any.
_PIECES: Mapping[str, str] = {
    "bag": "bag bags",
    "block": "block blocks",
    "bottle": "bottle bottles",
    "bowl": "bowl bowls",
    "box": "box boxes",
    "bunch": "bunch bunches bundle bundles",
    "can": "can cans tin tins",
    "carton": "carton cartons",
    "clove": "clove cloves",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "cube": "cube cubes",
    "dash": "dash dashes",
    "drop": "drop drops",
    "glass": "glass glasses glassful",
    "handful": "handful handfuls handfull handfulls",
    "head": "head heads bulb bulbs",
    "inch": "inch inches",
    "jar": "jar jars",
    "knob": "knob knobs",
    "loaf": "loaf loaves",
    "mug": "mug mugs",
    "packet": "packet packets package packages pack packs pkg pkgs pcks sachet sachets envelope envelopes",
    "piece": "piece pieces pc pcs",
    "pinch": "pinch pinches",
    "shot": "shot shots",
    "slice": "slice slices rasher rashers",
    "splash": "splash splashes",
    "spoon": "spoon spoons spoonful spoonfuls",
    "sprig": "sprig sprigs twig twigs branch branches",
    "stalk": "stalk stalks rib ribs",
    "stick": "stick sticks",
    "teacup": "teacup teacups teacupful teacupfuls",
    "wineglass": "wineglass wineglasses wineglassful wineglassfuls",
}

CONTAINERS = frozenset({"bag", "bottle", "box", "can", "carton", "jar", "packet"})
# Said of a quantity without a number: "pinch of salt" is one.
LOOSE = frozenset({"dash", "drop", "handful", "knob", "pinch", "splash"})

# "1T" is a tablespoon and "1t" a teaspoon: the one place where case says something.
_BY_CASE: Mapping[str, str] = {"T": "tablespoon", "t": "teaspoon", "Tb": "tablespoon", "TB": "tablespoon"}


def _spellings(table: Mapping[str, str]) -> dict[str, str]:
    return {spelling: name for name, spellings in table.items() for spelling in spellings.split()}


_MEASURE_OF = _spellings(_MEASURES)
PIECE_OF = _spellings(_PIECES)


def unit_named(word: str) -> tuple[str, float, str | None] | None:
    """Canonical unit, how many of it one of `word` is, and the thing counted; None where `word` is no unit.

    >>> unit_named("kg"), unit_named("Cloves"), unit_named("flour")
    (('g', 1000.0, None), ('piece', 1.0, 'clove'), None)
    >>> round(unit_named("T")[1], 2), round(unit_named("t")[1], 2)
    (14.79, 4.93)
    """
    name = _BY_CASE.get(word) or _MEASURE_OF.get(word.lower())
    if name:
        unit, size = _canonical(name)
        return unit, size, None
    piece = PIECE_OF.get(word.lower())
    return ("piece", 1.0, piece) if piece else None


@cache
def _canonical(name: str) -> tuple[str, float]:
    quantity = _registry()(name)
    unit = "g" if quantity.check("[mass]") else "ml"
    return unit, float(quantity.to(unit).magnitude)


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)
