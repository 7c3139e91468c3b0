"""Plain text: a record is a line, a paragraph or the whole file; its column is `text`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lossmith.data.records import Problem, Row
from lossmith.data.sources.lines import BOM, MAX_BYTES, Line, decode, read_lines


def read_text_lines(stream: BinaryIO) -> Iterator[Row]:
    """One row a line that is not blank."""
    for line in read_lines(stream):
        if line.content is None or line.content.strip():
            yield _row(line.number, [line])


def read_paragraphs(stream: BinaryIO) -> Iterator[Row]:
    """One row a block of lines between blank lines.

    >>> import io
    >>> [row.values["text"] for row in read_paragraphs(io.BytesIO(b"a\\nb\\n\\n\\nc\\n"))]
    ['a\\nb', 'c']
    """
    block: list[Line] = []
    for line in read_lines(stream):
        if line.content is None or line.content.strip():
            block.append(line)
        elif block:
            yield _row(block[0].number, block)
            block = []
    if block:
        yield _row(block[0].number, block)


def read_document(stream: BinaryIO) -> Iterator[Row]:
    """The whole file as one row; a blank file has none."""
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        yield Row(1, None, Problem("document too long", f"more than {MAX_BYTES} bytes"))
    elif content.strip():
        yield _row(1, [Line(1, content.removeprefix(BOM), ended=True)])


def _row(number: int, lines: list[Line]) -> Row:
    parts: list[str] = []
    for line in lines:
        if line.content is None:
            return Row(number, None, Problem("line too long", f"line {line.number}: more than {MAX_BYTES} bytes"))
        try:
            parts.append(decode(line.content))
        except UnicodeDecodeError as error:
            return Row(number, None, Problem("invalid UTF-8", f"line {line.number}, byte {error.start + 1}"))
        except ValueError as error:
            return Row(number, None, Problem("NUL in the line", f"line {line.number}: {error}"))
    return Row(number, {"text": "\n".join(parts)})
