"""One figure of every group on one axis, the worst first, with the figure of all records as a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.report.intervals_plot import Dot, Plot, plot
from lossmith.report.measured import DIRECTIONS, direction_of, metric_decimals, metric_range

SHOWN = 40  # rows of a picture; all groups stand in the table
# A true positive rate is 1 less the false negative rate: a second picture of it would show the same.
DRAWN = ("fpr", "fnr", "selection_rate")


@dataclass(frozen=True)
class Forest:
    """A drawn figure of the groups; `left_out` groups are in the table alone."""

    metric: str
    about: str
    plot: Plot
    overall: str
    left_out: int


def forests(groups: Mapping[str, Mapping[str, Any]], overall: Mapping[str, Mapping[str, Any]]) -> list[Forest]:
    """A picture for each of the error rates that the groups have, or else for every metric of theirs.

    `overall` holds the figures of all records by the same names, where there are.
    """
    names = list(dict.fromkeys(name for facts in groups.values() for name in facts))
    drawn = [name for rate in DRAWN for name in names if name.partition(".")[0] == rate] or names
    found = [forest(name, groups, overall.get(name)) for name in drawn]
    return [one for one in found if one is not None]


def forest(name: str, groups: Mapping[str, Mapping[str, Any]], overall: Mapping[str, Any] | None) -> Forest | None:
    """The picture of one metric, None where no group has a value."""
    facts = {group: held[name] for group, held in groups.items() if isinstance(held.get(name), Mapping)}
    stated: Mapping[str, Any] = next(iter(facts.values()), {})
    direction = direction_of(name, stated)
    order = sorted((group for group in facts if facts[group].get("value") is not None), key=_worst(facts, direction))
    undefined = [group for group in facts if facts[group].get("value") is None]
    kept = [*order, *undefined][:SHOWN]
    whole = (overall or {}).get("value")
    dots = [_dot(group, facts[group]) for group in kept]
    if overall is not None and whole is not None:
        dots.insert(0, Dot("all records", whole, overall.get("low"), overall.get("high"), 5))
    decimals = metric_decimals(name)
    floor, ceiling = metric_range(name)
    drawn = plot(dots, decimals=decimals, floor=floor, ceiling=ceiling, line=whole)
    first = "largest" if direction == "none" else "worst"
    if drawn is None:
        return None
    return Forest(
        name,
        f"{DIRECTIONS.get(direction, ('', ''))[1]}; {first} first; in brackets, of how many",
        drawn,
        "" if whole is None else "the dashed line is the value of all records",
        len(order) + len(undefined) - len(kept),
    )


def _worst(facts: Mapping[str, Mapping[str, Any]], direction: str) -> Any:
    sign = 1 if direction == "up" else -1
    return lambda group: (sign * float(facts[group]["value"]), group)


def _dot(group: str, facts: Mapping[str, Any]) -> Dot:
    few = too_small(facts)
    n = facts.get("trials", facts.get("n"))
    told = f"{group} ({n:,})" if n is not None else group
    return Dot(f"{told}, too small" if few else told, facts.get("value"), facts.get("low"), facts.get("high"), 0, few)


def too_small(facts: Mapping[str, Any]) -> bool:
    """Whether a figure says of itself that its group has too few records."""
    return "too small" in str(facts.get("reason") or "")
