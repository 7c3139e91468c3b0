"""Tables of shares and cosines whose cells are tinted by their value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossmith.report.evidence.strip import tint
from lossmith.report.figures import number


@dataclass(frozen=True)
class HeatCell:
    """A value as text, how strongly it is tinted (0 to 100), and whether it lies below 0; `own` on a diagonal."""

    text: str
    tint: int
    below: bool
    own: bool


@dataclass(frozen=True)
class Heat:
    """A tinted table: what it shows, what stands in its corner, its heads, and a row for each name."""

    caption: str
    corner: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]


def heat(
    caption: str,
    names: tuple[Sequence[str], Sequence[str]],
    values: Sequence[Sequence[float | None]],
    *,
    corner: str,
    square: bool = False,
) -> Heat | None:
    """A table of `values`, a row for each of the first `names`; None where there is nothing to show.

    Of a `square` one, of things against themselves, the diagonal says nothing and is left untinted.

    >>> held = heat("Cosines", (["0", "1"], ["0", "1"]), [[1.0, -0.25], [-0.25, 1.0]], corner="query", square=True)
    >>> held.rows[0][1][1]
    HeatCell(text='−0.25', tint=25, below=True, own=False)
    """
    rows, heads = names
    if not values or not heads:
        return None
    cells = [
        [
            HeatCell(
                number(value, decimals=2),
                0 if value is None or (square and row == column) else tint(value),
                value is not None and value < 0,
                square and row == column,
            )
            for column, value in enumerate(line)
        ]
        for row, line in enumerate(values)
    ]
    return Heat(caption, corner, list(heads), list(zip(rows, cells, strict=True)))
