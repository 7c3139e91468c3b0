"""How a classification looks in a terminal: each class, the groups with the worst first, and how scores decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_RATES = ("fpr", "fnr", "selection_rate")


def class_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a class, with the metrics that metrics.json holds of each by itself; empty where it holds none.

    >>> class_rows({"classes": ["a", "b"], "metrics": {"f1": {"value": 1}, "f1.b": {"value": 0.5}}})
    [{'class': 'b', 'f1': 0.5}]
    """
    rows: dict[str, dict[str, Any]] = {}
    for key, facts in metrics["metrics"].items():
        metric, dot, name = key.partition(".")
        if dot and name in (metrics.get("classes") or ()):
            rows.setdefault(name, {"class": name})[metric] = facts["value"]
    return list(rows.values())


def group_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a group, the worst first and those that are too small last: records, positives, rates with intervals.

    The worst has the largest mean of fpr and fnr; of more than two classes, the worst value of the first metric.
    """
    groups: Mapping[str, Mapping[str, Any]] = metrics.get("groups") or {}
    names = _shown(metrics, groups)
    rows = []
    for group, facts in groups.items():
        few = any("too small" in str(held.get("reason") or "") for held in facts.values())
        row: dict[str, Any] = {"group": group, "records": _value(facts, "n"), "positives": _value(facts, "positives")}
        for name in names:
            row |= {name: _value(facts, name), f"{name}, 95 %": _interval(facts.get(name) or {})}
        row["note"] = "too small" if few else ""
        rows.append((few, -_badness(facts, names), group, row))
    found = [row for *_, row in sorted(rows, key=lambda one: one[:3])]
    empty = [key for key in (found[0] if found else ()) if all(row[key] in (None, "") for row in found)]
    return [{key: value for key, value in row.items() if key not in empty} for row in found]


def group_difference_rows(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a rate and group of `compare_runs`, those that are too small last."""
    rows = []
    for entry in comparison["groups"]:
        few = "too small" in str(entry.get("reason") or "")
        low, high = entry["low"], entry["high"]
        row = {
            "metric": entry["metric"],
            "group": entry["group"],
            "run": Path(entry["run"]).name,
            "first": entry["values"][0],
            "second": entry["values"][1],
            "difference": entry["difference"],
            "95 % interval": "-" if low is None else f"{low:+.4g} to {high:+.4g}",
            "records": entry["n"],
            "note": "too small" if few else "",
        }
        rows.append((few, row))
    return [row for _, row in sorted(rows, key=lambda one: one[0])]


def decision_line(metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> str | None:
    """How scores become classes, in one line; `decision` is the manifest's. None where metrics.json names no classes.

    >>> decision_line({"classes": ["no", "yes"], "positive": "yes", "threshold": 0.25, "temperature": 1.0}, {})
    'positive class yes, from a score of 0.25 on'
    """
    if not metrics.get("classes"):
        return None
    threshold, temperature = metrics.get("threshold"), metrics.get("temperature")
    if metrics.get("positive") is None and not metrics.get("multi_label"):
        told = f"classes {', '.join(metrics['classes'])}: the one with the highest score"
    elif isinstance(threshold, Mapping):
        told = "labels from a score of " + ", ".join(f"{name} {value:.4g}" for name, value in threshold.items()) + " on"
    elif threshold is None:
        told = f"positive class {metrics.get('positive')}, each fold by its own threshold"
    elif metrics.get("multi_label"):
        told = f"labels from a score of {threshold:.4g} on"
    else:
        told = f"positive class {metrics['positive']}, from a score of {threshold:.4g} on"
    aims: Mapping[str, Mapping[str, Any]] = decision.get("aim") or {}
    whose = ", ".join(_aim(name, one, several=len(aims) > 1) for name, one in aims.items())
    told += f" ({whose}; chosen on validation)" if whose else ""
    return told + (f"; scores calibrated at temperature {temperature:.4g}" if temperature not in (None, 1.0) else "")


def _aim(name: str, one: Mapping[str, Any], *, several: bool) -> str:
    reached = "reached" if one.get("reached", True) else f"NOT reached: {one.get('reason')}"
    return f"{name + ' ' if several else ''}{one.get('aim')}, {reached}"


def _shown(metrics: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    held = {name for facts in groups.values() for name, one in facts.items() if one.get("value") is not None}
    rates = [name for name in _RATES if name in held]
    return rates or [name for name in metrics.get("asked") or metrics["metrics"] if name in held][:3]


def _badness(facts: Mapping[str, Any], names: Sequence[str]) -> float:
    rates = [value for name in ("fpr", "fnr") if (value := _value(facts, name)) is not None]
    if rates or not names:
        return float(sum(rates) / max(1, len(rates)))
    value = _value(facts, names[0])
    if value is None:
        return 0.0
    return float(value if facts[names[0]].get("direction") == "down" else -value)


def _value(facts: Mapping[str, Any], name: str) -> Any:
    held = facts.get(name)
    return held.get("value") if isinstance(held, Mapping) else held


def _interval(facts: Mapping[str, Any]) -> str:
    low, high = facts.get("low"), facts.get("high")
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
