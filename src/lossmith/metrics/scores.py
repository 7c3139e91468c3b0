"""What a metric returns: one row of additive statistics per record, and how their sums become the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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
        bottom = np.asarray(sums @ np.asarray(self.bottom, dtype=np.float64))
        defined = bottom > 0
        for column in self.positive:
            defined = defined & (sums[..., column] > 0)
        top = np.asarray(sums @ np.asarray(self.top, dtype=np.float64))
        return np.where(defined, top / np.where(defined, bottom, 1.0), np.nan)


MEAN = Ratio(top=(1.0, 0.0), bottom=(0.0, 1.0))


@dataclass(frozen=True)
class Scores:
    """Statistics of every record (records, k), float64, and the function from their sums to the value.

    `reduce` takes sums (..., k) and returns values (...,), nan where undefined. `parts` says what a record's
    row is: `sums` (the sums over any records give the value of just these records), `shares` (the record's
    share of the whole: resampled as it is, but a part of the records must be scored anew), `none` (one number
    for all, never resampled).
    """

    stats: np.ndarray
    reduce: Callable[[np.ndarray], np.ndarray]
    parts: Literal["sums", "shares", "none"] = "sums"
    signature: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.stats)

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
        return Scores(self.stats[rows], self.reduce, self.parts, self.signature, self.notes)


def mean_of(values: Sequence[float] | np.ndarray, **facts: Any) -> Scores:
    """Scores whose value is the mean of one number per record."""
    column = np.asarray(values, dtype=np.float64)
    return Scores(np.stack([column, np.ones_like(column)], axis=1), MEAN, **facts)


def whole(value: float, records: int) -> Scores:
    """Scores of a metric that gives one number for all records together."""
    return Scores(np.zeros((records, 1)), lambda sums: np.full(sums.shape[:-1], value), parts="none")


def number_or_none(value: Any) -> float | None:
    """A finite float, or None for nan and None.

    Raises ValueError for an infinite value: no metric has one.
    """
    number = float("nan") if value is None else float(value)
    if np.isinf(number):
        raise ValueError(f"a metric's value is finite or undefined, not {number}")
    return None if np.isnan(number) else number
