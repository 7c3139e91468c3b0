"""How well scores order the records of a group, alone and against the others (Borkan 2019).

Outside a group are all records that are not in it, those without any group among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lossmith.metrics.group_gaps import counting
from lossmith.metrics.outcomes import Binary
from lossmith.metrics.ranking import area_under_roc, by_score, roc_auc
from lossmith.metrics.scores import Ranked, Scores, without_value

# Which records count, of masks (records,) of positives and of those in the group.
Chosen = Callable[[np.ndarray, np.ndarray], np.ndarray]


def subgroup_auc(binary: Binary, inside: np.ndarray) -> Ranked:
    """roc_auc of the records of a group (`inside`, a mask); 0 to 1, up.

    >>> gold, inside = np.array([1, 0, 1, 0]) == 1, np.array([1, 1, 0, 0]) == 1
    >>> subgroup_auc(Binary("yes", gold, gold, np.array([0.9, 0.7, 0.6, 0.1])), inside).value()
    1.0
    """
    return _of(binary, inside, _subgroup)


def bpsn_auc(binary: Binary, inside: np.ndarray) -> Ranked:
    """roc_auc of positives outside a group with negatives inside; 0 to 1, up; low where its negatives score too high.

    >>> gold, inside = np.array([1, 0, 1, 0]) == 1, np.array([1, 1, 0, 0]) == 1
    >>> bpsn_auc(Binary("yes", gold, gold, np.array([0.9, 0.7, 0.6, 0.1])), inside).value()
    0.0
    """
    return _of(binary, inside, _bpsn)


def bnsp_auc(binary: Binary, inside: np.ndarray) -> Ranked:
    """roc_auc of negatives outside a group with positives inside; 0 to 1, up; low where its positives score too low.

    >>> gold, inside = np.array([1, 0, 1, 0]) == 1, np.array([1, 1, 0, 0]) == 1
    >>> bnsp_auc(Binary("yes", gold, gold, np.array([0.9, 0.7, 0.6, 0.1])), inside).value()
    1.0
    """
    return _of(binary, inside, _bnsp)


def worst_group_subgroup_auc(binary: Binary) -> Ranked | Scores:
    """The smallest subgroup_auc of a group; 0 to 1, up.

    >>> from lossmith.metrics.outcomes import Groups
    >>> gold, one = np.array([1, 0, 1, 0]) == 1, Groups(("a",), np.ones((4, 1)) == 1, smallest=1)
    >>> worst_group_subgroup_auc(Binary("yes", gold, gold, np.array([0.9, 0.7, 0.6, 0.1]), one)).value()
    0.75
    """
    return _worst(binary, _subgroup)


def worst_group_bpsn_auc(binary: Binary) -> Ranked | Scores:
    """The smallest bpsn_auc of a group; 0 to 1, up.

    >>> from lossmith.metrics.outcomes import Groups
    >>> gold, one = np.array([1, 0, 1, 0]) == 1, Groups(("a",), np.array([[1], [1], [0], [0]]) == 1, smallest=1)
    >>> worst_group_bpsn_auc(Binary("yes", gold, gold, np.array([0.9, 0.7, 0.6, 0.1]), one)).value()
    0.0
    """
    return _worst(binary, _bpsn)


def worst_group_bnsp_auc(binary: Binary) -> Ranked | Scores:
    """The smallest bnsp_auc of a group; 0 to 1, up.

    >>> from lossmith.metrics.outcomes import Groups
    >>> gold, one = np.array([1, 0, 1, 0]) == 1, Groups(("a",), np.array([[1], [1], [0], [0]]) == 1, smallest=1)
    >>> worst_group_bnsp_auc(Binary("yes", gold, gold, np.array([0.9, 0.7, 0.6, 0.1]), one)).value()
    1.0
    """
    return _worst(binary, _bnsp)


def _subgroup(_: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return inside


def _bpsn(gold: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return gold != inside


def _bnsp(gold: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return gold == inside


def _of(binary: Binary, inside: np.ndarray, chosen: Chosen) -> Ranked:
    """The area over all records, those that are not chosen having no score: clusters stay those of all records."""
    scores = np.where(chosen(binary.gold, inside), binary.scores, np.nan)
    return roc_auc(replace(binary, scores=scores))


def _worst(binary: Binary, chosen: Chosen) -> Ranked | Scores:
    groups = binary.groups
    if groups is None or not groups.names:
        return without_value("the records name no group", len(binary))

    def weigh(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(areas(columns, weights).min(axis=0))

    def areas(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Areas (groups, resamples) of columns gold, scores, and membership of each group."""
        found = []
        for inside in columns[:, 2:].T == 1:
            rows = chosen(columns[:, 0] == 1, inside)
            found.append(area_under_roc(*by_score(columns[rows, 0], columns[rows, 1], weights[:, rows])))
        return np.stack(found)

    columns = np.column_stack([binary.gold, binary.scores, groups.members]).astype(np.float64)
    values = areas(columns, np.ones((1, len(binary))))[:, 0]
    counted, left_out = counting(groups, values)
    if not len(counted):
        return without_value("no group is large enough and defined" + left_out, len(binary))
    notes = [f"the worst group is {groups.names[counted[values[counted].argmin()]]}"]
    notes.extend([f"groups left out{left_out}"] if left_out else [])
    scored = ~np.isnan(binary.scores)
    return Ranked(
        columns[:, np.concatenate([[0, 1], 2 + counted])],
        weigh,
        notes=tuple(notes),
        scored=None if scored.all() else scored,
    )
