"""Predictions and targets as every text metric reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Prediction: TypeAlias = str | None
Target: TypeAlias = str | Sequence[str]


def failed(prediction: Prediction) -> bool:
    """Whether a record has no answer: None (the row holds an error) or nothing but white space.

    >>> failed(None), failed(" "), failed("salt")
    (True, True, False)
    """
    return prediction is None or not prediction.strip()


def references(target: Target) -> list[str]:
    """The texts that a prediction may equal, one or several.

    >>> references("salt"), references(["salt", "sea salt"])
    (['salt'], ['salt', 'sea salt'])
    """
    texts = [target] if isinstance(target, str) else list(target)
    if not texts:
        raise ValueError("a target needs at least one text")
    return texts


def paired(predictions: Sequence[Prediction], targets: Sequence[Target]) -> list[tuple[str, list[str]]]:
    """Each prediction ("" where it failed) beside its references."""
    if len(predictions) != len(targets):
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets")
    return [(prediction or "", references(target)) for prediction, target in zip(predictions, targets, strict=True)]
