"""Which predicted ingredient is which of the target's: one to one, by name, quantities compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lossmith.metrics.amounts import Amount
from lossmith.metrics.answers import Target, references
from lossmith.metrics.ingredients import Ingredient, parse_ingredient
from lossmith.metrics.recipe_text import read_recipe

SAME_NAME = 85.0  # rapidfuzz token_sort_ratio
RIGHT, NEAR = 0.10, 0.20  # relative distance of quantities


@dataclass(frozen=True, slots=True)
class Pair:
    """A matched pair, by position; `closeness` of quantity: 1, .5, 0, or None where the target gives none."""

    gold: int
    predicted: int
    closeness: float | None
    right: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """The ingredients of a target and of a prediction, and the pairs among them."""

    gold: tuple[Ingredient, ...]
    predicted: tuple[Ingredient, ...]
    pairs: tuple[Pair, ...]
    gold_read: bool
    prediction_read: bool


def matched_ingredients(prediction_text: str, target_text: Target) -> dict[str, Any]:
    """Which lines of the two recipes match, for display.

    `gold` and `predicted` list each line with `match` (position in the other list, or None) and `quantity`:
    `right` (within 10 %), `near` (within 20 %), `wrong`, `none` (neither line gives one), or None for a line
    without a match.

    >>> shown = matched_ingredients("Ingredients:\\n- 2 eggs\\n- salt", "Ingredients:\\n- 3 eggs\\n- pepper")
    >>> shown["gold"]
    [{'line': '3 eggs', 'match': 0, 'quantity': 'wrong'}, {'line': 'pepper', 'match': None, 'quantity': None}]
    """
    found = matching(prediction_text, target_text)
    by_gold = {pair.gold: pair for pair in found.pairs}
    by_predicted = {pair.predicted: pair for pair in found.pairs}
    return {
        "prediction_read": found.prediction_read,
        "gold": [_shown(one, by_gold.get(place), "predicted") for place, one in enumerate(found.gold)],
        "predicted": [_shown(one, by_predicted.get(place), "gold") for place, one in enumerate(found.predicted)],
    }


def matching(prediction: str, target: Target) -> Matching:
    """The matching of a prediction with its target; of several references the one with the highest F1."""
    found = [_matching(prediction, text) for text in references(target)]
    return max(found, key=lambda one: 2 * len(one.pairs) / max(1, len(one.gold) + len(one.predicted)))


def same_quantity(predicted: Sequence[Amount], gold: Sequence[Amount]) -> float:
    """1 where an amount of each lies within 10 % of the other's, .5 within 20 %, else 0.

    Compared in the canonical unit, the middle of the predicted range against the ends of the target's; unlike
    dimensions and different counted things (3 cloves, 3 heads) are wrong, a bare number agrees with any
    counted thing.

    >>> cup, spoons = Amount(236.6, 236.6, "ml"), Amount(221.8, 221.8, "ml")
    >>> same_quantity([spoons], [cup]), same_quantity([Amount(230, 230, "g")], [cup])
    (1.0, 0.0)
    """
    return max((_closeness(one, other) for one in predicted for other in gold), default=0.0)


@lru_cache(maxsize=1 << 14)
def _matching(prediction: str, target: str) -> Matching:
    recipe, answer = read_recipe(target), read_recipe(prediction)
    gold = tuple(parse_ingredient(line) for line in recipe.ingredients) if recipe else ()
    predicted = tuple(parse_ingredient(line) for line in answer.ingredients) if answer else ()
    pairs = tuple(_pairs(gold, predicted)) if gold and predicted else ()
    return Matching(gold, predicted, pairs, recipe is not None, answer is not None)


def _pairs(gold: Sequence[Ingredient], predicted: Sequence[Ingredient]) -> list[Pair]:
    from rapidfuzz.fuzz import token_sort_ratio
    from rapidfuzz.process import cdist
    from scipy.optimize import linear_sum_assignment

    names = [[one.name for one in side] for side in (gold, predicted)]
    similar = cdist(*names, scorer=token_sort_ratio, dtype=np.float64)
    quantity = np.array([[_quantity(other, one) for other in predicted] for one in gold], dtype=np.float64)
    # Most pairs first, then the likest names, then quantities: two lines of butter find their own amounts.
    gain = np.where(similar >= SAME_NAME, 1e6 + similar + 0.5 * np.nan_to_num(quantity), 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [
        _pair(gold, predicted, row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if similar[row, column] >= SAME_NAME
    ]


def _pair(gold: Sequence[Ingredient], predicted: Sequence[Ingredient], row: int, column: int) -> Pair:
    expected, given = gold[row].amounts, predicted[column].amounts
    closeness = same_quantity(given, expected) if expected else None
    right = closeness == 1.0 if expected else not given
    return Pair(row, column, closeness, right)


def _quantity(predicted: Ingredient, gold: Ingredient) -> float:
    if not gold.amounts:
        return float(not predicted.amounts)
    return same_quantity(predicted.amounts, gold.amounts)


def _closeness(predicted: Amount, gold: Amount) -> float:
    if predicted.unit != gold.unit or (predicted.piece and gold.piece and predicted.piece != gold.piece):
        return 0.0
    # A tenth of a number has no exact binary form: 1.1 is within 10 % of 1.
    slack = 1e-9 * gold.high
    for tolerance, value in ((RIGHT, 1.0), (NEAR, 0.5)):
        if gold.low * (1 - tolerance) - slack <= predicted.middle <= gold.high * (1 + tolerance) + slack:
            return value
    return 0.0


def _shown(ingredient: Ingredient, pair: Pair | None, other: str) -> dict[str, Any]:
    quantity = None
    if pair is not None:
        quantity = {1.0: "right", 0.5: "near", 0.0: "wrong", None: "none" if pair.right else "wrong"}[pair.closeness]
    return {
        "line": ingredient.line,
        "match": None if pair is None else getattr(pair, other),
        "quantity": quantity,
    }
