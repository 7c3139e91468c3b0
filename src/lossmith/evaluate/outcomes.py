"""From the columns of a predictions file to what classification metrics read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from lossmith.errors import DataError, InputError
from lossmith.labels import Classes
from lossmith.metrics.outcomes import Groups, Outcomes, outcomes

METADATA = b"lossmith"
GROUP_JOINT = " & "


def facts_of(table: pa.Table) -> dict[str, Any]:
    """What the file says of itself: classes, threshold, temperature; empty for a file of texts."""
    held = (table.schema.metadata or {}).get(METADATA)
    return dict(json.loads(held)) if held else {}


def read_outcomes(table: pa.Table, classes: Classes, *, where: str, failed: np.ndarray, groups: Groups) -> Outcomes:
    """Truth, decisions and scores of a file's records; `failed` (records,) marks those without an answer.

    Raises InputError for a column that is missing, DataError for a record without a label or with a class that is none.
    """
    scores = np.stack([_numbers(table, name, where) for name in classes.score_columns], axis=1)
    scores[failed] = np.nan
    if classes.multi_label:
        gold = np.stack([_numbers(table, f"label.{name}", where) for name in classes.names], axis=1)
        said = np.stack([_numbers(table, f"predicted.{name}", where) for name in classes.names], axis=1)
        _check_labels(table, np.isnan(gold).any(axis=1), where)
        said[failed] = np.nan
        return outcomes(classes, gold=gold, said=said, scores=scores, groups=groups)
    labels = _column(table, "label", where)
    _check_labels(table, np.array([one is None for one in labels]), where)
    places = {name: place for place, name in enumerate(classes.names)}
    answers = zip(_column(table, "predicted", where), failed, strict=True)
    return outcomes(
        classes,
        gold=[_place(name, places, where) for name in labels],
        said=[None if broken or name is None else _place(name, places, where) for name, broken in answers],
        scores=scores,
        groups=groups,
    )


def group_members(cells: Sequence[str | None], *, smallest: int) -> Groups:
    """The groups that the records' cells name, in alphabetical order.

    A cell `a & b` (of two columns, or of a list) puts its record in a, in b and in their intersection `a & b`; a cell
    of three names in every pair of them.

    >>> found = group_members(["a & b", "a", None], smallest=1)
    >>> found.names, found.members.astype(int).tolist()
    (('a', 'a & b', 'b'), [[1, 1, 1], [1, 0, 0], [0, 0, 0]])
    """
    held = {cell: _named(cell) for cell in set(cells) if cell is not None}
    names = tuple(sorted({name for found in held.values() for name in found}))
    places = {name: place for place, name in enumerate(names)}
    members = np.zeros((len(cells), len(names)), dtype=bool)
    for row, cell in enumerate(cells):
        if cell is not None:
            members[row, [places[name] for name in held[cell]]] = True
    return Groups(names, members, smallest)


def named_by_several(cells: Sequence[str | None], columns: int) -> list[str]:
    """Names that stand in more than one of the columns that cells were joined from, and so are one group.

    >>> named_by_several(["women & other", "other & old", None, "men"], 2)
    ['other']
    """
    places: dict[str, set[int]] = {}
    for cell in {cell for cell in cells if cell is not None}:
        parts = cell.split(GROUP_JOINT)
        if len(parts) == columns:
            for place, name in enumerate(parts):
                places.setdefault(name, set()).add(place)
    return sorted(name for name, found in places.items() if len(found) > 1)


def _named(cell: str) -> list[str]:
    parts = list(dict.fromkeys(str(cell).split(GROUP_JOINT)))
    return [*parts, *(GROUP_JOINT.join(pair) for pair in combinations(parts, 2))]


def _check_labels(table: pa.Table, missing: np.ndarray, where: str) -> None:
    if missing.any():
        ids = [str(table["id"][int(row)].as_py()) for row in np.flatnonzero(missing)[:5]]
        raise DataError(
            f"{int(missing.sum())} records of {where} have no label",
            got=", ".join(ids),
            expected="a label for every record that is scored",
        )


def _place(name: str, places: dict[str, int], where: str) -> int:
    if name not in places:
        raise DataError(f"{where} names a class that is none of its classes", got=name, expected=", ".join(places))
    return places[name]


def _numbers(table: pa.Table, name: str, where: str) -> np.ndarray:
    values = _column(table, name, where)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _column(table: pa.Table, name: str, where: str) -> list[Any]:
    if name not in table.column_names:
        raise InputError(
            f"{where} has no column '{name}'",
            got=", ".join(table.column_names),
            expected="label, predicted and a score of every class",
            fix="predict the split again",
        )
    return list(table[name].to_pylist())
