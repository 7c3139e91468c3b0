"""CSV and TSV with a header row; quoted cells may contain line breaks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from lossmith.data.records import Problem, Row
from lossmith.data.sources.lines import MAX_BYTES
from lossmith.errors import DataError

MAX_CELL_CHARACTERS = 16 << 20


def read_csv(stream: BinaryIO) -> Iterator[Row]:
    """Rows of comma-separated values: text by column name.

    A header cell without a name becomes column_<number>, counted from 1. A row with another number of cells, or
    with bytes that are no UTF-8, becomes a row with its problem. Raises DataError where a quote is never closed,
    since all that follows lies inside it.

    >>> import io
    >>> [row.values for row in read_csv(io.BytesIO(b',text\\n7,"a\\nb"\\n'))]
    [{'column_1': '7', 'text': 'a\\nb'}]
    """
    return _read(stream, ",")


def read_tsv(stream: BinaryIO) -> Iterator[Row]:
    """As read_csv, separated by tabs."""
    return _read(stream, "\t")


def _read(stream: BinaryIO, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(_bounded_lines(text), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            first_line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise _open_quote(first_line) from None
                yield Row(first_line, None, Problem("bad row", str(error)))
                continue
            if cells and header is None:
                header = _column_names(cells)
            elif cells and header is not None:
                yield _row(first_line, cells, header)


def _row(line: int, cells: list[str], header: list[str]) -> Row:
    if len(cells) != len(header):
        seen = f"{len(cells)} cells where the header names {len(header)}"
        return Row(line, None, Problem("wrong number of cells", seen))
    joined = "".join(cells)
    if "\x00" in joined:
        return Row(line, None, Problem("NUL in the line", f"in the row that begins at line {line}"))
    if not joined.isascii():
        try:
            joined.encode("utf-8")
        except UnicodeEncodeError:
            return Row(line, None, Problem("invalid UTF-8", f"in the row that begins at line {line}"))
    return Row(line, dict(zip(header, cells, strict=True)))


def _column_names(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    taken = {name for name in names if name}
    if len(taken) < sum(1 for name in names if name):
        twice = sorted({name for name in names if name and names.count(name) > 1})
        raise DataError(
            "two columns of the header have one name",
            got=", ".join(twice),
            expected="a name of its own for every column",
        )
    for number, name in enumerate(names, start=1):
        if not name:
            own = f"column_{number}"
            while own in taken:
                own += "_"
            names[number - 1] = own
            taken.add(own)
    return names


def _bounded_lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_BYTES):
        if len(line) >= MAX_BYTES:
            raise DataError("a line is too long for a table", got=f"more than {MAX_BYTES} characters")
        yield line


def _open_quote(line: int) -> DataError:
    return DataError(
        f"the quote opened in the row that begins at line {line} is never closed",
        got="the end of the file inside a quoted cell",
        expected='a closing quote; a quote inside a cell is written twice: ""',
    )
