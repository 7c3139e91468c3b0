"""Texts of the chunks of a prepared file, read as a stream, and what names each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lossmith.models.feature_store import KEY_LENGTH, key_of

# Documents in memory at once.
_DOCUMENTS = 64


@dataclass(frozen=True)
class Documents:
    """What the rows of a prepared file hold, without their texts.

    keys: of each chunk's text, in order, (chunks,). starts, ends: its characters in its document, int32. until: how
    many chunks the rows before each row have, (rows + 1,). pairs: the second texts, each once. pair_of: which of them a
    row has, (rows,), -1 for none.
    """

    keys: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    until: np.ndarray
    pairs: tuple[str, ...]
    pair_of: np.ndarray


@dataclass(frozen=True)
class _Batch:
    """Some rows: their texts and second texts, chunks of each, and the characters of all chunks one after another."""

    texts: list[str]
    pairs: list[str | None]
    counts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def chunks(self) -> Iterator[list[str]]:
        """The chunks of each row."""
        first = 0
        for text, count in zip(self.texts, self.counts.tolist(), strict=True):
            own = slice(first, first + count)
            yield [text[a:b] for a, b in zip(self.starts[own].tolist(), self.ends[own].tolist(), strict=True)]
            first += count


def key_of_chunk(text: str) -> str:
    """What stands for a text in a store of vectors.

    >>> key_of_chunk("a") == key_of_chunk("a "), len(key_of_chunk(""))
    (False, 32)
    """
    return key_of(text.encode("utf-8", "surrogatepass"))


def read_documents(file: Path) -> Documents:
    """Names and places of all chunks of a prepared file; memory holds 40 bytes a chunk, and one batch of texts."""
    batches = _Columns([], [], [], [], [])
    distinct: dict[str, int] = {}
    for batch in _batches(file):
        own: list[str] = []
        previous: tuple[list[str], list[str]] = [], []
        for chunks in batch.chunks():
            # A document that is asked about several criteria stands in as many rows.
            if chunks != previous[0]:
                previous = chunks, [key_of_chunk(chunk) for chunk in chunks]
            own += previous[1]
        batches.keys.append(np.array(own, dtype=f"S{KEY_LENGTH}"))
        batches.starts.append(batch.starts)
        batches.ends.append(batch.ends)
        batches.counts.append(batch.counts)
        numbers = [-1 if pair is None else distinct.setdefault(pair, len(distinct)) for pair in batch.pairs]
        batches.pairs.append(np.array(numbers, dtype=np.int64))
    counts = _joined(batches.counts, np.int64)
    return Documents(
        keys=_joined(batches.keys, np.dtype(f"S{KEY_LENGTH}")),
        starts=_joined(batches.starts, np.int32),
        ends=_joined(batches.ends, np.int32),
        until=np.concatenate([[0], np.cumsum(counts)]),
        pairs=tuple(distinct),
        pair_of=_joined(batches.pairs, np.int64),
    )


def chunk_texts(file: Path) -> Iterator[str]:
    """The chunks of a prepared file as a stream, for encoders that are fitted.

    Rows of one document after another, as criteria make them, count once.
    """
    previous = None
    for batch in _batches(file):
        for text, chunks in zip(batch.texts, batch.chunks(), strict=True):
            if text != previous:
                yield from chunks
            previous = text


def texts_where(file: Path, wanted: np.ndarray) -> Iterator[str]:
    """The texts of those chunks that a mask (chunks,) is true for, as a stream, in order."""
    first = 0
    for batch in _batches(file):
        for chunks in batch.chunks():
            own = wanted[first : first + len(chunks)]
            first += len(chunks)
            yield from (chunk for chunk, is_wanted in zip(chunks, own.tolist(), strict=True) if is_wanted)


@dataclass(frozen=True)
class _Columns:
    keys: list[np.ndarray]
    starts: list[np.ndarray]
    ends: list[np.ndarray]
    counts: list[np.ndarray]
    pairs: list[np.ndarray]


def _batches(file: Path) -> Iterator[_Batch]:
    with pq.ParquetFile(file) as parquet:
        for rows in parquet.iter_batches(batch_size=_DOCUMENTS, columns=["prompt", "chunks", "pair"]):
            spans = rows.column("chunks")
            chunks = spans.flatten()
            yield _Batch(
                texts=[text or "" for text in rows.column("prompt").to_pylist()],
                pairs=rows.column("pair").to_pylist(),
                counts=pc.fill_null(pc.list_value_length(spans), 0).to_numpy().astype(np.int64),
                starts=_numbers(chunks, "start"),
                ends=_numbers(chunks, "end"),
            )


def _numbers(chunks: pa.Array, side: str) -> np.ndarray:
    return np.asarray(pc.struct_field(chunks, side).to_numpy(zero_copy_only=False), dtype=np.int32)


def _joined(parts: list[np.ndarray], dtype: np.typing.DTypeLike) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts])
