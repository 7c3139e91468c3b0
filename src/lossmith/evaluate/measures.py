"""A metric by name, of the table or of the user's own, and its figure: value, interval, n, reason."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lossmith.errors import InputError, LossmithError
from lossmith.evaluate.predictions import Predictions
from lossmith.labels import Classes
from lossmith.metrics.intervals import RESAMPLES, interval
from lossmith.metrics.scores import MEAN, AnyScores, Ratio, Scores, whole, without_value
from lossmith.names import METRICS, MetricRow, find_metric, load_attribute

DIRECTIONS = ("up", "down", "one")


@dataclass(frozen=True)
class Measure:
    """A metric ready to score predictions; `undefined` is the reason where its value is null.

    `reads` is what of them: texts, the outcomes of a classification, or (a metric of the user's own) the table.
    `across` groups: it compares them, and what it reads is not one of them alone.
    """

    name: str
    direction: str
    undefined: str
    score: Callable[[Predictions], AnyScores]
    proportion: bool = False
    reads: Literal["texts", "outcomes", "table"] = "texts"
    across: bool = False


@dataclass(frozen=True)
class Resampling:
    """How intervals are found: resamples and seed."""

    resamples: int = RESAMPLES
    seed: int = 0


def find_measure(name: str) -> Measure:
    """The metric of that name: a row of METRICS, one class of it as `f1.CLASS`, or `module:attribute`.

    Raises InputError with the nearest name where there is none.

    >>> find_measure("rouge1").direction
    'up'
    """
    return _own(name) if ":" in name else _of_row(find_metric(name, where="evaluate.metrics"))


def find_measures(names: Sequence[str], classes: Classes | None = None) -> dict[str, Measure]:
    """Measures by name, each once, in the order given.

    Where `classes` have no positive one, a metric of one class is followed by itself for each class.

    >>> list(find_measures(["fpr", "mcc"], Classes(("a", "b", "c"))))
    ['fpr', 'fpr.a', 'fpr.b', 'fpr.c', 'mcc']
    """
    every: list[str] = []
    for name in names:
        every.append(name)
        row = METRICS.get(name)
        if row is not None and row.reads == "class" and classes is not None and classes.positive is None:
            every.extend(f"{name}.{one}" for one in classes.names)
    return {name: find_measure(name) for name in every}


def figure(
    measure: Measure, scores: AnyScores, clusters: Sequence[Hashable] | None, *, how: Resampling
) -> dict[str, Any]:
    """The metric as metrics.json holds it; of a proportion with the number of its trials."""
    value = scores.value()
    found = interval(
        scores,
        clusters=clusters,
        proportion=measure.proportion,
        resamples=how.resamples,
        seed=how.seed,
    )
    entry: dict[str, Any] = {
        "value": value,
        "low": found.low,
        "high": found.high,
        "n": scores.n,
        "direction": measure.direction,
        "reason": (scores.undefined or measure.undefined) if value is None else found.reason,
        "interval": found.method,
        "resamples": found.resamples,
        "undefined_resamples": found.undefined,
    }
    if measure.proportion and isinstance(scores, Scores) and isinstance(scores.reduce, Ratio):
        entry["trials"] = int(scores.reduce.parts(scores.stats.sum(axis=0))[1])
    if scores.signature:
        entry["signature"] = scores.signature
    notes = [*scores.notes, *([found.note] if found.note else [])]
    if notes:
        entry["notes"] = notes
    return entry


def values_of(measures: Mapping[str, Measure], predictions: Predictions) -> dict[str, float]:
    """The values alone, those that are undefined left out: for evaluations in the middle of training."""
    found = {name: measure.score(predictions).value() for name, measure in measures.items()}
    return {name: value for name, value in found.items() if value is not None}


def _of_row(row: MetricRow) -> Measure:
    score = _of_columns(row) if row.reads == "texts" else _of_outcomes(row)
    return Measure(
        row.name,
        row.direction,
        row.undefined,
        score,
        proportion=row.interval == "wilson",
        reads="texts" if row.reads == "texts" else "outcomes",
        across="group" in row.columns,
    )


def _of_columns(row: MetricRow) -> Callable[[Predictions], AnyScores]:
    function: Callable[..., AnyScores] = row.load()

    def score(predictions: Predictions) -> AnyScores:
        return function(*(predictions.column(name) for name in row.columns))

    return score


def _of_outcomes(row: MetricRow) -> Callable[[Predictions], AnyScores]:
    function: Callable[..., AnyScores] = row.load()
    own = row.name.partition(".")[2]
    whole_row: Callable[..., AnyScores] | None = METRICS[row.macro].load() if row.macro else None

    def score(predictions: Predictions) -> AnyScores:
        outcomes = predictions.outcomes
        if row.reads == "classes":
            return function(outcomes)
        name = own or outcomes.classes.positive
        if row.reads == "group":
            return without_value(f"it is a figure of each group, see there; worst_group_{row.name}", len(outcomes))
        if name is not None:
            return function(outcomes.against_rest(name))
        if whole_row is not None:
            return whole_row(outcomes)
        return without_value(f"there is no one positive class: see {row.name}.CLASS for each", len(outcomes))

    return score


def _own(name: str) -> Measure:
    function = load_attribute(name, what="metric")
    direction = getattr(function, "direction", None)
    if direction not in DIRECTIONS:
        raise InputError(
            f"the metric '{name}' does not say which way is better",
            got=f"direction = {direction!r}",
            expected=" or ".join(repr(word) for word in DIRECTIONS),
            fix=f'write {name.rpartition(":")[2]}.direction = "up" below the function',
        )

    def score(predictions: Predictions) -> Scores:
        try:
            result = function(predictions.table)
        except LossmithError:
            raise
        except Exception as error:
            raise InputError(
                f"the metric '{name}' failed on {predictions.where}: {type(error).__name__}: {error}",
                got="a table with the columns " + ", ".join(predictions.table.column_names),
                fix="try the function alone on pyarrow.parquet.read_table(...) of this file",
            ) from error
        return _own_scores(name, result, len(predictions))

    return Measure(name, direction, "the metric gives no number for these records", score, reads="table")


def _own_scores(name: str, result: Any, records: int) -> Scores:
    """Scores of (sum, count), as arrays over records or as numbers, or of one number."""
    try:
        if not isinstance(result, tuple):
            return whole(float(result), records)
        total, count = (np.asarray(part, dtype=np.float64) for part in result)
    except (TypeError, ValueError):
        total = count = np.zeros(0)
        records = -1
    if total.ndim == count.ndim == 0 and records >= 0:
        return whole(float(total / count) if count > 0 else float("nan"), records)
    if total.shape != (records,) or count.shape != (records,):
        raise InputError(
            f"the metric '{name}' returned what is no metric",
            got=f"{type(result).__name__} {str(result)[:80]}",
            expected="(sums, counts) with one entry a record, (sum, count), or a number",
        )
    if not (np.isfinite(total).all() and np.isfinite(count).all() and (count >= 0).all()):
        raise InputError(
            f"the metric '{name}' returned sums or counts that are not finite, or counts below 0",
            got=str(result)[:80],
            expected="finite sums, counts from 0; count 0 leaves a record out of the mean",
        )
    return Scores(np.stack([total, count], axis=1), MEAN)
