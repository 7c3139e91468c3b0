"""Scores to classes, and the predictions of a classification, in a file or in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit, softmax

from lossmith.data.criteria import criteria_of
from lossmith.errors import InputError
from lossmith.labels import Classes
from lossmith.tasks.predictions_file import table_of_rows, write_rows
from lossmith.tasks.rows import Rows

METADATA_KEY = b"lossmith"
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Scored:
    """What a model says of one row.

    `logits` (classes,) float64: those of a head (one sigmoid output z is 0 and z), or log-likelihoods of the labels'
    texts; None where the way of asking gives no score. `text` is what was generated, None for a head. `predicted`: the
    class, or for labels that do not exclude each other the labels, that the text itself says; None where score and
    threshold decide. With `error` the row failed.
    """

    row: int
    logits: np.ndarray | None = None
    text: str | None = None
    predicted: str | tuple[str, ...] | None = None
    error: str | None = None


@dataclass(frozen=True)
class Decision:
    """How logits become classes: probabilities at a temperature, then a threshold.

    `threshold` is one number; for labels that do not exclude each other also one for each. Of more than two classes
    that do, the likeliest is taken, whatever the threshold. `by_criterion` holds those of criteria that have one of
    their own; `of` a criterion decides by it.

    >>> Decision(threshold=0.9).predicted(np.array([[0.2, 0.8]]), Classes(("no", "yes"), positive="yes"))
    array([[ True, False]])
    """

    threshold: float | Mapping[str, float] = DEFAULT_THRESHOLD
    temperature: float = 1.0
    by_criterion: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError("a temperature is above 0", got=self.temperature, expected="a number above 0")

    def scores(self, logits: np.ndarray, classes: Classes) -> np.ndarray:
        """Probabilities (rows, classes) of logits of that shape."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        return np.asarray(expit(scaled) if classes.multi_label else softmax(scaled, axis=1))

    def predicted(self, scores: np.ndarray, classes: Classes) -> np.ndarray:
        """(rows, classes) bool: which classes or labels each row is given; one of classes that exclude each other."""
        if classes.multi_label:
            return np.asarray(scores >= np.array([self.threshold_of(name) for name in classes.names]))
        if classes.positive is not None and len(classes) == 2:
            positive = classes.index(classes.positive)
            chosen = np.where(scores[:, positive] >= self.threshold_of(classes.positive), positive, 1 - positive)
        else:
            chosen = scores.argmax(axis=1)
        return np.asarray(np.arange(len(classes)) == chosen[:, None])

    def threshold_of(self, name: str) -> float:
        """The score from which a class or label is predicted."""
        return float(self.threshold[name] if isinstance(self.threshold, Mapping) else self.threshold)

    def of(self, criterion: str | None) -> Decision:
        """What decides on records of a criterion; of one without a threshold of its own, what decides on all.

        >>> Decision(0.5, by_criterion={"price": 0.2}).of("price")
        Decision(threshold=0.2, temperature=1.0, by_criterion={})
        """
        own = None if criterion is None else self.by_criterion.get(criterion)
        return replace(self, threshold=self.threshold if own is None else own, by_criterion={})

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the manifest, the model's facts and the predictions file."""
        own = dict(self.threshold) if isinstance(self.threshold, Mapping) else self.threshold
        apart = {"by_criterion": dict(self.by_criterion)} if self.by_criterion else {}
        return {"threshold": own, "temperature": self.temperature, **apart}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Decision:
        """What `as_json` wrote.

        >>> Decision.from_json(Decision({"a": 0.2}, 1.5).as_json())
        Decision(threshold={'a': 0.2}, temperature=1.5, by_criterion={})
        """
        return cls(values["threshold"], values["temperature"], values.get("by_criterion", {}))


def write_classified(
    rows: Rows, scored: Iterator[Scored], path: Path, classes: Classes, decision: Decision
) -> tuple[int, int]:
    """Write the predictions file of a classification; returns rows and failures.

    Beside the columns of every predictions file: `label` and `predicted`, names of classes (of several labels joined by
    ", "), `score.<class>`, and for labels that do not exclude each other `label.<class>` and `predicted.<class>`, 0 or
    1. What failed has no prediction and no score. The metadata keep classes, threshold and temperature (METADATA_KEY).
    """
    return write_rows(rows, _told(rows, scored, classes, decision), path, made=schema_of(classes, decision))


def classified_table(rows: Rows, scored: Iterator[Scored], classes: Classes, decision: Decision) -> pa.Table:
    """The same in memory, for metrics measured while training."""
    return table_of_rows(rows, _told(rows, scored, classes, decision), made=schema_of(classes, decision))


def schema_of(classes: Classes, decision: Decision) -> pa.Schema:
    """The columns that a model adds to its records, and what is known of them all."""
    fields = [("prediction", pa.string()), ("error", pa.string()), ("label", pa.string()), ("predicted", pa.string())]
    if classes.multi_label:
        fields += [(f"{what}.{name}", pa.int8()) for what in ("label", "predicted") for name in classes.names]
    fields += [(column, pa.float64()) for column in classes.score_columns]
    known = {"classes": classes.as_json(), **decision.as_json()}
    return pa.schema(fields, metadata={METADATA_KEY: json.dumps(known, ensure_ascii=False).encode()})


def _told(rows: Rows, scored: Iterator[Scored], classes: Classes, decision: Decision) -> Iterator[dict[str, Any]]:
    labels = rows.table.column("label")
    criteria = criteria_of(rows.table)
    return (told_of(one, labels[one.row].as_py(), classes, decision.of(criteria[one.row])) for one in scored)


def told_of(one: Scored, label: str | Sequence[int], classes: Classes, decision: Decision) -> dict[str, Any]:
    """The columns of `schema_of` for a row, given what a model says of it and the row's own label."""
    told: dict[str, Any] = {"error": one.error, "label": _joined(label, classes)}
    told |= dict.fromkeys(classes.score_columns)
    chosen: Sequence[bool] | None = None
    if one.error is None and one.logits is not None:
        scores = decision.scores(one.logits[None], classes)
        told |= zip(classes.score_columns, scores[0].tolist(), strict=True)
        chosen = decision.predicted(scores, classes)[0].tolist()
    if one.error is None and one.predicted is not None:
        said = one.predicted if isinstance(one.predicted, tuple) else (one.predicted,)
        chosen = [name in said for name in classes.names]
    told["predicted"] = None if chosen is None else _joined(chosen, classes)
    told["prediction"] = one.text if one.text is not None else told["predicted"]
    if classes.multi_label:
        told |= {f"label.{name}": label[at] for at, name in enumerate(classes.names)}
        found = [None] * len(classes) if chosen is None else [int(each) for each in chosen]
        told |= {f"predicted.{name}": each for name, each in zip(classes.names, found, strict=True)}
    return told


def _joined(label: str | Sequence[int] | Sequence[bool], classes: Classes) -> str:
    """The name of a class, or those of the labels that are true."""
    if isinstance(label, str):
        return label
    return ", ".join(name for name, true in zip(classes.names, label, strict=True) if true)
