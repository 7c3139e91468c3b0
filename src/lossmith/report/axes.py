"""Round ticks for an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lossmith.report.figures import short


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with its ticks; `at` gives positions as a share of its length.

    A `log` axis has equal lengths for equal ratios, and ends above 0.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high end.

        >>> Axis(0.0, 4.0, (0.0, 4.0)).at(1.0)
        0.25
        >>> Axis(1.0, 100.0, (1.0, 10.0, 100.0), log=True).at(10.0)
        0.5
        """
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def labels(self) -> list[str]:
        """The ticks as text."""
        return [_tick(tick) for tick in self.ticks]


def round_axis(
    values: Iterable[float],
    *,
    ticks: int = 6,
    floor: float = -math.inf,
    ceiling: float = math.inf,
    from_zero: bool = True,
) -> Axis:
    """An axis that holds all values between round ends, about `ticks` ticks, never past `floor` and `ceiling`.

    It starts at 0 where that costs less than two thirds of its length, unless `from_zero` says no.

    >>> round_axis([0.31, 0.46]).ticks
    (0.3, 0.35, 0.4, 0.45, 0.5)
    >>> round_axis([1.0, 9.3], floor=0.0).ticks
    (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    """
    held = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(held), max(held)
    if from_zero and 0 < low < 2 / 3 * high:
        low = 0.0
    if high - low <= 1e-9 * max(abs(high), abs(low), 1e-290):
        pad = abs(high) * 0.1 or 1.0
        low, high = low - pad, high + pad
    low, high = max(low, floor), min(high, ceiling)
    if high <= low:
        low, high = min(held) - 0.5, max(held) + 0.5
    step = _round_step((high - low) / max(1, ticks - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(float(f"{index * step:.14g}") for index in range(first, last + 1))
    inside = tuple(mark for mark in marks if floor <= mark <= ceiling)
    return Axis(max(marks[0], floor), min(marks[-1], ceiling), inside)


def log_axis(values: Iterable[float]) -> Axis | None:
    """A log axis between round ends, with ticks as fine as its decades leave room for.

    None where a value is 0 or less, or all lie within a factor of 5: a linear axis tells as much then.

    >>> log_axis([0.09, 0.3, 6.8]).ticks
    (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    >>> log_axis([0.0, 6.8]) is None, log_axis([2.0, 6.8]) is None
    (True, True)
    """
    held = [value for value in values if math.isfinite(value)]
    if not held or min(held) <= 0 or max(held) <= 5 * min(held):
        return None
    low, high = min(held), max(held)
    decades = math.log10(high) - math.log10(low)
    factors = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades < 1.5 else (1.0, 2.0, 5.0) if decades < 3 else (1.0,)
    every = max(1, math.ceil(decades / 8))
    first, last = math.floor(math.log10(low) / every) * every, math.ceil(math.log10(high) / every) * every
    marks = [
        float(f"{factor}e{power}") for power in range(first - every, last + every + 1, every) for factor in factors
    ]
    start = max(index for index, mark in enumerate(marks) if mark <= low)
    end = min(index for index, mark in enumerate(marks) if mark >= high)
    return Axis(marks[start], marks[end], tuple(marks[start : end + 1]), log=True)


def steps_axis(steps: Sequence[float], *, ticks: int = 6) -> Axis:
    """An axis of steps: it ends where the data ends, with whole ticks.

    >>> steps_axis([1, 600]).ticks
    (0.0, 200.0, 400.0, 600.0)
    """
    high = max(steps, default=1.0) or 1.0
    step = max(1.0, _round_step(high / max(1, ticks - 1)))
    marks = [index * step for index in range(int(high / step + 1e-9) + 1)]
    return Axis(0.0, float(high), tuple(float(mark) for mark in marks))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    # The smallest of 1, 2, 5 times a power of ten that is no finer than asked for.
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 and float(value).is_integer() else short(value)
