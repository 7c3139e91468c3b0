"""Which reader a file name asks for."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from lossmith.config.data import DataConfig
from lossmith.data.records import Row
from lossmith.data.sources.delimited import read_csv, read_tsv
from lossmith.data.sources.files import Source
from lossmith.data.sources.json_array import read_json
from lossmith.data.sources.jsonl import read_jsonl
from lossmith.data.sources.own import read_own
from lossmith.data.sources.parquet import read_parquet
from lossmith.data.sources.plain_text import read_document, read_paragraphs, read_text_lines
from lossmith.errors import DataError, LossmithError, unknown_name

StreamReader = Callable[[BinaryIO], Iterator[Row]]

STREAMS: Mapping[str, StreamReader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
}

TEXTS: Mapping[str, StreamReader] = {
    "line": read_text_lines,
    "paragraph": read_paragraphs,
    "document": read_document,
}


def read_rows(source: Source, data: DataConfig) -> Generator[Row, None, None]:
    """The rows of a source, one at a time.

    Raises DataError for a suffix that no reader is known for, and for damage after which no record can be told
    from another (a cut gzip file, a broken array); damage to one record gives a row with its problem.
    """
    if source.function is not None:
        yield from read_own(source.function, source.paths, data.source_options)
        return
    path = source.paths[0]
    try:
        if path.suffix.lower() == ".parquet":
            yield from read_parquet(path)
        else:
            with _open(path) as stream:
                yield from _reader(path, data.sample_by)(stream)
    except DataError as error:
        raise DataError(
            f"{path}: {error.message}", got=error.got, expected=error.expected, fix=error.fix
        ) from error.__cause__
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file", got=error, expected="a whole file") from error
    except OSError as error:
        raise LossmithError(f"{path} could not be read: {error.strerror or error}", got=path) from error


def check_format(source: Source) -> None:
    """Raise InputError, with the nearest known suffix, for a file that no reader is known for."""
    if source.function is None and source.paths[0].suffix.lower() != ".parquet":
        _reader(source.paths[0], "line")


def _reader(path: Path, sample_by: str) -> StreamReader:
    suffix = _text_suffix(path)
    if suffix == ".txt":
        return TEXTS[sample_by]
    try:
        return STREAMS[suffix]
    except KeyError:
        known = [*STREAMS, ".txt", ".parquet"]
        raise unknown_name("file format", suffix or path.name, known, where=str(path)) from None


def _text_suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")
