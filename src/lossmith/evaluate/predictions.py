"""The predictions file of a run, as metrics read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lossmith.errors import DataError, InputError
from lossmith.evaluate.outcomes import facts_of, group_members, read_outcomes
from lossmith.labels import Classes
from lossmith.metrics.outcomes import Groups, Outcomes

SMALLEST_GROUP = 10


@dataclass(frozen=True)
class Predictions:
    """One row a record, failures included; `where` names the file in errors.

    Of a classification `outcomes` are read from the file, unless others are `given` (those of a baseline).
    """

    table: pa.Table
    where: str
    smallest_group: int = SMALLEST_GROUP
    given: Outcomes | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """The record ids, in file order."""
        return [str(one) for one in self.table["id"].to_pylist()]

    @cached_property
    def failed(self) -> np.ndarray:
        """Mask (records,) of rows that hold an error or no prediction."""
        answer = "predicted" if self.classes and "predicted" in self.table.column_names else "prediction"
        missing = self.table[answer].is_null()
        if "error" in self.table.column_names:
            missing = pc.or_(missing, self.table["error"].is_valid())
        return np.asarray(missing.to_pylist(), dtype=bool)

    @property
    def clusters(self) -> list[Any] | None:
        """The cluster of each record, None where the file names none."""
        return self._optional("cluster")

    @cached_property
    def groups(self) -> Groups:
        """The groups and who is in them; without names where the file names none."""
        return group_members(self._optional("group") or [None] * len(self), smallest=self.smallest_group)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the file of a classification says of itself: classes, threshold, temperature."""
        return facts_of(self.table)

    @cached_property
    def classes(self) -> Classes | None:
        """The classes, None where the file is not of a classification."""
        return Classes.from_json(self.facts["classes"]) if self.facts.get("classes") else None

    @cached_property
    def answer_schema(self) -> dict[str, Any]:
        """The JSON schema that answers keep to.

        Raises InputError where the file names none.
        """
        held = (self.table.schema.metadata or {}).get(b"answer_schema")
        if held is None:
            raise InputError(
                f"{self.where} names no schema that answers keep to",
                expected="predictions of a run with data.answer_schema, which the asked metric reads",
                fix="data.answer_schema=schema.json, or another metric",
            )
        return dict(json.loads(held))

    @cached_property
    def outcomes(self) -> Outcomes:
        """What was true and what was said of each record.

        Raises InputError where the file is not of a classification.
        """
        if self.given is not None:
            return self.given
        if self.classes is None:
            raise InputError(
                f"{self.where} holds no classification",
                got=", ".join(self.table.column_names),
                expected="labels and predicted classes, which the asked metric reads",
            )
        return read_outcomes(self.table, self.classes, where=self.where, failed=self.failed, groups=self.groups)

    def column(self, name: str) -> list[Any]:
        """A column as a list; the prediction of a failed row is None, whatever text it holds.

        `schema` is the JSON schema that answers keep to, the same for every record. Raises InputError where the file
        lacks the column, DataError where a record has no target.
        """
        if name == "schema":
            return [self.answer_schema] * len(self)
        if name not in self.table.column_names:
            raise InputError(
                f"{self.where} has no column '{name}'",
                got=", ".join(self.table.column_names),
                expected=f"a column '{name}', which the asked metric reads",
            )
        shared = name == "target" and "references" in self.table.column_names
        values = self.table["references" if shared else name].to_pylist()
        if name == "prediction":
            return [None if failed else value for value, failed in zip(values, self.failed, strict=True)]
        if name == "target":
            lacking = [one for one, value in zip(self.ids, values, strict=True) if value is None or value == []]
            if lacking:
                raise DataError(
                    f"{len(lacking)} records of {self.where} have no target",
                    got=", ".join(lacking[:5]),
                    expected="a target for every record that is scored",
                )
        return values

    def take(self, rows: np.ndarray) -> Predictions:
        """Some of the records, by index."""
        # What was read of all records need not be read again for some.
        outcomes = self.given or (self.outcomes if self.classes else None)
        taken = None if outcomes is None else outcomes.take(rows)
        return replace(self, table=self.table.take(pa.array(rows)), given=taken)

    def deciding(self, outcomes: Outcomes) -> Predictions:
        """The same records with other decisions and scores."""
        return replace(self, given=outcomes)

    def answering(self, texts: Sequence[str]) -> Predictions:
        """The same records with other predicted texts, none of them failed."""
        table = self.table.set_column(
            self.table.column_names.index("prediction"), "prediction", pa.array(texts, type=pa.string())
        )
        if "error" in table.column_names:
            table = table.drop_columns(["error"])
        return replace(self, table=table)

    def _optional(self, name: str) -> list[Any] | None:
        if name not in self.table.column_names or self.table[name].null_count == len(self):
            return None
        return list(self.table[name].to_pylist())


def read_predictions(path: Path, *, smallest_group: int = SMALLEST_GROUP) -> Predictions:
    """Read `predictions/<split>.parquet`; a group under `smallest_group` records is too small to judge.

    Raises InputError where it is missing, damaged, empty, or where ids are lacking or repeat.
    """
    if not path.exists():
        raise InputError(
            f"there are no predictions at {path}",
            expected="the file that `lossmith predict` writes",
            fix=f"lossmith predict {path.parent.parent} --split {path.stem}",
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no readable parquet file: {error}", fix="predict the split again") from error
    for name in ("id", "prediction"):
        if name not in table.column_names:
            raise InputError(f"{path} has no column '{name}'", got=", ".join(table.column_names), expected=name)
    if table.num_rows == 0:
        raise InputError(f"{path} holds no record", expected="at least one predicted record")
    predictions = Predictions(table, str(path), smallest_group)
    if repeated := [one for one, times in Counter(predictions.ids).items() if times > 1]:
        raise DataError(
            f"{len(repeated)} ids stand more than once in {path}",
            got=", ".join(repeated[:5]),
            expected="one row a record",
            fix="name a unique column in data.id",
        )
    return predictions


def aligned(first: Predictions, other: Predictions) -> Predictions:
    """The other run's records in the order of the first.

    Raises InputError where ids, clusters, targets, or of two classifications labels or classes differ.
    """
    places = {one: place for place, one in enumerate(other.ids)}
    alone = [[one for one in first.ids if one not in places], [one for one in other.ids if one not in set(first.ids)]]
    if any(alone):
        raise InputError(
            f"the runs were scored on different records: {len(alone[0])} ids are only in {first.where}, "
            f"{len(alone[1])} only in {other.where}",
            got="; ".join(f"only in {side}: {_some(ids)}" for side, ids in zip("12", alone, strict=True) if ids),
            expected="the same record ids in every run",
            fix="predict both runs on one split of one data set",
        )
    same = other.take(np.array([places[one] for one in first.ids]))
    _check_classes(first, other)
    # Ways of classifying differ in their targets: a head has names of classes, an answer has words.
    truth = "label" if first.classes and other.classes else "target"
    for column in (truth, "cluster"):
        ours, theirs = (
            run.table[column].to_pylist() if column in run.table.column_names else None for run in (first, same)
        )
        if ours is None or theirs is None or ours == theirs:
            continue
        differing = [one for one, left, right in zip(first.ids, ours, theirs, strict=True) if left != right]
        raise InputError(
            f"the runs have different values of '{column}' for {len(differing)} records",
            got=_some(differing),
            expected=f"the same {column} for one id in every run",
        )
    return same


def _check_classes(first: Predictions, other: Predictions) -> None:
    if first.classes is None or other.classes is None:
        return
    ours, theirs = ((set(one.names), one.positive, one.multi_label) for one in (first.classes, other.classes))
    if ours != theirs:
        raise InputError(
            "the runs tell different classes apart",
            got="; ".join(
                f"{', '.join(one.names)} (positive: {one.positive})" for one in (first.classes, other.classes)
            ),
            expected="the same classes, and the same positive one",
        )


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
