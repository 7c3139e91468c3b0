"""The texts of one record: written once as they are and once with marks, and checked before anything reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lossmith.data.environment import Part
from lossmith.data.rejection import RecordError
from lossmith.spans.markers import Markers

FieldIntervals = tuple[str, Sequence[tuple[int, int]]]


class RecordLike(Protocol):
    """What a template reads of a record."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Values by the names that the template reads."""

    @property
    def spans(self) -> Mapping[str, FieldIntervals]:
        """By span name: a field, and half-open character intervals in it."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]] | None:
        """The record's own messages, where the source has them."""


@dataclass(frozen=True)
class BareRecord:
    """Fields or messages without a source behind them."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    spans: Mapping[str, FieldIntervals] = field(default_factory=dict)
    messages: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Written:
    """Texts in the order of their parts: as they are (the truth), and with the marks of `markers`."""

    plain: list[str]
    marked: list[str]
    markers: Markers


def write_parts(record: RecordLike, parts: Sequence[Part], *, forbidden: re.Pattern[str] | None) -> Written:
    """Every part written for this record.

    `forbidden` finds the special tokens that no field may bring into the text; None allows them. Raises RecordError
    for such a field, for text that is no valid Unicode, and as `Part.render` does; DataError where a template writes
    another text once its spans are marked.
    """
    plain = [part.render(record.fields) for part in parts]
    check_unicode(plain)
    if forbidden is not None:
        _check_special_tokens(record.fields, parts, plain, forbidden=forbidden)
    markers = Markers(plain)
    if not record.spans and not any(part.spans for part in parts):
        return Written(plain, plain, markers)
    fields = _mark_fields(record, markers)
    touched = {field_name for field_name, _ in record.spans.values()}
    marked = [
        part.render(fields, markers) if part.spans or part.variables & touched else text
        for part, text in zip(parts, plain, strict=True)
    ]
    return Written(plain, marked, markers)


def check_unicode(texts: Iterable[str]) -> None:
    """Raise RecordError for a text with half a surrogate pair, which no tokenizer takes."""
    for text in texts:
        if not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise RecordError(
                    "the text is no valid Unicode",
                    got=f"{text[error.start]!r} at character {error.start}",
                    expected="whole characters; half of a surrogate pair stands alone here",
                ) from error


def _check_special_tokens(
    fields: Mapping[str, Any], parts: Sequence[Part], texts: Sequence[str], *, forbidden: re.Pattern[str]
) -> None:
    """A special token may stand where the template itself writes it, never where data brings it in."""
    found = {token for text in texts for token in forbidden.findall(text)}
    if not found:
        return
    for name in sorted(frozenset().union(*(part.variables for part in parts)) & set(fields)):
        for text in _strings(fields[name]):
            if held := forbidden.search(text):
                raise special_token_error(f"field '{name}'", held.group())
    for token in sorted(found):
        if not any(token in part.text for part in parts):
            raise special_token_error("the joined text", token)


def special_token_error(place: str, token: str) -> RecordError:
    """The error for data that brings a special token into a text."""
    return RecordError(
        f"{place} holds the special token {token}",
        expected="text without special tokens: it would end a turn or forge one",
        fix="clean the source, or set data.special_tokens_in_text: keep",
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def _mark_fields(record: RecordLike, markers: Markers) -> Mapping[str, Any]:
    by_field: dict[str, list[tuple[str, int, int]]] = {}
    for name, (field_name, intervals) in record.spans.items():
        text = record.fields.get(field_name)
        if not isinstance(text, str):
            raise RecordError(
                f"span '{name}' points into field '{field_name}', which is no text",
                got=type(text).__name__ if field_name in record.fields else "no such field",
                expected="a text field",
            )
        for start, end in intervals:
            if not 0 <= start <= end <= len(text):
                raise RecordError(
                    f"span '{name}' lies outside field '{field_name}'",
                    got=f"characters {start} to {end} of a text of {len(text)}",
                    expected="half-open character offsets inside the text",
                )
            by_field.setdefault(field_name, []).append((name, start, end))
    marked = {name: markers.wrap_intervals(record.fields[name], own) for name, own in by_field.items()}
    return {**record.fields, **marked}
