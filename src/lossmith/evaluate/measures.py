"""A metric by name, of the table or of the user's own, and its figure: value, interval, n, reason."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmith.errors import InputError, LossmithError
from lossmith.evaluate.predictions import Predictions
from lossmith.metrics.intervals import RESAMPLES, interval
from lossmith.metrics.scores import MEAN, Scores, whole
from lossmith.names import MetricRow, find_metric, load_attribute

DIRECTIONS = ("up", "down", "one")


@dataclass(frozen=True)
class Measure:
    """A metric ready to score predictions; `undefined` is the reason where its value is null."""

    name: str
    direction: str
    undefined: str
    score: Callable[[Predictions], Scores]
    proportion: bool = False
    reads_predictions: bool = True


@dataclass(frozen=True)
class Resampling:
    """How intervals are found: resamples and seed."""

    resamples: int = RESAMPLES
    seed: int = 0


def find_measure(name: str) -> Measure:
    """The metric of that name: a row of METRICS, or `module:attribute`.

    Raises InputError with the nearest name where there is none.

    >>> find_measure("rouge1").direction
    'up'
    """
    return _own(name) if ":" in name else _of_row(find_metric(name, where="evaluate.metrics"))


def find_measures(names: Sequence[str]) -> dict[str, Measure]:
    """Measures by name, each once, in the order given."""
    return {name: find_measure(name) for name in names}


def figure(measure: Measure, scores: Scores, clusters: Sequence[Hashable] | None, *, how: Resampling) -> dict[str, Any]:
    """The metric as metrics.json holds it."""
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
        "n": len(scores),
        "direction": measure.direction,
        "reason": measure.undefined if value is None else found.reason,
        "interval": found.method,
        "resamples": found.resamples,
        "undefined_resamples": found.undefined,
    }
    if scores.signature:
        entry["signature"] = scores.signature
    notes = [*scores.notes, *([found.note] if found.note else [])]
    if notes:
        entry["notes"] = notes
    return entry


def _of_row(row: MetricRow) -> Measure:
    function = row.load()

    def score(predictions: Predictions) -> Scores:
        scores: Scores = function(*(predictions.column(name) for name in row.columns))
        return scores

    return Measure(
        row.name,
        row.direction,
        row.undefined,
        score,
        proportion=row.interval == "wilson",
        reads_predictions="prediction" in row.columns,
    )


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

    return Measure(name, direction, "the metric gives no number for these records", score)


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
