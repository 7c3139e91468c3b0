"""A prediction against its target as strings: equality, edit distance, length."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from lossmith.metrics.answers import Prediction, Target, failed, paired
from lossmith.metrics.scores import MEAN, Scores, mean_of


def exact_match(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Share of predictions equal to the target (any of several), white space collapsed, case kept; 0 to 1,
    up.

    An empty prediction is wrong whatever its target.

    >>> exact_match(["two  eggs", "Salt"], ["two eggs", "salt"]).value()
    0.5
    """
    return mean_of(
        [
            not failed(prediction) and _collapsed(prediction) in {_collapsed(text) for text in texts}
            for prediction, texts in paired(predictions, targets)
        ]
    )


def edit_distance(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Mean Levenshtein distance of characters over the length of the longer text; 0 to 1, down.

    Blanks around a text don't count. The nearest of several references counts; an empty prediction is at
    distance 1.

    >>> edit_distance(["flour"], ["floor"]).value()
    0.2
    """
    return _distance(predictions, targets, str.strip)


def word_edit_distance(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Mean Levenshtein distance of white-space words over the number of words of the longer text; 0 to 1,
    down.

    >>> word_edit_distance(["stir the soup slowly"], ["stir the soup"]).value()
    0.25
    """
    return _distance(predictions, targets, str.split)


def length_ratio(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """White-space words predicted per word of the target, over all records; from 0, best at 1.

    Of several references the one nearest in length counts. Undefined where no target holds a word.

    >>> length_ratio(["salt", "two eggs"], ["sea salt", "two eggs"]).value()
    0.75
    """
    rows = []
    for prediction, texts in paired(predictions, targets):
        said = len(prediction.split())
        rows.append((said, min((len(text.split()) for text in texts), key=lambda n: (abs(n - said), n))))
    return Scores(np.asarray(rows, dtype=np.float64).reshape(-1, 2), MEAN)


def _distance(
    predictions: Sequence[Prediction], targets: Sequence[Target], units: Callable[[str], Sequence[Hashable]]
) -> Scores:
    from rapidfuzz.distance import Levenshtein

    return mean_of(
        [
            1.0
            if failed(prediction)
            else min(Levenshtein.normalized_distance(units(prediction), units(text)) for text in texts)
            for prediction, texts in paired(predictions, targets)
        ]
    )


def _collapsed(text: str) -> str:
    return " ".join(text.split())
