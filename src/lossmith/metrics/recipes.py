"""How well a predicted recipe names the target's ingredients and quantities.

A recipe is read as `recipe_text.read_recipe` says. A prediction that does not read as one predicts no
ingredient, and its target's count as missed. Counts are summed over records before dividing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lossmith.metrics.answers import Prediction, Target, failed
from lossmith.metrics.ingredient_matching import matching
from lossmith.metrics.recipe_text import read_recipe
from lossmith.metrics.scores import Ratio, Scores, mean_of

# Statistics of a record.
_COLUMNS = ("matched", "right", "predicted", "gold", "quantities", "accurate", "score")
_GOLD = _COLUMNS.index("gold")


def recipe_valid(predictions: Sequence[Prediction]) -> Scores:
    """Share of predictions that read as a recipe with at least one ingredient and one instruction; 0 to 1,
    up.

    >>> recipe_valid(['{"ingredients": ["2 eggs"], "instructions": ["Boil."]}', "Boil two eggs."]).value()
    0.5
    """
    return mean_of([not failed(prediction) and _is_whole(prediction or "") for prediction in predictions])


def ingredient_precision(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Share of the predicted ingredients that the target names; 0 to 1, up.

    Names are normalised (case, accents, plural, sizes, preparation) and matched one to one by the Hungarian
    method; a pair counts from a rapidfuzz token_sort_ratio of 85. Undefined where nothing is predicted, or no
    target is a recipe.

    >>> ingredient_precision(["Ingredients:\\n2 Eggs\\nsalt"], ["Ingredients:\\n1 egg\\nflour"]).value()
    0.5
    """
    return _ratio(predictions, targets, top={"matched": 1}, bottom={"predicted": 1})


def ingredient_recall(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Share of the target's ingredients that the prediction names; otherwise as `ingredient_precision`.

    >>> ingredient_recall(["Ingredients:\\n2 Eggs\\nsalt"], ["Ingredients:\\n1 egg\\nflour"]).value()
    0.5
    """
    return _ratio(predictions, targets, top={"matched": 1}, bottom={"gold": 1})


def ingredient_f1(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Twice the matched over predicted and gold ingredients; 0 to 1, up; otherwise as `ingredient_precision`.

    >>> ingredient_f1(["Ingredients:\\n2 Eggs\\nsalt"], ["Ingredients:\\n1 egg\\nflour"]).value()
    0.5
    """
    return _ratio(predictions, targets, top={"matched": 2}, bottom={"predicted": 1, "gold": 1})


def ingredient_line_f1(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """As `ingredient_f1`, a pair counting only where its quantity is right too: within 10 % in a like unit.

    Where the target gives no quantity, the prediction must give none.

    >>> ingredient_line_f1(["Ingredients:\\n2 Eggs\\nsalt"], ["Ingredients:\\n1 egg\\nsalt"]).value()
    0.5
    """
    return _ratio(predictions, targets, top={"right": 2}, bottom={"predicted": 1, "gold": 1})


def quantity_accuracy(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Share of matched ingredients whose quantity lies within 10 % of the target's after conversion; 0 to 1,
    up.

    Over matched pairs whose target gives a quantity; a missing quantity and an unlike dimension are wrong.
    Undefined where there is no such pair. It is blind to ingredients left out: read it beside
    `ingredient_recall`.

    >>> quantity_accuracy(["Ingredients:\\n1 cup milk"], ["Ingredients:\\n240 ml milk"]).value()
    1.0
    """
    return _ratio(predictions, targets, top={"accurate": 1}, bottom={"quantities": 1})


def quantity_score(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """As `quantity_accuracy`, a quantity within 10 % counting 1 and one within 20 % counting .5.

    >>> quantity_score(["Ingredients:\\n115 g flour"], ["Ingredients:\\n100 g flour"]).value()
    0.5
    """
    return _ratio(predictions, targets, top={"score": 1}, bottom={"quantities": 1})


def _ratio(
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
    *,
    top: dict[str, float],
    bottom: dict[str, float],
) -> Scores:
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets")
    found = [matching(prediction or "", target) for prediction, target in zip(predictions, targets, strict=True)]
    rows = [
        (
            len(one.pairs),
            sum(pair.right for pair in one.pairs),
            len(one.predicted),
            len(one.gold),
            sum(pair.closeness is not None for pair in one.pairs),
            sum(pair.closeness == 1.0 for pair in one.pairs),
            sum(pair.closeness or 0.0 for pair in one.pairs),
        )
        for one in found
    ]
    notes = (
        _note(sum(not one.prediction_read for one in found), len(found), "predictions"),
        _note(sum(not one.gold_read for one in found), len(found), "targets"),
    )
    return Scores(
        np.asarray(rows, dtype=np.float64).reshape(-1, len(_COLUMNS)),
        Ratio(_weights(top), _weights(bottom), positive=(_GOLD,)),
        notes=tuple(note for note in notes if note),
    )


def _weights(named: dict[str, float]) -> tuple[float, ...]:
    return tuple(float(named.get(column, 0.0)) for column in _COLUMNS)


def _note(unread: int, of: int, what: str) -> str:
    return f"{unread} of {of} {what} do not read as a recipe" if unread else ""


def _is_whole(text: str) -> bool:
    recipe = read_recipe(text)
    return recipe is not None and bool(recipe.ingredients and recipe.instructions)
