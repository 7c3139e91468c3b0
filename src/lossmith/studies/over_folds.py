"""A metric over the folds of a cross-validation: mean, spread, interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

LEVEL = 0.95


def over_folds(
    entries: Sequence[Mapping[str, Any]], *, folds: int, within: tuple[float, float] = (-math.inf, math.inf)
) -> dict[str, Any]:
    """Mean and standard deviation of a metric's entries of metrics.json, one for each fold of each repeat.

    The interval is Student's with the variance of Nadeau and Bengio (2003): folds share most of their training
    records, so that sd / sqrt(n) alone is too small; 1/n becomes 1/n + 1/(folds - 1), the share of test to training
    records. It ends where the metric's range does (`within`). `n` counts the folds that have a value; `values` are all
    of them in order, None where a fold has none, and `reason` says why.

    >>> found = over_folds([{"value": 0.4}, {"value": 0.6}, {"value": 0.5}], folds=3)
    >>> round(found["value"], 3), round(found["sd"], 3), round(found["low"], 3), round(found["high"], 3)
    (0.5, 0.1, 0.107, 0.893)
    >>> over_folds([{"value": 0.4}, {"value": None, "reason": "no positive record"}], folds=2)["reason"]
    '1 of 2 folds has no value: no positive record'
    """
    values = [entry["value"] for entry in entries]
    defined = [value for value in values if value is not None]
    found: dict[str, Any] = {"value": None, "sd": None, "low": None, "high": None, "n": len(defined), "values": values}
    found["interval"] = "corrected t over folds"
    found["reason"] = _reason(entries)
    if not defined:
        return found
    mean = math.fsum(defined) / len(defined)
    found["value"] = mean
    if len(defined) > 1:
        from scipy.stats import t

        sd = math.sqrt(math.fsum((value - mean) ** 2 for value in defined) / (len(defined) - 1))
        half = float(t.ppf(0.5 + LEVEL / 2, len(defined) - 1)) * sd * math.sqrt(1 / len(defined) + 1 / (folds - 1))
        found |= {"sd": sd, "low": max(mean - half, within[0]), "high": min(mean + half, within[1])}
    return found


def _reason(entries: Sequence[Mapping[str, Any]]) -> str | None:
    reasons = [str(entry.get("reason") or "undefined") for entry in entries if entry["value"] is None]
    if not reasons:
        return None
    has = "has" if len(reasons) == 1 else "have"
    return f"{len(reasons)} of {len(entries)} folds {has} no value: {'; '.join(dict.fromkeys(reasons))}"
