"""Where a record is: its prepared row, its source, or the reason why it has no row."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from lossmith.config.schema import Config
from lossmith.data.fields import record_id, to_record
from lossmith.data.labelling import Labelling
from lossmith.data.plan import Plan
from lossmith.data.prepare import Prepared, plan_data
from lossmith.data.records import SPLITS, Record, Row
from lossmith.data.rejected import Rejections
from lossmith.data.rejection import RecordError
from lossmith.data.scan import iterate
from lossmith.data.sources.files import Source, list_sources
from lossmith.doctor.inspection import Status
from lossmith.doctor.subject import Subject
from lossmith.errors import DataError, InputError, unknown_name
from lossmith.runs import read_jsonl
from lossmith.tasks.find_row import near_ids, numbers_of, read_row


@dataclass(frozen=True)
class Found:
    """A record of the sources and what became of it.

    `row` is its prepared row with its number as `row`; `record` the source's, None where it was not read again.
    `reason` says why there is no row, or no tokens in it.
    """

    id: str
    split: str | None
    status: Status
    row: dict[str, Any] | None = None
    record: Record | None = None
    copies: int = 1
    reason: str | None = None


class _Source(NamedTuple):
    """A row of the sources: its number among all, its place, and its record where it makes one."""

    position: int
    place: str
    record: Record | None


def find_record(subject: Subject, *, id: str | None, split: str | None) -> Found:  # noqa: A002
    """The record of that id (or `file:line`), or the first of the split (default: train).

    Raises InputError, with the nearest id, for one that is nowhere, and for one that is in another split; DataError
    for a split without records.
    """
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    prepared = subject.prepared
    if id is None:
        file = _file(prepared, split or "train")
        own = str(pq.ParquetFile(file).read_row_group(0, columns=["id"]).column("id")[0].as_py())
        found = _prepared(subject, own, split=split or "train")
        assert found is not None, f"{file} holds the id that was read from it"
        return found
    found = _prepared(subject, id, split=split) or _not_prepared(subject, id)
    if split is not None and found.split not in (split, None):
        raise InputError(
            f"the record '{id}' is not in the {split} split",
            got=f"--split {split}",
            expected=f"--split {found.split}, where it is",
        )
    return found


def _prepared(subject: Subject, id: str, *, split: str | None) -> Found | None:  # noqa: A002
    """The prepared row of an id, looked for in the asked split first."""
    for name in sorted(SPLITS, key=lambda each: each != split):
        file = subject.prepared.split_file(name)
        if file is None:
            continue
        numbers = numbers_of(file, id)
        if not numbers:
            continue
        row = read_row(file, numbers[0])
        source = _in_sources(subject, id) if subject.readable else None
        record = replace(source.record, split=name) if source and source.record else None
        status: Status = "failed" if row.get("error") else "prepared"
        return Found(id, name, status, row, record, len(numbers), row.get("error"))
    return None


def _not_prepared(subject: Subject, id: str) -> Found:  # noqa: A002
    """A record that has no row under this id: rejected, dropped, left out, or known by another name."""
    source = _in_sources(subject, id) if subject.readable else None
    for line in read_jsonl(subject.prepared.folder / "rejected.jsonl"):
        place = f"{line['file']}:{line['line']}"
        # A later record that was refused for having the same id is another one.
        if place == source.place if source else id in (line.get("id"), place):
            return _rejected(id, line)
    if source is None or source.record is None:
        raise _unknown(subject, id)
    if source.record.id != id and (found := _prepared(subject, source.record.id, split=None)) is not None:
        return found
    return _left_out(subject.config, source.position, source.record)


def _rejected(id: str, line: dict[str, Any]) -> Found:  # noqa: A002
    detail = f": {line['detail']}" if line.get("detail") else ""
    reason = f"rejected, {line['reason']}{detail} ({line['file']} line {line['line']})"
    return Found(id, None, "rejected", reason=reason)


def _left_out(config: Config, position: int, record: Record) -> Found:
    """Plan the data anew to learn why a good record has no row."""
    data = config.data
    with tempfile.TemporaryDirectory() as folder, Rejections(Path(folder) / "rejected.jsonl") as rejections:
        plan = plan_data(config, list_sources(data), rejections)
    number, copies = int(plan.split[position]), int(plan.copies[position])
    if number < 0:
        return Found(record.id, None, "left_out", record=record, copies=0, reason=_why_no_split(plan, position))
    split = SPLITS[number]
    record = replace(record, split=split)
    if not copies:
        reason = "left out by the weight of its file, which is below 1"
        return Found(record.id, split, "left_out", record=record, copies=0, reason=reason)
    reason = f"dropped, longer than {data.limits} (data.truncation={data.truncation})"
    return Found(record.id, split, "dropped", record=record, copies=0, reason=reason)


def _why_no_split(plan: Plan, position: int) -> str:
    if plan.set_aside[position]:
        return "left out of the folds: it belongs to the test split, which stays untouched"
    return f"left out by data.limit={plan.data.limit}"


def _in_sources(subject: Subject, id: str) -> _Source | None:  # noqa: A002
    """The first row of the sources that makes a record of this id, or stands at this `file:line`."""
    config, classes = subject.config, subject.prepared.classes
    sources, labelling = list_sources(config.data), Labelling.of(config)
    if labelling is not None and classes is not None:
        # A template may read the words of all classes.
        labelling = replace(labelling, found=classes.names)
    broken = None
    for position, (number, row) in enumerate(iterate(sources, config.data)):
        name = sources[number].name
        place = f"{name}:{row.line}"
        if id not in (place, _own_id(sources[number], row, config)):
            continue
        if (record := _record(name, row, config, labelling)) is not None:
            return _Source(position, place, record)
        broken = broken or _Source(position, place, None)
    return broken


def _record(name: str, row: Row, config: Config, labelling: Labelling | None) -> Record | None:
    if row.values is None or row.problem is not None:
        return None
    try:
        return to_record(row, config.data, file=name, split="train", labelling=labelling)
    except RecordError:
        return None


def _own_id(source: Source, row: Row, config: Config) -> str | None:
    if row.values is None:
        return None
    try:
        return record_id(row, config.data, file=source.name)
    except RecordError:
        return None


def _file(prepared: Prepared, split: str) -> Path:
    file = prepared.split_file(split)
    if file is None:
        there = [name for name in SPLITS if prepared.split_file(name)]
        raise DataError(
            f"there is no record in the {split} split",
            got=f"--split {split}",
            expected=", ".join(there) or "a split with records",
            fix="choose another split, or look at data.split",
        )
    return file


def _unknown(subject: Subject, id: str) -> InputError:  # noqa: A002
    if subject.readable:
        sources = list_sources(subject.config.data)
        rows = iterate(sources, subject.config.data)
        known = [_own_id(sources[n], row, subject.config) or f"{sources[n].name}:{row.line}" for n, row in rows]
    else:
        files = [file for name in SPLITS if (file := subject.prepared.split_file(name))]
        known = [str(own) for file in files for own in pq.read_table(file, columns=["id"]).column("id").to_pylist()]
    near = near_ids(id, known)
    return InputError(
        f"there is no record '{id}'",
        got=f"--id {id}",
        expected=f"one of {len(known)} records, such as '{known[0]}'" if known else "the id of a record",
        fix=f"did you mean '{near[0]}'?" if near else "leave out --id for the first record of the split",
    )
