"""Charts over two shares of 1, as wide as high: curves, a reference line, whiskers, bars below, a marked point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from lossmith.report.axes import Axis
from lossmith.report.curves import HEIGHT, WIDTH, Line, drawn_line, hover, line_key, places
from lossmith.report.palette import series

UNIT = Axis(0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
_BARS = 0.16  # of the drawing's height, for the tallest bar


@dataclass(frozen=True)
class Point:
    """A marked point, such as where a decision stands on its curve."""

    label: str
    x: float
    y: float
    style: int


@dataclass(frozen=True)
class Marks:
    """What is drawn besides lines.

    `reference` is a line from one (x, y) to another with its label; `whiskers` are (x, low, high) in the colour of the
    first line; `bars` are (from x, to x, size), drawn at the bottom relative to the largest size.
    """

    reference: tuple[str, tuple[float, float], tuple[float, float]] | None = None
    whiskers: Sequence[tuple[float, float, float]] = ()
    bars: Sequence[tuple[float, float, float]] = ()
    points: Sequence[Point] = ()


@dataclass(frozen=True)
class SquareChart:
    """A drawn chart and what its page needs around it; `table` is its numbers, heads first."""

    title: str
    about: str
    drawing: Markup
    x_name: str
    y_name: str
    ticks: tuple[tuple[str, float], ...]
    keys: tuple[tuple[str, Markup], ...]
    data: dict[str, Any]
    table: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = field(default=())


def square_chart(
    title: str,
    lines: Sequence[Line],
    marks: Marks,
    *,
    names: tuple[str, str],
    spoken: str,
    about: str = "",
    table: Sequence[Sequence[str]] = (),
) -> SquareChart:
    """Draw the lines; `names` are those of the x and y axis, `spoken` says the picture in words."""
    grid = [_path("grid", (0.0, tick), (1.0, tick)) for tick in UNIT.ticks]
    grid += [_path("grid", (tick, 0.0), (tick, 1.0)) for tick in UNIT.ticks]
    parts = [*grid, *_bars(marks.bars), *_reference(marks)]
    if lines:
        parts += [_whisker(one, lines[0].style) for one in marks.whiskers]
    parts += [drawn_line(line, UNIT, UNIT) for line in lines]
    parts += [_point(point) for point in marks.points]
    drawing = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>').format(
        spoken, WIDTH, HEIGHT, Markup("").join(parts)
    )
    return SquareChart(
        title=title,
        about=about,
        drawing=drawing,
        x_name=names[0],
        y_name=names[1],
        ticks=places(UNIT),
        keys=_keys(lines, marks),
        data=hover(lines, UNIT, UNIT, at=names[0]),
        table=tuple(tuple(row) for row in table),
    )


def _keys(lines: Sequence[Line], marks: Marks) -> tuple[tuple[str, Markup], ...]:
    keys = [(line.label, line_key(line)) for line in lines]
    keys += [(point.label, _point_key(point)) for point in marks.points]
    if marks.reference is not None:
        keys.append(
            (
                marks.reference[0],
                Markup(
                    '<svg class="key" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">'
                    '<path class="reference" d="M0 6H28"/></svg>'
                ),
            )
        )
    return tuple(keys)


def _reference(marks: Marks) -> list[Markup]:
    return [] if marks.reference is None else [_path("reference", marks.reference[1], marks.reference[2])]


def _bars(bars: Sequence[tuple[float, float, float]]) -> list[Markup]:
    largest = max((size for _, _, size in bars), default=0.0)
    return [
        Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            WIDTH * start, HEIGHT * (1 - _BARS * size / largest), WIDTH * (end - start), HEIGHT * _BARS * size / largest
        )
        for start, end, size in bars
        if size > 0
    ]


def _whisker(one: tuple[float, float, float], style: int) -> Markup:
    x, low, high = one
    return Markup('<path class="whisker" d="{}" style="stroke:{}"/>').format(_d((x, low), (x, high)), series(style))


def _point(point: Point) -> Markup:
    # Two strokes of no length: a disc in the ink's colour with a smaller one in the line's colour upon it.
    at = _d((point.x, point.y), (point.x, point.y))
    return Markup('<path class="ring" d="{}"/><path class="dots" d="{}" style="stroke:{}"/>').format(
        at, at, series(point.style)
    )


def _point_key(point: Point) -> Markup:
    return Markup(
        '<svg class="key" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">'
        '<path class="ring" d="M14 6h0"/><path class="dots" d="M14 6h0" style="stroke:{}"/></svg>'
    ).format(series(point.style))


def _path(kind: str, start: tuple[float, float], end: tuple[float, float]) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, _d(start, end))


def _d(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x0, y0), (x1, y1) = ((round(WIDTH * x, 1), round(HEIGHT * (1 - y), 1)) for x, y in (start, end))
    return f"M{x0:g} {y0:g}L{x1:g} {y1:g}"
