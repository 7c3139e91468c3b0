"""Results as flat rows, for tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def figure_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a metric of metrics.json: name, value, low, high, n, direction, reason, and each baseline's
    value.

    >>> entry = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "direction": "up", "reason": None}
    >>> figure_rows({"metrics": {"rouge1": entry}, "baselines": {"prompt_copied": {"rouge1": {"value": 0.1}}}})[0]
    {'metric': 'rouge1', 'value': 0.5, 'low': 0.4, 'high': 0.6, 'n': 9, 'direction': 'up', 'reason': None, \
'prompt_copied': 0.1}
    """
    kept = ("value", "low", "high", "n", "direction", "reason")
    return [
        {
            "metric": name,
            **{key: entry[key] for key in kept},
            **{baseline: figures.get(name, {}).get("value") for baseline, figures in metrics["baselines"].items()},
        }
        for name, entry in metrics["metrics"].items()
    ]


def comparison_rows(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a metric and pair of runs of `compare_runs`: values, difference, interval, p values.

    >>> one = {"metric": "rouge1", "against": "a", "run": "b", "values": [0.5, 0.6], "difference": 0.1,
    ...        "low": 0.0, "high": 0.2, "p": 0.04, "p_holm": 0.04, "n": 9, "reason": None}
    >>> comparison_rows({"comparisons": [one]})[0]["second"]
    0.6
    """
    kept = ("metric", "against", "run", "difference", "low", "high", "p", "p_holm", "n", "reason")
    return [
        {**{key: entry[key] for key in kept}, "first": entry["values"][0], "second": entry["values"][1]}
        for entry in comparison["comparisons"]
    ]
