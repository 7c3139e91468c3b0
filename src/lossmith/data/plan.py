"""What becomes of every row: its split, how often it is written, or that it is left out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lossmith.config.data import DataConfig
from lossmith.data.fields import to_record
from lossmith.data.folds import LEFT_OUT, Dealt, assign_fold, fold_doubts, folds_of
from lossmith.data.labelling import Labelling
from lossmith.data.records import SPLITS, Problem, Record, Row
from lossmith.data.rejected import Rejections
from lossmith.data.rejection import RecordError
from lossmith.data.scan import Progress, Scan, iterate
from lossmith.data.sources.files import Source
from lossmith.data.splits import TRAIN, CrossingCluster, assign, hash_text, repeats, sample
from lossmith.errors import ConfigError, DataError, LossmithError

DUPLICATE = Problem("duplicate id", "an earlier record has the same id")


@dataclass(frozen=True)
class Plan:
    """The second pass, decided; arrays are (rows,) in the order of the sources.

    `split` is 0 train, 1 validation, 2 test, -1 left out; `copies` is how often a row is written. `beyond_limit` and
    `unweighted` count the records that data.limit and a weight under 1 leave out; `set_aside` marks those that folds
    leave out, and `doubts` are sentences on the folds. `class_names` are those of a classification in their order.
    """

    sources: Sequence[Source]
    data: DataConfig
    scan: Scan
    split: np.ndarray
    copies: np.ndarray
    beyond_limit: int
    unweighted: int
    set_aside: np.ndarray
    doubts: tuple[str, ...] = ()
    labelling: Labelling | None = None
    class_names: tuple[str, ...] = ()


class Planned(NamedTuple):
    """A record that is written `copies` times."""

    record: Record
    copies: int


def make_plan(
    sources: Sequence[Source], data: DataConfig, scan: Scan, *, seed: int, labelling: Labelling | None = None
) -> Plan:
    """Decide splits or folds, limit, weights and classes.

    Raises DataError, naming the cluster, where one was given two splits, for labels that make no classes, and for more
    folds than there are records or clusters; ConfigError for folds that the configuration does not allow.
    """
    good = np.flatnonzero(scan.good)
    good = good[sample(scan.ids[good], scan.given[good], data.limit, seed=seed)]
    names = _class_names(scan, good, labelling)
    dealt = Dealt(scan.ids[good], scan.clusters[good], _label_table(scan, good, labelling, names), names)
    folds = folds_of(data)
    if labelling is None and (data.split.stratified or any(fold.stratified for fold in folds)):
        raise ConfigError(
            "only a classification can have stratified splits or folds",
            got="data.split.stratified, or a stratified fold",
            expected="task.kind=classification, with data.label",
        )
    by_class = dealt.labels if data.split.stratified else None
    try:
        chosen = assign(dealt.clusters, scan.given[good], split=data.split, seed=seed, labels=by_class)
    except CrossingCluster as error:
        first, second = (int(good[position]) for position in error.records)
        raise _crossing(sources, data, scan, (first, second)) from None
    doubts: list[str] = []
    if folds:
        doubts = fold_doubts(dealt, chosen, folds[0])
        chosen = assign_fold(dealt, chosen, folds, seed=seed)
    weights = np.array([source.weight for source in sources])
    counts = repeats(dealt.ids, weights[scan.source[good]], chosen == TRAIN, seed=seed)
    counts[chosen == LEFT_OUT] = 0
    split = np.full(len(scan.good), LEFT_OUT, dtype=np.int8)
    copies = np.zeros(len(scan.good), dtype=np.int32)
    split[good], copies[good] = chosen, counts
    set_aside = np.zeros(len(scan.good), dtype=bool)
    set_aside[good] = chosen == LEFT_OUT
    return Plan(
        sources=sources,
        data=data,
        scan=scan,
        split=split,
        copies=copies,
        beyond_limit=int(scan.good.sum()) - len(good),
        unweighted=int(((counts == 0) & (chosen != LEFT_OUT)).sum()),
        set_aside=set_aside,
        doubts=tuple(doubts),
        labelling=None if labelling is None else replace(labelling, found=names),
        class_names=names,
    )


def _class_names(scan: Scan, rows: np.ndarray, labelling: Labelling | None) -> tuple[str, ...]:
    if labelling is None:
        return ()
    return labelling.class_names(scan.found_labels[code] for code in np.unique(scan.labels[rows]))


def _label_table(scan: Scan, rows: np.ndarray, labelling: Labelling | None, names: Sequence[str]) -> np.ndarray:
    """Which classes hold for each row, (rows, classes) of bool."""
    if labelling is None:
        return np.zeros((len(rows), 0), dtype=bool)
    held = [set(labelling.names(label)) for label in scan.found_labels]
    return np.array([[name in own for name in names] for own in held], dtype=bool)[scan.labels[rows]]


def planned_records(plan: Plan, *, progress: Progress | None = None) -> Generator[Planned, None, None]:
    """Records that are written, read again from their sources, in order.

    Raises LossmithError where a source gives other records than at the first pass.
    """
    total = len(plan.scan.good)
    for position, source, row in _rows_again(plan.sources, plan.data, plan.scan):
        if progress is not None:
            progress(position + 1, total)
        if plan.copies[position]:
            own = SPLITS[plan.split[position]]
            record = _record_again(source, row, plan.data, split=own, labelling=plan.labelling)
            if record is None or hash_text(f"id {record.id}") != plan.scan.ids[position]:
                raise _changed(source)
            yield Planned(record, int(plan.copies[position]))


def reject_duplicates(sources: Sequence[Source], data: DataConfig, scan: Scan, rejections: Rejections) -> None:
    """Write down the records refused for an id seen before; their sources are read again only where there are any."""
    if not scan.duplicate.any():
        return
    for position, source, row in _rows_again(sources, data, scan):
        if scan.duplicate[position]:
            record = _record_again(source, row, data, split="train")
            rejections.add(source.name, row.line, DUPLICATE, id=record.id if record else None)


def _rows_again(sources: Sequence[Source], data: DataConfig, scan: Scan) -> Iterator[tuple[int, Source, Row]]:
    total = len(scan.good)
    position = -1
    for position, (number, row) in enumerate(iterate(sources, data)):
        if position >= total or number != scan.source[position]:
            raise _changed(sources[number])
        yield position, sources[number], row
    if position + 1 != total:
        raise _changed(sources[-1])


def _record_again(
    source: Source, row: Row, data: DataConfig, *, split: str, labelling: Labelling | None = None
) -> Record | None:
    if row.values is None:
        return None
    try:
        return to_record(row, data, file=source.name, split=split, labelling=labelling)
    except RecordError:
        return None


def _changed(source: Source) -> LossmithError:
    return LossmithError(
        f"{source.name} gave other records at the second reading than at the first",
        got="a source that changed while it was read",
        expected="the same records in the same order",
        fix="run it again when nothing writes to the source; a source of your own must yield the same each time",
    )


def _crossing(sources: Sequence[Source], data: DataConfig, scan: Scan, positions: tuple[int, int]) -> DataError:
    places = {}
    cluster = None
    for position, source, row in _rows_again(sources, data, scan):
        if position in positions and (record := _record_again(source, row, data, split="train")) is not None:
            places[position] = f"{source.name} line {row.line} ({SPLITS[scan.given[position]]})"
            cluster = record.cluster
        if len(places) == len(positions):
            break
    own = [data.assemble.by] if data.assemble is not None else []
    named = ", ".join(data.cluster_columns or own)
    return DataError(
        f"the cluster '{cluster}' has records in two splits",
        got=" and ".join(places.values()),
        expected=f"every value of '{named}' in one split: a cluster never crosses",
        fix="move its records into one split, let data.split divide the records by fraction, "
        "or name another data.cluster if these records are independent",
    )
