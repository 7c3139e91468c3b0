"""A JSON array of objects, decoded element by element; a .json file of JSON Lines is read as such."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from lossmith.data.records import Row
from lossmith.data.sources.jsonl import object_problem, read_constant, read_jsonl
from lossmith.data.sources.lines import BOM, MAX_BYTES
from lossmith.errors import DataError

CHUNK_BYTES = 1 << 16
_BLANKS = " \t\r\n"


def read_json(stream: BinaryIO) -> Iterator[Row]:
    """Rows of an array of objects, or of one object a line.

    `line` is the number of the element. Raises DataError where the array itself is damaged: what follows the
    damage cannot be told apart, so nothing can be rejected one by one.

    >>> import io
    >>> [row.values for row in read_json(io.BytesIO(b'[{"a": 1}, {"a": 2}]'))]
    [{'a': 1}, {'a': 2}]
    """
    start = stream.read(CHUNK_BYTES)
    body = start.removeprefix(BOM).lstrip()
    rest = _Joined(start, stream)
    if body.startswith(b"{"):
        if not _first_line_is_object(body):
            raise DataError(
                "a JSON file must be an array of objects, or hold one object a line",
                got="one object over several lines",
                fix="put the records into an array: [{...}, {...}]",
            )
        yield from read_jsonl(rest)  # type: ignore[arg-type]
        return
    yield from _elements(_Buffer(rest))


def _first_line_is_object(body: bytes) -> bool:
    first, found, _ = body.partition(b"\n")
    if not found and len(body) >= CHUNK_BYTES - len(BOM):
        return True
    try:
        return isinstance(json.loads(first), dict)
    except ValueError:
        return False


class _Joined:
    """A stream with the part already read put back in front."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start = start
        self._stream = stream

    def read(self, size: int) -> bytes:
        if self._start:
            part, self._start = self._start[:size], self._start[size:]
            return part
        return self._stream.read(size)

    def readline(self, limit: int) -> bytes:
        if not self._start:
            return self._stream.readline(limit)
        end = self._start.find(b"\n") + 1
        if end:
            part, self._start = self._start[:end], self._start[end:]
            return part
        part, self._start = self._start, b""
        return part + self._stream.readline(limit - len(part))


class _Buffer:
    """Decoded text that grows at its end and is let go at its front."""

    def __init__(self, stream: _Joined) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self.text = ""
        self.at = 0
        self.ended = False

    def grow(self) -> None:
        size = max(CHUNK_BYTES, len(self.text) - self.at)
        if size > MAX_BYTES:
            raise _damaged(f"an element longer than {MAX_BYTES} characters, or one that is never closed")
        chunk = self._stream.read(size)
        self.ended = not chunk
        try:
            self.text = self.text[self.at :] + self._decode.decode(chunk, final=self.ended)
        except UnicodeDecodeError as error:
            raise _damaged(f"invalid UTF-8: {error.reason}") from None
        self.at = 0

    def next_mark(self) -> str:
        """The next character that is no blank, not yet taken; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _BLANKS:
                self.at += 1
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.grow()


def _elements(buffer: _Buffer) -> Iterator[Row]:
    decoder = json.JSONDecoder(parse_constant=read_constant)
    if (mark := buffer.next_mark()) != "[":
        if not mark:
            return
        raise _damaged(f"'{mark}' where the array should begin")
    buffer.at += 1
    if buffer.next_mark() == "]":
        return
    number = 0
    while True:
        number += 1
        value, text = _decode_element(buffer, decoder, number)
        problem = object_problem(value, text)
        yield Row(number, None if problem else value, problem)
        mark = buffer.next_mark()
        buffer.at += 1
        if mark == "]":
            if buffer.next_mark():
                raise _damaged("text after the end of the array")
            return
        if mark != ",":
            raise _damaged(f"after element {number}: {mark or 'the end of the file'!r} where ',' or ']' was expected")


def _decode_element(buffer: _Buffer, decoder: json.JSONDecoder, number: int) -> tuple[Any, str]:
    buffer.next_mark()
    while True:
        try:
            value, end = decoder.raw_decode(buffer.text, buffer.at)
        except RecursionError:
            raise _damaged(f"element {number} is nested too deeply") from None
        except ValueError as error:
            if buffer.ended:
                raise _damaged(f"element {number}: {error}") from None
        else:
            # A number that ends where the buffer ends may go on in the next chunk.
            if end < len(buffer.text) or buffer.ended:
                text = buffer.text[buffer.at : end]
                buffer.at = end
                return value, text
        buffer.grow()


def _damaged(what: str) -> DataError:
    return DataError(
        "the JSON array is damaged",
        got=what,
        expected="an array of objects: [{...}, {...}]",
        fix="write one object a line (.jsonl): there a damaged record is rejected alone",
    )
