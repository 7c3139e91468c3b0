"""Error rates across groups: the gap between the best and the worst, and the worst itself.

A group counts where it is large enough and its figure is defined; the others are named. A resample in which a group
that counts has no figure has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from lossmith.metrics.confusion import accuracy, balanced_accuracy, f1, f1_macro, fnr, fpr, recall, selection_rate, tpr
from lossmith.metrics.outcomes import Binary, Groups, Outcomes
from lossmith.metrics.scores import Scores, without_value

Fold = Callable[[np.ndarray], np.ndarray]


def fpr_gap(binary: Binary) -> Scores:
    """Largest less smallest false positive rate of a group; 0 to 1, down.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> fpr_gap(Binary("yes", gold, said, np.zeros(5), pair)).value()
    1.0
    """
    return _gap(fpr(binary), binary.groups, "fpr")


def fnr_gap(binary: Binary) -> Scores:
    """Largest less smallest false negative rate of a group; 0 to 1, down; equal to tpr_gap.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> fnr_gap(Binary("yes", gold, said, np.zeros(5), pair)).value()
    0.5
    """
    return _gap(fnr(binary), binary.groups, "fnr")


def tpr_gap(binary: Binary) -> Scores:
    """Largest less smallest true positive rate of a group; 0 to 1, down: equality of opportunity (Hardt 2016).

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> tpr_gap(Binary("yes", gold, said, np.zeros(5), pair)).value()
    0.5
    """
    return _gap(tpr(binary), binary.groups, "tpr")


def selection_rate_gap(binary: Binary) -> Scores:
    """Largest less smallest share of a group said to be of the class; 0 to 1, down: demographic parity.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> round(selection_rate_gap(Binary("yes", gold, said, np.zeros(5), pair)).value(), 4)
    0.1667
    """
    return _gap(selection_rate(binary), binary.groups, "selection_rate")


def equalized_odds_difference(binary: Binary) -> Scores:
    """The larger of fpr_gap and tpr_gap; 0 to 1, down (Hardt 2016).

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> equalized_odds_difference(Binary("yes", gold, said, np.zeros(5), pair)).value()
    1.0
    """
    gaps = (fpr_gap(binary), tpr_gap(binary))
    if reason := next((one.undefined for one in gaps if one.undefined), None):
        return without_value(reason, len(binary))
    width = gaps[0].stats.shape[1]

    def reduce(sums: np.ndarray) -> np.ndarray:
        return np.maximum(gaps[0].reduce(sums[..., :width]), gaps[1].reduce(sums[..., width:]))

    stats = np.concatenate([one.stats for one in gaps], axis=1)
    return Scores(stats, reduce, notes=tuple(dict.fromkeys((*gaps[0].notes, *gaps[1].notes))))


def bias_score(binary: Binary) -> Scores:
    """1 less the mean of (FPR + FNR) / 2 over all groups where both are defined, however small; 0 to 1, up.

    It averages balanced accuracy over groups and does not measure gaps: equal for groups that are all alike and for
    groups far apart.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> bias_score(Binary("yes", gold, said, np.zeros(5), pair)).value()
    0.625
    """
    rates = fpr(binary), fnr(binary)
    k = rates[0].stats.shape[1]

    def both(sums: np.ndarray) -> np.ndarray:
        return np.asarray((rates[0].reduce(sums[..., :k]) + rates[1].reduce(sums[..., k:])) / 2)

    pair = Scores(np.concatenate([one.stats for one in rates], axis=1), both)
    every = None if binary.groups is None else replace(binary.groups, smallest=1)
    # nan of a group that counts stays nan in the mean.
    found = _across(pair, every, lambda values: 1 - values.mean(axis=-1), fewest=1, told=None)
    said = "it averages balanced accuracy over groups and does not measure gaps between them"
    return Scores(found.stats, found.reduce, found.parts, notes=(said, *found.notes), undefined=found.undefined)


def worst_group_accuracy(outcomes: Outcomes) -> Scores:
    """The smallest accuracy of a group; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> pair = Groups(("a", "b"), np.array([[1, 0], [1, 0], [0, 1]]) == 1, smallest=1)
    >>> worst_group_accuracy(outcomes(Classes(("x", "y")), gold=[0, 1, 1], said=[0, 0, 1], groups=pair)).value()
    0.5
    """
    return _worst(accuracy(outcomes), outcomes.groups, "up")


def worst_group_balanced_accuracy(outcomes: Outcomes) -> Scores:
    """The smallest balanced accuracy of a group; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> one = Groups(("a",), np.ones((3, 1)) == 1, smallest=1)
    >>> found = outcomes(Classes(("x", "y")), gold=[0, 1, 1], said=[0, 0, 1], groups=one)
    >>> worst_group_balanced_accuracy(found).value()
    0.75
    """
    found = balanced_accuracy(outcomes)
    return found if found.undefined else _worst(found, outcomes.groups, "up")


def worst_group_f1_macro(outcomes: Outcomes) -> Scores:
    """The smallest f1_macro of a group; 0 to 1, up.

    >>> from lossmith.labels import Classes
    >>> from lossmith.metrics.outcomes import outcomes
    >>> one = Groups(("a",), np.ones((3, 1)) == 1, smallest=1)
    >>> found = outcomes(Classes(("x", "y")), gold=[0, 1, 1], said=[0, 0, 1], groups=one)
    >>> round(worst_group_f1_macro(found).value(), 4)
    0.6667
    """
    return _worst(f1_macro(outcomes), outcomes.groups, "up")


def worst_group_f1(binary: Binary) -> Scores:
    """The smallest F1 of a group; 0 to 1, up.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> round(worst_group_f1(Binary("yes", gold, said, np.zeros(5), pair)).value(), 4)
    0.5
    """
    return _worst(f1(binary), binary.groups, "up")


def worst_group_recall(binary: Binary) -> Scores:
    """The smallest recall of a group; 0 to 1, up.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> worst_group_recall(Binary("yes", gold, said, np.zeros(5), pair)).value()
    0.5
    """
    return _worst(recall(binary), binary.groups, "up")


def worst_group_fpr(binary: Binary) -> Scores:
    """The largest false positive rate of a group; 0 to 1, down.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> worst_group_fpr(Binary("yes", gold, said, np.zeros(5), pair)).value()
    1.0
    """
    return _worst(fpr(binary), binary.groups, "down")


def worst_group_fnr(binary: Binary) -> Scores:
    """The largest false negative rate of a group; 0 to 1, down.

    >>> pair = Groups(("a", "b"), np.eye(2)[[0, 0, 1, 1, 1]] == 1, smallest=1)
    >>> gold, said = np.array([1, 0, 1, 1, 0]) == 1, np.array([1, 0, 1, 0, 1]) == 1
    >>> worst_group_fnr(Binary("yes", gold, said, np.zeros(5), pair)).value()
    0.5
    """
    return _worst(fnr(binary), binary.groups, "down")


def _gap(scores: Scores, groups: Groups | None, name: str) -> Scores:
    def fold(values: np.ndarray) -> np.ndarray:
        return np.asarray(values.max(axis=-1) - values.min(axis=-1))

    return _across(scores, groups, fold, fewest=2, told=lambda values: _ends(name, values))


def _worst(scores: Scores, groups: Groups | None, direction: Literal["up", "down"]) -> Scores:
    fold: Fold = (lambda values: values.min(axis=-1)) if direction == "up" else (lambda values: values.max(axis=-1))

    def told(values: Mapping[str, float]) -> str:
        worst = min(values, key=lambda name: values[name] if direction == "up" else -values[name])
        return f"the worst group is {worst}"

    return _across(scores, groups, fold, fewest=1, told=told)


def _across(
    scores: Scores,
    groups: Groups | None,
    fold: Fold,
    *,
    fewest: int,
    told: Callable[[Mapping[str, float]], str] | None,
) -> Scores:
    """The figure of each group folded to one value; `told` makes a sentence of the groups that count."""
    if groups is None or not groups.names:
        return without_value("the records name no group", len(scores))
    width, k = len(groups.names), scores.stats.shape[1]
    stats = (groups.members[:, :, None] * scores.stats[:, None, :]).reshape(len(scores), width * k)
    values = np.asarray(scores.reduce(stats.sum(axis=0).reshape(width, k)))
    counted, left_out = counting(groups, values)
    if len(counted) < fewest:
        needed = "two groups are" if fewest == 2 else "no group is"
        few = "fewer than " if fewest == 2 else ""
        return without_value(f"{few}{needed} large enough and defined" + left_out, len(scores))

    def reduce(sums: np.ndarray) -> np.ndarray:
        return fold(np.asarray(scores.reduce(sums.reshape(*sums.shape[:-1], len(counted), k))))

    kept = stats.reshape(len(scores), width, k)[:, counted].reshape(len(scores), len(counted) * k)
    notes = [told({groups.names[place]: float(values[place]) for place in counted})] if told else []
    notes.extend(scores.notes)
    if left_out:
        notes.append(f"groups left out{left_out}")
    return Scores(kept, reduce, notes=tuple(notes))


def counting(groups: Groups, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Places of the groups that count, by size and by their values (groups,), and why the others do not."""
    small = groups.sizes < groups.smallest
    defined = ~np.isnan(values)
    why = [
        f"{name} ({f'{size} of at least {groups.smallest} records' if few else 'undefined'})"
        for name, size, few, there in zip(groups.names, groups.sizes.tolist(), small, defined, strict=True)
        if few or not there
    ]
    return np.flatnonzero(defined & ~small), ": " + ", ".join(why) if why else ""


def _ends(name: str, values: Mapping[str, float]) -> str:
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    if values[lowest] == values[highest]:
        return f"{name} is {values[lowest]:.4g} in every group"
    return f"{name} is {values[lowest]:.4g} in {lowest} and {values[highest]:.4g} in {highest}"
