"""How varied predictions are, without looking at targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lossmith.metrics.answers import Prediction, failed
from lossmith.metrics.scores import MEAN, Scores, mean_of


def distinct_1(predictions: Sequence[Prediction]) -> Scores:
    """Different words over words, all predictions together (Li 2016); 0 to 1, up.

    It falls as predictions grow in number or length: compare it on the same records alone. A word that stands
    in d predictions is shared out, 1/d to each, so that the value is a sum over records; intervals hold these
    shares fixed. An empty prediction counts as one word that is not new. Words are white-space words, case
    folded.

    >>> distinct_1(["stir the soup", "stir the sauce"]).value()
    0.6666666666666666
    """
    return _distinct(predictions, 1)


def distinct_2(predictions: Sequence[Prediction]) -> Scores:
    """Different pairs of neighbouring words over such pairs; otherwise as `distinct_1`.

    >>> distinct_2(["stir the soup", "stir the sauce"]).value()
    0.75
    """
    return _distinct(predictions, 2)


def repetition(predictions: Sequence[Prediction]) -> Scores:
    """Mean share of a prediction's word 4-grams that repeat an earlier one of the same text; 0 to 1, down.

    1 - different / all 4-grams (seq-rep-4 of Welleck 2020). A text under 5 words repeats nothing; an empty
    prediction is a failed one and has 1, the worst.

    >>> repetition(["and stir and stir and stir and stir"]).value()
    0.6
    """
    return mean_of([1.0 if failed(prediction) else _repeated(prediction or "") for prediction in predictions])


def _repeated(text: str) -> float:
    grams = _grams(text, 4)
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def _distinct(predictions: Sequence[Prediction], size: int) -> Scores:
    texts = [_grams(prediction or "", size) for prediction in predictions]
    holders = Counter(gram for grams in texts for gram in set(grams))
    rows = [
        (sum(1.0 / holders[gram] for gram in sorted(set(grams))), len(grams) or float(failed(prediction)))
        for grams, prediction in zip(texts, predictions, strict=True)
    ]
    return Scores(np.asarray(rows, dtype=np.float64).reshape(-1, 2), MEAN, parts="shares")


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    words = text.casefold().split()
    return list(zip(*(words[start:] for start in range(size)), strict=False))
