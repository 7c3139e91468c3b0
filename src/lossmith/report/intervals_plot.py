"""Dot and interval plots: one row per run or baseline, all rows on one axis.

The drawing stretches with the page while its text and marks keep their size: positions are percentages, and a mark is
a small nested drawing placed at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossmith.report.axes import Axis, round_axis
from lossmith.report.figures import interval, number
from lossmith.report.palette import series

# Marks differ in form as well as colour. Each is drawn around 0, 0.
_FORMS = (
    '<circle r="4.5"/>',
    '<rect x="-4" y="-4" width="8" height="8"/>',
    '<path d="M0 -6.5 6.5 0 0 6.5 -6.5 0Z"/>',
    '<path d="M0 -6 6 5 -6 5Z"/>',
    '<path d="M0 6 6 -5 -6 -5Z"/>',
    '<path d="M-6 -2H-2V-6H2V-2H6V2H2V6H-2V2H-6Z"/>',
)


@dataclass(frozen=True)
class Dot:
    """A value with its interval; `run` is the number of the run, None for a baseline.

    A `faint` one has too few records to be judged: its mark is hollow and its interval dashed. `single` are the values
    that it is the mean of, drawn small. `note` is told after the figures.
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    run: int | None
    faint: bool = False
    single: Sequence[float] = ()
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A drawn row: its label, its value as text, a note to it, the drawing, and the key's mark."""

    label: str
    text: str
    note: str
    drawing: Markup
    key: Markup
    baseline: bool


@dataclass(frozen=True)
class Plot:
    """Rows over one axis; `ticks` are (label, per cent of the width)."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[str, float], ...]


def plot(
    dots: Sequence[Dot],
    *,
    decimals: int = 3,
    floor: float = float("-inf"),
    ceiling: float = float("inf"),
    line: float | None = None,
    sign: bool = False,
    from_zero: bool = True,
) -> Plot | None:
    """Draw the rows, None where none of them has a value; `line` is a value kept on the axis and marked by a line.

    At 0 the line is heavy: no difference. Elsewhere it is dashed: what the rows are held against. `from_zero` lets the
    axis begin at 0 where that leaves a third of it to the values.
    """
    values = [v for dot in dots for v in (dot.value, dot.low, dot.high, *dot.single) if v is not None]
    if not any(dot.value is not None for dot in dots):
        return None
    axis = round_axis([*values, *([] if line is None else [line])], floor=floor, ceiling=ceiling, from_zero=from_zero)
    rows = tuple(_row(dot, axis, decimals=decimals, line=line, sign=sign) for dot in dots)
    places = (100 * axis.at(tick) for tick in axis.ticks)
    return Plot(rows, tuple(zip(axis.labels(), (round(place, 3) for place in places), strict=True)))


def key(run: int | None) -> Markup:
    """The mark of a run or baseline, for tables and keys."""
    return Markup('<svg class="key" viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">{}</svg>').format(
        _mark(run)
    )


def _row(dot: Dot, axis: Axis, *, decimals: int, line: float | None, sign: bool) -> Row:
    value = number(dot.value, decimals=decimals, sign=sign)
    bounds = interval(dot.low, dot.high, decimals=decimals, sign=sign)
    text = "undefined" if dot.value is None else f"{value} ({bounds})" if bounds else f"{value} (no interval)"
    return Row(dot.label, text, dot.note, _drawing(dot, axis, text, line=line), key(dot.run), dot.run is None)


def _drawing(dot: Dot, axis: Axis, text: str, *, line: float | None) -> Markup:
    lines = [_grid("grid", 100 * axis.at(tick)) for tick in axis.ticks if tick != line]
    if line is not None:
        lines.append(_grid("zero" if line == 0 else "against", 100 * axis.at(line)))
    lines += [
        Markup('<circle class="single" cx="{:.3f}%" cy="50%" r="2.5" style="fill:{}"/>').format(
            100 * axis.at(value), _colour(dot.run)
        )
        for value in dot.single
    ]
    if dot.low is not None and dot.high is not None:
        lines.append(
            Markup('<line class="whisker{}" x1="{:.3f}%" x2="{:.3f}%" y1="50%" y2="50%" style="stroke:{}"/>').format(
                " faint" if dot.faint else "", _inside(axis, dot.low), _inside(axis, dot.high), _colour(dot.run)
            )
        )
    if dot.value is not None:
        lines.append(
            Markup('<svg x="{:.3f}%" y="50%" overflow="visible">{}</svg>').format(
                100 * axis.at(dot.value), _mark(None if dot.faint else dot.run)
            )
        )
    return Markup('<svg class="track" role="img" aria-label="{}: {}"><title>{}: {}</title>{}</svg>').format(
        dot.label, text, dot.label, text, Markup("").join(lines)
    )


def _inside(axis: Axis, value: float) -> float:
    """Place of a bound in per cent; one past the end of the axis (an interval of t of a share, say) stops there."""
    return 100 * min(1.0, max(0.0, axis.at(value)))


def _grid(kind: str, place: float) -> Markup:
    return Markup('<line class="{}" x1="{:.3f}%" x2="{:.3f}%" y1="0" y2="100%"/>').format(kind, place, place)


def _mark(run: int | None) -> Markup:
    if run is None:
        return Markup('<g class="mark hollow"><circle r="4.5"/></g>')
    form = Markup(_FORMS[run % len(_FORMS)])  # a table of this file  # nosec B704
    return Markup('<g class="mark" style="fill:{}">{}</g>').format(_colour(run), form)


def _colour(run: int | None) -> str:
    return "var(--baseline)" if run is None else series(run)
