"""Lines of a binary stream, with a bound on what one line may hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from lossmith.errors import DataError

MAX_BYTES = 64 << 20
BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its line break; `content` is None where it was longer than the bound."""

    number: int
    content: bytes | None
    ended: bool


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Lines from 1, the byte order mark taken away; what is too long is passed over in pieces.

    Raises DataError for UTF-16 and UTF-32, in which no line could be read.
    """
    number = 0
    while chunk := stream.readline(MAX_BYTES):
        number += 1
        if number == 1:
            chunk = _without_mark(chunk)
        content: bytes | None = chunk.rstrip(b"\r\n")
        ended = chunk.endswith(b"\n")
        while not ended and len(chunk) >= MAX_BYTES:
            content = None
            chunk = stream.readline(MAX_BYTES)
            ended = chunk.endswith(b"\n") or not chunk
        yield Line(number, content, ended)


def _without_mark(first: bytes) -> bytes:
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            "the file is not UTF-8",
            got="a byte order mark of UTF-16 or UTF-32",
            expected="UTF-8",
            fix="convert it, for example with: iconv -f UTF-16 -t UTF-8 FILE",
        )
    return first.removeprefix(BOM)


def decode(content: bytes) -> str:
    """UTF-8 text of a line.

    Raises ValueError with the position of the first bad byte, or where a NUL shows that the file is damaged.
    """
    if b"\x00" in content:
        raise ValueError(f"NUL at byte {content.index(0) + 1}")
    return content.decode("utf-8")
