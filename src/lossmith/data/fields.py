"""From the columns of a row to a record: names, parsed cells, ids, groups, clusters, spans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lossmith.config.data import DataConfig
from lossmith.data.columns import LIST_JOINT, MISSING, as_text, lookup, parse_cell, replace
from lossmith.data.labelling import Labelling
from lossmith.data.normalize import normalize, steps_of
from lossmith.data.records import FieldSpan, Record, Row
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError, DataError
from lossmith.labels import CRITERION
from lossmith.spans.alignment import align_tokens
from lossmith.spans.characters import intervals_of


def check_mapping(data: DataConfig) -> None:
    """Raise ConfigError for a mapping that no record could follow, before any is read."""
    steps = steps_of(data.normalize)
    for name, span in data.spans.items():
        if steps and span.offsets is not None:
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


def to_record(
    row: Row,
    data: DataConfig,
    *,
    file: str,
    split: str,
    labelling: Labelling | None = None,
) -> Record:
    """The record that a row with values makes; `file` is the name of its source.

    With a `labelling` the template may read the label's name and words beside the fields, and in a pair the text of
    its criterion. Raises RecordError where a column that the record needs is missing or of the wrong type.
    """
    values = parse_columns(row, data)
    respelled: list[tuple[str, str]] = []
    steps = steps_of(data.normalize, respelled=respelled)
    own = {name: _required(values, column) for name, column in data.fields.items()}
    fields: Mapping[str, Any] = own or dict(values)
    if row.criterion is not None:
        fields = {**fields, CRITERION: data.pairs[row.criterion]}
    fields = normalize(fields, steps) if steps else fields
    messages = None
    if data.messages is not None:
        messages = normalize(_required(values, data.messages), steps)
    spans = {name: _span(values, fields, name, data) for name in data.spans}
    label = labelling.read(values, criterion=row.criterion) if labelling else _label(values, data)
    kept = {column: _or_none(values, column) for column in data.keep}
    return Record(
        id=record_id(row, data, file=file),
        fields={**fields, **labelling.fields(label)} if labelling else fields,
        split=split,
        group=_group(values, data),
        cluster=_cluster(values, data) or _own_cluster(row, data, file),
        task=_text_or_none(values, data.task),
        keep=kept if row.criterion is None else {**kept, CRITERION: row.criterion},
        spans={name: span for name, span in spans.items() if span is not None},
        messages=messages,
        label=label,
        weight=None if data.weight is None else _weight(_required(values, data.weight), data.weight),
        unaligned=tuple(name for name, span in spans.items() if span is None),
        respelled=respelled,
        file=file,
        line=row.line,
    )


def parse_columns(row: Row, data: DataConfig) -> Mapping[str, Any]:
    """The values of a row with the cells of `data.parse` read.

    Raises RecordError for a cell that cannot be read so.
    """
    values: Mapping[str, Any] = row.values or {}
    for column, how in data.parse.items():
        value = lookup(values, column)
        if isinstance(value, str):
            try:
                values = replace(values, column, parse_cell(value, how))
            except RecordError as error:
                raise RecordError(f"{error.message} (column '{column}')") from None
    return values


def record_id(row: Row, data: DataConfig, *, file: str) -> str:
    """The id of the record that a row makes: of its document, and of the criterion that it is paired with.

    A document has the name that it was put together under, the column `data.id`, or file and line. Raises RecordError
    where the column is missing or empty, or a cell of `data.parse` cannot be read.
    """
    document = _document_id(row, data, file)
    return document if row.criterion is None else f"{document}#{row.criterion}"


def _cluster(values: Mapping[str, Any], data: DataConfig) -> str | None:
    """The cluster that columns name: the text of the one, or those of several, an empty one among them left empty."""
    found = [_text_or_none(values, column) for column in data.cluster_columns]
    return LIST_JOINT.join(text or "" for text in found) if any(found) else None


def _own_cluster(row: Row, data: DataConfig, file: str) -> str | None:
    """The cluster of a record of which no column names one: documents of one value, pairs of one document."""
    if row.cluster is not None or row.criterion is None:
        return row.cluster
    return _document_id(row, data, file)


def _document_id(row: Row, data: DataConfig, file: str) -> str:
    if row.document is not None:
        return row.document
    if data.id is None:
        return f"{file}:{row.line}"
    text = as_text(_required(parse_columns(row, data), data.id))
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


def _text_or_none(values: Mapping[str, Any], column: str | None) -> str | None:
    return None if column is None else as_text(_or_none(values, column))


def _group(values: Mapping[str, Any], data: DataConfig) -> str | None:
    columns = [data.group] if isinstance(data.group, str) else data.group or []
    texts = [text for column in columns if (text := _text_or_none(values, column)) is not None]
    return LIST_JOINT.join(texts) or None


def _label(values: Mapping[str, Any], data: DataConfig) -> Any:
    if isinstance(data.label, list):
        return [_required(values, column) for column in data.label]
    return None if data.label is None else _required(values, data.label)


def _weight(cell: Any, column: str) -> float:
    try:
        weight = float(cell)
    except (TypeError, ValueError):
        weight = math.nan
    if isinstance(cell, bool) or not 0 < weight < math.inf:
        raise RecordError(f"bad weight: column '{column}' holds {str(cell)[:40]!r}, no number above 0")
    return weight


def _span(values: Mapping[str, Any], fields: Mapping[str, Any], name: str, data: DataConfig) -> FieldSpan | None:
    """The field and the characters of a span; None where its tokens do not stand in the field."""
    span = data.spans[name]
    text = fields.get(span.field, MISSING)
    if not isinstance(text, str):
        raise RecordError(f"bad span: '{name}': the field '{span.field}' is no text")
    if span.offsets is not None:
        return span.field, _offsets(_required(values, span.offsets), text, name=name, column=span.offsets)
    assert span.tokens is not None, "the schema asks for offsets or tokens"
    tokens = _tokens(_required(values, span.tokens), name=name, column=span.tokens)
    aligned = align_tokens(normalize(tokens, steps_of(data.normalize)), text)
    return None if aligned is None else (span.field, tuple(aligned))


def _tokens(cell: Any, *, name: str, column: str) -> list[str]:
    """The tokens of a cell: a list of texts, or a text split at its blanks; none where it is empty."""
    if cell is None or isinstance(cell, str):
        return (cell or "").split()
    if not isinstance(cell, list) or not all(isinstance(token, str) for token in cell):
        raise RecordError(f"bad span: '{name}': column '{column}' holds no tokens")
    return [token.strip() for token in cell if token.strip()]


def _offsets(offsets: Any, text: str, *, name: str, column: str) -> tuple[tuple[int, int], ...]:
    if isinstance(offsets, str):
        raise RecordError(f"bad span: '{name}': column '{column}' holds text; write data.parse.{column}=literal")
    try:
        intervals = intervals_of(offsets)
    except DataError as error:
        raise RecordError(f"bad span: '{name}': {error.message}") from None
    for start, end in intervals:
        if end > len(text):
            raise RecordError(f"bad span: '{name}': [{start}, {end}) in {len(text)} characters")
    return tuple((start, end) for start, end in intervals if end > start)
