"""What a record is, before and after field mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lossmith.data.rejection import RecordError

SPLITS = ("train", "validation", "test")

FieldSpan = tuple[str, Sequence[tuple[int, int]]]


class Problem(NamedTuple):
    """Why a record is refused: a reason that can be counted, and what was seen.

    >>> Problem.of(RecordError("missing column: 'title'"))
    Problem(reason='missing column', detail="'title'")
    """

    reason: str
    detail: str = ""

    @classmethod
    def of(cls, error: RecordError) -> Problem:
        """The problem that an error tells: its message up to the first colon is the reason."""
        reason, _, detail = error.message.partition(": ")
        return cls(reason, "; ".join(part for part in (detail, error.fix) if part))


class Row(NamedTuple):
    """One record as a source gives it: its values by column, or the reason why it could not be read.

    `line` counts from 1: the line where the record begins in text files, else its number in the source. A document that
    was put together from rows has a name, `document`, and the cluster that it is of where no column says so. Of rows
    that are paired with criteria, `criterion` is the column that holds this one's label.
    """

    line: int
    values: dict[str, Any] | None
    problem: Problem | None = None
    document: str | None = None
    cluster: str | None = None
    criterion: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One example after field mapping.

    `fields` holds the names that the template reads; `spans` gives, by span name, the field and the half-open
    character intervals in it. `label` is a class's name or a 0 or 1 for each label where the task is a classification,
    else the cell as it is. `unaligned` names the spans whose tokens do not stand in their field; `respelled` are the
    words, as (from, to), that `uk_spelling` has changed.
    """

    id: str
    fields: Mapping[str, Any]
    split: str = "train"
    group: str | None = None
    cluster: str | None = None
    task: str | None = None
    keep: Mapping[str, Any] = field(default_factory=dict)
    spans: Mapping[str, FieldSpan] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] | None = None
    label: Any = None
    weight: float | None = None
    unaligned: Sequence[str] = ()
    respelled: Sequence[tuple[str, str]] = ()
    file: str = ""
    line: int = 0
