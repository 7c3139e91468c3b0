"""Whether evidence has to do with the predictions: curves against random chunks, and what they show in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lossmith.report.curves import Chart, Line, chart
from lossmith.report.figures import count, interval, number
from lossmith.report.standing import Kind, Verdict

# kind: title, what is drawn, what the x axis counts, and the sign of evidence that is better than chance
CURVES: Mapping[str, tuple[str, str, str, int]] = {
    "deletion": (
        "Deletion",
        "how far the probability falls without so many chunks; more is better",
        "removed chunks",
        1,
    ),
    "sufficiency": (
        "Sufficiency",
        "how far it falls where nothing but so many chunks is left; less is better",
        "kept chunks",
        -1,
    ),
}
LITTLE = 0.01  # difference in probability under which evidence is said to count for little, however sure it is
_SIDES = (("evidence", "the best evidence", 0), ("random", "random chunks", 5))


@dataclass(frozen=True)
class Tried:
    """One of both trials: its picture, its numbers (heads first), and evidence less random over the whole curve."""

    name: str
    chart: Chart
    about: str
    numbers: Sequence[Sequence[str]]
    difference: str
    bounds: str
    better: str
    kind: Kind


def tried(faithfulness: Mapping[str, Any]) -> list[Tried]:
    """Deletion and sufficiency, those that were measured."""
    sizes: Sequence[int] = faithfulness.get("chunks") or ()
    found = []
    for kind, (title, about, x_name, _) in CURVES.items():
        curves = faithfulness.get(kind)
        if not curves:
            continue
        lines = [_line(label, sizes, curves[side], style) for side, label, style in _SIDES]
        drawn = chart(title, lines, unit=about, x_name=x_name)
        if drawn is None:
            continue
        facts = (faithfulness.get("summary") or {}).get(kind) or {}
        standing = _standing(kind, facts)
        found.append(
            Tried(
                title,
                replace(drawn, summary=()),
                about,
                _numbers(sizes, curves, x_name),
                number(facts.get("value"), decimals=3, sign=True),
                interval(facts.get("low"), facts.get("high"), decimals=3, sign=True),
                "more is better" if kind == "deletion" else "less is better",
                standing,
            )
        )
    return found


def faithfulness_verdict(faithfulness: Mapping[str, Any], who: str = "") -> Verdict:
    """What both curves show in one line; `who` is put before it."""
    summary: Mapping[str, Mapping[str, Any]] = faithfulness.get("summary") or {}
    kinds = {kind: _standing(kind, summary[kind]) for kind in CURVES if summary.get(kind)}
    if not kinds:
        return Verdict(
            "caution",
            f"{who}the evidence cannot be held against random chunks",
            "No document has two chunks or more.",
        )
    detail = f"{' '.join(_told(kind, summary[kind]) for kind in kinds)} {_of(faithfulness)}"
    standings = set(kinds.values())
    if "bad" in standings:
        return Verdict("bad", f"{who}the evidence shown is worse than random chunks", detail)
    if standings == {"good"} and all(abs(summary[kind]["value"]) < LITTLE for kind in kinds):
        return Verdict(
            "caution", f"{who}the evidence shown counts for more than random chunks, and for little at all", detail
        )
    if standings == {"good"}:
        return Verdict("good", f"{who}predictions rest on the evidence shown, more than on random chunks", detail)
    if "good" in standings:
        shown, other = (next(kind for kind in kinds if kinds[kind] == one) for one in ("good", "caution"))
        return Verdict(
            "caution",
            f"{who}the evidence shown is better than random chunks in {shown}, and not shown to be in {other}",
            detail,
        )
    return Verdict("caution", f"{who}the evidence shown is no better than random chunks, as far as can be told", detail)


def _standing(kind: str, facts: Mapping[str, Any]) -> Kind:
    low, high = facts.get("low"), facts.get("high")
    if low is None or high is None:
        return "caution"
    if CURVES[kind][3] < 0:
        low, high = -high, -low
    return "good" if low > 0 else "bad" if high < 0 else "caution"


def _told(kind: str, facts: Mapping[str, Any]) -> str:
    """The difference over the curve in words."""
    value = facts.get("value")
    bounds = interval(facts.get("low"), facts.get("high"), decimals=3, sign=True)
    within = f" (difference {bounds})" if bounds else " (no interval)"
    if value is None:
        return f"{CURVES[kind][0]} has no value."
    size = number(abs(value), decimals=3)
    relation = "more" if value > 0 else "less"
    taken = "Without the evidence" if kind == "deletion" else "With the evidence alone"
    chance = "without as many random chunks" if kind == "deletion" else "with as many random chunks alone"
    return f"{taken} the probability falls by {size} {relation} than {chance}{within}."


def _of(faithfulness: Mapping[str, Any]) -> str:
    sizes = faithfulness.get("chunks") or [0]
    return f"Mean over {sizes[0]} to {count(sizes[-1], 'chunk')} of {count(faithfulness.get('n') or 0, 'document')}."


def _line(label: str, sizes: Sequence[int], points: Sequence[Mapping[str, Any]], style: int) -> Line:
    held = list(zip(map(float, sizes), points, strict=True))
    band = [(size, one["low"], one["high"]) for size, one in held if one.get("low") is not None]
    return Line(label, [(size, one["value"]) for size, one in held], style, sparse=True, band=band)


def _numbers(
    sizes: Sequence[int], curves: Mapping[str, Sequence[Mapping[str, Any]]], x_name: str
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(x_name, *(label for _, label, _ in _SIDES), "documents")]
    for place, size in enumerate(sizes):
        sides = [curves[side][place] for side, _, _ in _SIDES]
        cells = []
        for one in sides:
            bounds = interval(one.get("low"), one.get("high"), decimals=3)
            cells.append(number(one.get("value"), decimals=3) + (f" ({bounds})" if bounds else ""))
        n = sides[0].get("n")
        rows.append((str(size), *cells, "" if n is None else f"{n:,}"))
    return rows
