"""From the columns of a row to a record: names, parsed cells, ids, groups, clusters, spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith.config.data import DataConfig
from lossmith.data.columns import MISSING, lookup, parse_cell, replace
from lossmith.data.normalize import normalize, steps_of
from lossmith.data.records import FieldSpan, Record
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError, DataError
from lossmith.spans.characters import intervals_of

GROUP_JOINT = " & "


def check_mapping(data: DataConfig) -> None:
    """Raise ConfigError for a mapping that no record could follow, before any is read."""
    steps = steps_of(data.normalize)
    for name, span in data.spans.items():
        if steps:
            raise ConfigError(
                f"data.normalize changes the text that the offsets of data.spans.{name} count in",
                got=", ".join(data.normalize),
                expected="offsets into the text as it is",
                fix="leave out data.normalize, or data.spans",
            )
        if data.fields and span.field not in data.fields:
            raise ConfigError(
                f"data.spans.{name}.field names no field",
                got=span.field,
                expected=f"a name of data.fields: {', '.join(data.fields)}",
            )


def to_record(values: Mapping[str, Any], data: DataConfig, *, place: tuple[str, int], split: str) -> Record:
    """The record that a row makes; `place` is the name of its source and its line there.

    Raises RecordError where a column that the record needs is missing or of the wrong type.
    """
    file, line = place
    values = parse_columns(values, data)
    steps = steps_of(data.normalize)
    own = {name: _required(values, column) for name, column in data.fields.items()}
    fields = own or dict(values)
    messages = None
    if data.messages is not None:
        messages = normalize(_required(values, data.messages), steps)
    return Record(
        id=record_id(values, data, place=place),
        fields=normalize(fields, steps) if steps else fields,
        split=split,
        group=_group(values, data),
        cluster=_text_or_none(values, data.cluster),
        task=_text_or_none(values, data.task),
        keep={column: _or_none(values, column) for column in data.keep},
        spans={name: _span(values, fields, name, data) for name in data.spans},
        messages=messages,
        label=_label(values, data),
        file=file,
        line=line,
    )


def parse_columns(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The row with the cells of `data.parse` read.

    Raises RecordError for a cell that cannot be read so.
    """
    for column, how in data.parse.items():
        value = lookup(values, column)
        if isinstance(value, str):
            try:
                values = replace(values, column, parse_cell(value, how))
            except RecordError as error:
                raise RecordError(f"{error.message} (column '{column}')") from None
    return values


def record_id(values: Mapping[str, Any], data: DataConfig, *, place: tuple[str, int]) -> str:
    """The record's id: its column, or file and line.

    Raises RecordError where the column is missing or empty.
    """
    if data.id is None:
        return f"{place[0]}:{place[1]}"
    text = _as_text(_required(values, data.id))
    if text is None:
        raise RecordError(f"empty id: column '{data.id}'")
    return text


def given_split(values: Mapping[str, Any], column: str) -> str | None:
    """The value of the split column as text, or None where it is empty."""
    return _text_or_none(values, column)


def _required(values: Mapping[str, Any], column: str) -> Any:
    value = lookup(values, column)
    if value is MISSING:
        raise RecordError(f"missing column: '{column}'")
    return value


def _or_none(values: Mapping[str, Any], column: str) -> Any:
    value = lookup(values, column)
    return None if value is MISSING else value


def _as_text(value: Any) -> str | None:
    """Ids, groups and clusters are text; an empty or blank cell is none."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case list():
            texts = sorted(text for item in value if (text := _as_text(item)) is not None)
            return GROUP_JOINT.join(texts) or None
    return str(value).strip() or None


def _text_or_none(values: Mapping[str, Any], column: str | None) -> str | None:
    return None if column is None else _as_text(_or_none(values, column))


def _group(values: Mapping[str, Any], data: DataConfig) -> str | None:
    columns = [data.group] if isinstance(data.group, str) else data.group or []
    texts = [text for column in columns if (text := _text_or_none(values, column)) is not None]
    return GROUP_JOINT.join(texts) or None


def _label(values: Mapping[str, Any], data: DataConfig) -> Any:
    if isinstance(data.label, list):
        return [_required(values, column) for column in data.label]
    return None if data.label is None else _required(values, data.label)


def _span(values: Mapping[str, Any], fields: Mapping[str, Any], name: str, data: DataConfig) -> FieldSpan:
    span = data.spans[name]
    text, offsets = fields.get(span.field, MISSING), _required(values, span.offsets)
    if not isinstance(text, str):
        raise RecordError(f"bad span offsets: '{name}': the field '{span.field}' is no text")
    if isinstance(offsets, str):
        fix = f"write data.parse.{span.offsets}=literal"
        raise RecordError(f"bad span offsets: '{name}': column '{span.offsets}' holds text; {fix}")
    try:
        intervals = intervals_of(offsets)
    except DataError as error:
        raise RecordError(f"bad span offsets: '{name}': {error.message}") from None
    for start, end in intervals:
        if end > len(text):
            raise RecordError(f"bad span offsets: '{name}': [{start}, {end}) in {len(text)} characters")
    return span.field, tuple((start, end) for start, end in intervals if end > start)
