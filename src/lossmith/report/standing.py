"""A run held against what needs no training: better, worse or undecided, with the figures in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.report.figures import interval, number
from lossmith.report.measured import direction_of, metric_decimals, plain_name
from lossmith.report.run_files import Run

Kind = Literal["good", "bad", "caution", "plain"]
Standing = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """One line: its kind (never told by colour alone), a short statement, and the figures behind it."""

    kind: Kind
    statement: str
    detail: str = ""


@dataclass(frozen=True)
class Against:
    """One baseline: how the run stands to it on the metric, and the difference in words."""

    name: str
    standing: Standing
    difference: str


def held_against(run: Run, metric: str) -> tuple[str, list[Against], str]:
    """The metric of the paired differences, the baselines, and the run's own figure in words.

    The metric is `metric` where the file does not name another.
    """
    metrics = run.metrics or {}
    against: Mapping[str, Mapping[str, Any]] = metrics.get("against_baselines") or {}
    metric = next((str(facts["metric"]) for facts in against.values() if facts.get("metric")), metric)
    own = metrics.get("metrics", {}).get(metric) or {}
    direction = direction_of(metric, own)
    found = [
        Against(name, _standing(facts, direction), f"difference to {plain_name(name)} {change(metric, facts)}")
        for name, facts in against.items()
    ]
    return metric, found, f"{metric} {figure(metric, own)}"


def named(found: Sequence[Against], standing: Standing) -> str:
    """The baselines to which a run stands so, in words."""
    return " and ".join(f"“{plain_name(one.name)}”" for one in found if one.standing == standing)


def change(metric: str, facts: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    decimals = metric_decimals(metric)
    if facts.get("difference") is None:
        return f"undefined ({facts.get('reason') or 'no reason given'})"
    bounds = interval(facts.get("low"), facts.get("high"), decimals=decimals, sign=True)
    return number(facts["difference"], decimals=decimals, sign=True) + (f" ({bounds})" if bounds else "")


def figure(metric: str, facts: Mapping[str, Any]) -> str:
    """A value with its interval."""
    decimals = metric_decimals(metric)
    bounds = interval(facts.get("low"), facts.get("high"), decimals=decimals)
    value = number(facts.get("value"), decimals=decimals)
    return f"{value} ({bounds})" if bounds else value


def _standing(facts: Mapping[str, Any], direction: str) -> Standing:
    low, high = facts.get("low"), facts.get("high")
    if low is None or high is None or direction not in ("up", "down"):
        return "undecided"
    if direction == "down":
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "undecided"
