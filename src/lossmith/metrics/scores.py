"""What a metric returns: one row of statistics per record, and how they become the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np


@dataclass(frozen=True)
class Ratio:
    """A weighted sum of statistics over another: top.s / bottom.s, nan where it is undefined.

    Undefined where the bottom is 0, or where one of the statistics named in `positive` (by column) sums to 0.

    >>> float(Ratio(top=(2, 0, 0), bottom=(0, 1, 1))(np.array([3.0, 4.0, 8.0])))
    0.5
    """

    top: tuple[float, ...]
    bottom: tuple[float, ...]
    positive: tuple[int, ...] = ()

    def __call__(self, sums: np.ndarray) -> np.ndarray:
        """Values (...,) of sums (..., k)."""
        top, bottom = self.parts(sums)
        defined = bottom > 0
        for column in self.positive:
            defined = defined & (sums[..., column] > 0)
        return np.where(defined, top / np.where(defined, bottom, 1.0), np.nan)

    def parts(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Top and bottom (...,) of sums (..., k): of a proportion the successes and the trials."""
        return (
            np.asarray(sums @ np.asarray(self.top, dtype=np.float64)),
            np.asarray(sums @ np.asarray(self.bottom, dtype=np.float64)),
        )


MEAN = Ratio(top=(1.0, 0.0), bottom=(0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said beside a value.

    `scored` (records,) marks the records that the value is about, where these are not all: its n counts them.
    `undefined` says why there is no value, where more is known than the metric's row says.
    """

    signature: str | None = None
    notes: tuple[str, ...] = ()
    scored: np.ndarray | None = None
    undefined: str | None = None


@dataclass(frozen=True)
class Scores(Told):
    """Statistics of every record (records, k), float64, and the function from their sums to the value.

    `reduce` takes sums (..., k) and returns values (...,), nan where undefined. `parts` says what a record's
    row is: `sums` (the sums over any records give the value of just these records), `shares` (the record's
    share of the whole: resampled as it is, but a part of the records must be scored anew), `none` (one number
    for all, never resampled).
    """

    stats: np.ndarray
    reduce: Callable[[np.ndarray], np.ndarray]
    parts: Literal["sums", "shares", "none"] = "sums"

    def __len__(self) -> int:
        return len(self.stats)

    @property
    def n(self) -> int:
        """Records that the value is about."""
        return len(self) if self.scored is None else int(self.scored.sum())

    def value(self) -> float | None:
        """The value over all records; None where it is undefined.

        >>> mean_of([1.0, 0.0, 1.0, 1.0]).value()
        0.75
        >>> mean_of([]).value() is None
        True
        """
        return number_or_none(self.reduce(self.stats.sum(axis=0)))

    def of(self, rows: np.ndarray) -> Scores:
        """The scores of some records, by index or mask; only where a record's row is a sum."""
        if self.parts != "sums":
            raise ValueError(f"a part of the records must be scored anew where parts is {self.parts!r}, not 'sums'")
        scored = None if self.scored is None else self.scored[rows]
        return replace(self, stats=self.stats[rows], scored=scored)


@dataclass(frozen=True)
class Ranked(Told):
    """Columns of every record (records, k), float64, and the value as a function of how often each record counts.

    For metrics that depend on the order of all records, which no sum of statistics gives. `weigh` takes the columns
    and weights (resamples, records) and returns values (resamples,), nan where undefined; a record of weight w counts
    as w records with its columns.
    """

    columns: np.ndarray
    weigh: Callable[[np.ndarray, np.ndarray], np.ndarray]
    parts: Literal["weights"] = "weights"

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def n(self) -> int:
        """Records that the value is about."""
        return len(self) if self.scored is None else int(self.scored.sum())

    def value(self) -> float | None:
        """The value over all records; None where it is undefined."""
        return number_or_none(self.weigh(self.columns, np.ones((1, len(self))))[0])


AnyScores: TypeAlias = Scores | Ranked


def mean_of(values: Sequence[float] | np.ndarray, **facts: Any) -> Scores:
    """Scores whose value is the mean of one number per record; nan leaves a record out, and n says so."""
    column = np.asarray(values, dtype=np.float64)
    missing = np.isnan(column)
    if missing.any():
        return Scores(np.stack([np.where(missing, 0.0, column), ~missing], axis=1), MEAN, scored=~missing, **facts)
    return Scores(np.stack([column, np.ones_like(column)], axis=1), MEAN, **facts)


def whole(value: float, records: int) -> Scores:
    """Scores of a metric that gives one number for all records together."""
    return Scores(np.zeros((records, 1)), lambda sums: np.full(sums.shape[:-1], value), parts="none")


def without_value(reason: str, records: int) -> Scores:
    """Scores of a metric that has no value for these records, and why."""
    return replace(whole(float("nan"), records), undefined=reason)


def number_or_none(value: Any) -> float | None:
    """A finite float, or None for nan and None.

    Raises ValueError for an infinite value: no metric has one.
    """
    number = float("nan") if value is None else float(value)
    if np.isinf(number):
        raise ValueError(f"a metric's value is finite or undefined, not {number}")
    return None if np.isnan(number) else number
