"""Line charts: thinned without losing a spike, drawn as stretching SVG, with their numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from lossmith.report.axes import Axis, log_axis, round_axis, steps_axis
from lossmith.report.figures import number
from lossmith.report.palette import SERIES, series

WIDTH, HEIGHT = 1000, 400  # of the drawing's own coordinates; the page stretches them
POINTS = 400
# Lines differ in dashes as well as colour.
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4")


@dataclass(frozen=True)
class Line:
    """A named line: (step, value) in order of steps; None breaks it. `style` numbers its colour and dashes.

    `sparse` lines (evaluations) are drawn with a dot at each point; where they are not `joined`, with dots alone.
    `band` is what lies around the line as (step, low, high), in order of steps: an interval.
    """

    label: str
    points: Sequence[tuple[float, float | None]]
    style: int
    sparse: bool = False
    joined: bool = True
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Chart:
    """A drawn chart and what its page needs around it."""

    title: str
    unit: str  # with the scale, where it is no linear one
    drawing: Markup
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]
    keys: tuple[tuple[str, Markup], ...]
    summary: tuple[tuple[str, ...], ...]  # a row a line: label, first, lowest, highest, last
    data: dict[str, Any]  # what the hover reads
    note: str
    x_name: str = "optimizer step"


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    unit: str = "",
    floor: float = float("-inf"),
    falls: bool = False,
    x_name: str = "optimizer step",
) -> Chart | None:
    """Draw lines over one axis of steps; None where no line has a finite value.

    What `falls` from large values to small ones is drawn over a log axis where its values allow one: on a linear axis
    the first steps would leave no room for the differences of the last.
    """
    lines = [line for line in lines if any(value is not None for _, value in line.points)]
    if not lines:
        return None
    thinned = [replace(line, points=thin(line.points)) for line in lines]
    values = [value for line in thinned for _, value in line.points if value is not None]
    values += [bound for line in thinned for _, *bounds in line.band for bound in bounds]
    x_axis = steps_axis([step for line in thinned for step, _ in line.points])
    y_axis = (log_axis(values) if falls else None) or round_axis(values, floor=floor)
    most, kept = (max(len(line.points) for line in group) for group in (lines, thinned))
    note = f"{kept:,} of {most:,} points drawn; the highest and lowest of each stretch are kept" if kept < most else ""
    return Chart(
        title=title,
        unit=", ".join(part for part in (unit, "log scale" if y_axis.log else "") if part),
        drawing=drawing(title, thinned, x_axis=x_axis, y_axis=y_axis),
        x_ticks=places(x_axis),
        y_ticks=places(y_axis),
        keys=tuple((line.label, line_key(line)) for line in thinned),
        summary=tuple(_summary(line) for line in lines),
        data=hover(thinned, x_axis, y_axis, at=x_name.rpartition(" ")[2]),
        note=note,
        x_name=x_name,
    )


def thin(points: Sequence[tuple[float, float | None]], most: int = POINTS) -> list[tuple[float, float | None]]:
    """At most `most` points: of each stretch the first, lowest and highest, and of all the last; in order.

    >>> points = [(step, 0.0) for step in range(1000)]
    >>> points[501] = (501, 9.0)
    >>> thinned = thin(points, 40)
    >>> len(thinned) <= 40, (501, 9.0) in thinned, thinned[-1]
    (True, True, (999, 0.0))
    """
    if len(points) <= most:
        return list(points)
    stretches = max(1, (most - 1) // 3)
    kept: list[tuple[float, float | None]] = []
    for index in range(stretches):
        start, end = index * len(points) // stretches, (index + 1) * len(points) // stretches
        there = [place for place in range(start, end) if points[place][1] is not None]
        chosen = {start}
        if there:
            chosen |= {min(there, key=lambda p: points[p][1] or 0.0), max(there, key=lambda p: points[p][1] or 0.0)}
        kept.extend(points[place] for place in sorted(chosen))
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def drawing(title: str, lines: Sequence[Line], *, x_axis: Axis, y_axis: Axis) -> Markup:
    """The lines over a grid, stretching with the page."""
    grid = [Markup('<path class="grid" d="M0 {y}H{w}"/>').format(y=_y(y_axis, tick), w=WIDTH) for tick in y_axis.ticks]
    bands = [_band(line, x_axis, y_axis) for line in lines if line.band]
    drawn = [*bands, *(drawn_line(line, x_axis, y_axis) for line in lines)]
    return Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>').format(
        _spoken(title, lines), WIDTH, HEIGHT, Markup("").join([*grid, *drawn])
    )


def drawn_line(line: Line, x_axis: Axis, y_axis: Axis) -> Markup:
    """The line in the coordinates of a drawing, with dots where it is sparse."""
    at = [
        None if value is None else (round(WIDTH * x_axis.at(step), 1), _y(y_axis, value)) for step, value in line.points
    ]
    path, down = [], False
    for place in at:
        if place is not None:
            path.append(f"{'L' if down else 'M'}{place[0]:g} {place[1]:g}")
        down = place is not None
    colour = series(line.style)
    dashes = _dashes(line)
    strokes = Markup('<path class="line" d="{}" style="stroke:{};stroke-dasharray:{}"/>').format(
        "".join(path), colour, dashes or "none"
    )
    if not line.sparse and any(place is not None for place in at[1:]):
        return strokes
    # A stroke of no length with round ends is a dot that does not stretch with the drawing.
    dots = "".join(f"M{place[0]:g} {place[1]:g}h0" for place in at if place is not None)
    drawn = Markup('<path class="dots" d="{}" style="stroke:{}"/>').format(dots, colour)
    return strokes + drawn if line.joined else drawn


def _band(line: Line, x_axis: Axis, y_axis: Axis) -> Markup:
    above = [(round(WIDTH * x_axis.at(step), 1), _y(y_axis, high)) for step, _, high in line.band]
    below = [(round(WIDTH * x_axis.at(step), 1), _y(y_axis, low)) for step, low, _ in reversed(line.band)]
    path = "L".join(f"{x:g} {y:g}" for x, y in [*above, *below])
    return Markup('<path class="band-around" d="M{}Z" style="fill:{}"/>').format(path, series(line.style))


def _dashes(line: Line) -> str:
    """Dots tell sparse lines apart from others; dashes tell those that share a colour."""
    return _DASHES[(line.style // SERIES if line.sparse else line.style) % len(_DASHES)]


def line_key(line: Line) -> Markup:
    """The line's mark for a key."""
    dashes = _dashes(line)
    dot = Markup('<path class="dots" d="M14 6h0" style="stroke:{}"/>').format(series(line.style)) if line.sparse else ""
    stroke = Markup('<path class="line" d="M0 6H28" style="stroke:{};stroke-dasharray:{}"/>').format(
        series(line.style), dashes or "none"
    )
    return Markup('<svg class="key" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">{}{}</svg>').format(
        stroke if line.joined else "", dot
    )


def places(axis: Axis) -> tuple[tuple[str, float], ...]:
    """Label and place, in per cent of the length, of each tick."""
    return tuple((label, round(100 * axis.at(tick), 2)) for label, tick in zip(axis.labels(), axis.ticks, strict=True))


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT * (1 - axis.at(value)), 1)


def _summary(line: Line) -> tuple[str, ...]:
    held = [(step, value) for step, value in line.points if value is not None]
    low, high = min(held, key=lambda p: p[1]), max(held, key=lambda p: p[1])
    return (
        line.label,
        number(held[0][1]),
        f"{number(low[1])} at {low[0]:,.0f}",
        f"{number(high[1])} at {high[0]:,.0f}",
        f"{number(held[-1][1])} at {held[-1][0]:,.0f}",
    )


def _spoken(title: str, lines: Sequence[Line]) -> str:
    parts = []
    for line in lines:
        held = [(step, value) for step, value in line.points if value is not None]
        parts.append(f"{line.label} from {number(held[0][1])} to {number(held[-1][1])} at step {held[-1][0]:,.0f}")
    return f"{title}: {'; '.join(parts)}"


def hover(lines: Sequence[Line], x_axis: Axis, y_axis: Axis, *, at: str) -> dict[str, Any]:
    """What the page's script reads to tell the values under a pointer; `at` names the x axis in a word."""
    return {
        "at": at,
        "x": [x_axis.low, x_axis.high],
        "y": [y_axis.low, y_axis.high],
        "lines": [
            {
                "label": line.label,
                "colour": series(line.style),
                "points": [[step, None if value is None else float(f"{value:.5g}")] for step, value in line.points],
                "band": {f"{step:g}": [float(f"{low:.5g}"), float(f"{high:.5g}")] for step, low, high in line.band},
            }
            for line in lines
        ],
    }
