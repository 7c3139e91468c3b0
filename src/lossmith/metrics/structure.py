"""Answers in JSON: whether they read, whether they keep to their schema, and how many of their fields are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossmith.answer_schema import parse_answer, parse_json
from lossmith.errors import InputError
from lossmith.metrics.answers import Prediction, Target, failed, paired
from lossmith.metrics.scores import MEAN, Scores, mean_of

_REASONS = 3  # that notes tell


def json_valid(predictions: Sequence[Prediction]) -> Scores:
    """Share of predictions that are one JSON value and nothing else, no key twice, no NaN; 0 to 1, up.

    >>> json_valid(['{"n": 1}', '{"n": 1', 'Here it is: {"n": 1}']).value()
    0.3333333333333333
    """
    return mean_of([not failed(one) and _reads(str(one)) for one in predictions])


def schema_valid(predictions: Sequence[Prediction], schemas: Sequence[Mapping[str, Any]]) -> Scores:
    """Share of predictions that keep to their JSON schema; 0 to 1, up. Its notes tell what the others break most.

    >>> schema_valid(['{"n": 1}', '{"n": "1"}'], [{"properties": {"n": {"type": "integer"}}}] * 2).value()
    0.5
    """
    broken = [_broken(one, schema) for one, schema in zip(predictions, schemas, strict=True)]
    reasons = Counter(reason for reason in broken if reason is not None).most_common(_REASONS)
    notes = tuple(f"{times} of {len(broken)} break the schema: {reason}" for reason, times in reasons)
    return replace(mean_of([reason is None for reason in broken]), notes=notes)


def _broken(prediction: Prediction, schema: Mapping[str, Any]) -> str | None:
    if failed(prediction):
        return "there is no answer"
    try:
        parse_answer(str(prediction), schema)
    except InputError as error:
        return error.message.removeprefix("unparsable answer: ")
    return None


def field_f1(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Mean over records of the F1 of fields, a field being a path through the object and the value at its end; 0 to 1,
    up.

    Places in a list are no part of a path, so the order of its items does not count; what stands twice counts twice.
    Texts are equal up to white space, numbers by value. A prediction that is no JSON has no field. The nearest of
    several references counts. Undefined where no target is JSON.

    >>> field_f1(['{"dish": "soup", "eggs": 3}'], ['{"dish": "soup", "eggs": 2}']).value()
    0.5
    """
    values, counted = [], []
    for prediction, texts in paired(predictions, targets):
        golds = [found for text in texts if (found := _fields(text)) is not None]
        said = _fields(prediction) or Counter()
        values.append(max((_f1(said, gold) for gold in golds), default=0.0))
        counted.append(bool(golds))
    scored = np.array(counted, dtype=bool)
    stats = np.stack([np.array(values) * scored, scored.astype(np.float64)], axis=1) if values else np.zeros((0, 2))
    return Scores(stats, MEAN, scored=scored)


def _f1(said: Counter[Any], gold: Counter[Any]) -> float:
    both = sum((said & gold).values())
    every = sum(said.values()) + sum(gold.values())
    return 2 * both / every if every else 1.0


def _fields(text: str) -> Counter[Any] | None:
    """The fields of a JSON text, None where it is none."""
    try:
        return Counter(_leaves(parse_json(text), ()))
    except InputError:
        return None


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _leaves(inner, (*path, "[]"))
    else:
        yield path, _plain(value)


def _plain(value: Any) -> Any:
    """What two values are compared by: true is not 1 here, and 2.0 is 2."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return type(value).__name__, str(value)


def _reads(text: str) -> bool:
    try:
        parse_json(text)
    except InputError:
        return False
    return True
