"""Vectors of the chunks of prepared documents: computed once for each text and encoder, and read from the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, compress, islice
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.data.cache import cache_folder
from lossmith.models.encoders.encoder import ChunkEncoder, Encoded, unit_length
from lossmith.models.feature_store import KEY_LENGTH, FeatureStore, key_of
from lossmith.tasks.chunk_texts import Documents, key_of_chunk, read_documents, texts_where

logger = logging.getLogger("lossmith")

Progress = Callable[[int, int | None], None]
# Texts that are encoded and written together: what a killed process has to do again.
BLOCK_TEXTS = 1024
# As many where each of them has a vector for each of its tokens: they are in memory together.
BLOCK_TEXTS_OF_TOKENS = 64
# Between lines of the log while texts are encoded.
TOLD_SECONDS = 30
# What the store keeps beside a vector: the characters of the text that it stands for, how many vectors of the same text
# stand before it, and whether the end of the text was not read. The last vector of a text has the text's own key: where
# a killed process left that one, all are there.
START, END, BEFORE, CUT = MARKS = range(4)


class DocumentVectors:
    """The vectors of the documents of a prepared file, memory-mapped: memory holds 16 bytes a chunk.

    Every vector has length 1, or is zero where its encoder knows nothing of the text. With an encoder of tokens the
    units of a document are the tokens of its chunks, otherwise its chunks.
    """

    def __init__(self, store: FeatureStore, documents: Documents, places: np.ndarray, *, per_token: bool) -> None:
        self.width, self.folder, self.per_token = store.width, store.folder, per_token
        self._store, self._until, self._pair_of = store, documents.until, documents.pair_of
        self._starts, self._ends = documents.starts, documents.ends
        # Of each chunk and then of each second text, where the last of its vectors lies in the store.
        self._lasts, self._pairs = np.split(places, [len(documents.keys)])

    def __len__(self) -> int:
        """Rows of the file."""
        return len(self._pair_of)

    def __getstate__(self) -> dict[str, Any]:
        # A worker maps the files itself instead of being sent what they hold.
        return {name: held for name, held in vars(self).items() if name not in ("_vectors", "_marks")}

    def rows(self, row: int) -> np.ndarray:
        """The vectors of a row's document, float32 (vectors, width); (0, width) for one without chunks."""
        return np.asarray(self._vectors[self._of_row(row)])

    def pair(self, row: int) -> np.ndarray | None:
        """The vector of a row's second text, float32 (width,), None where it has none."""
        which = self._pair_of[row]
        return None if which < 0 else _directions(self._vectors, self._marks, self._pairs[[which]])[0]

    def units(self, row: int) -> np.ndarray:
        """The characters of the document that each vector of `rows` stands for, int32 (vectors, 2)."""
        own = self._chunks_of(row)
        starts, ends = self._starts[own], self._ends[own]
        if not self.per_token:
            return np.stack([starts, ends], axis=1)
        spans = np.asarray(self._marks[self._of_row(row)][:, [START, END]])
        return spans + np.repeat(starts, self._sizes[own])[:, None]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Vectors of each row, int64 (rows,)."""
        until = np.concatenate([[0], np.cumsum(self._sizes)])[self._until]
        return np.diff(until)

    @property
    def chunks(self) -> int:
        """Chunks of all rows."""
        return len(self._lasts)

    @cached_property
    def cut(self) -> int:
        """Chunks of which the encoder did not read the end."""
        return int(np.count_nonzero(self._marks[self._lasts, CUT]))

    @property
    def places(self) -> np.ndarray:
        """Where in `stored` the vectors of all rows lie, one row after another, int64 (vectors,)."""
        return _runs(self._lasts, self._sizes) if self.per_token else self._lasts

    @property
    def stored(self) -> np.ndarray:
        """All vectors of the encoder, float32 (stored, width), read from the disk as they are used."""
        return self._vectors

    @cached_property
    def _vectors(self) -> np.ndarray:
        return np.asarray(self._store.vectors())

    @cached_property
    def _marks(self) -> np.ndarray:
        return np.asarray(self._store.marks())

    @cached_property
    def _sizes(self) -> np.ndarray:
        """Vectors of each chunk."""
        if not self.per_token:
            return np.ones(len(self._lasts), dtype=np.int64)
        return self._marks[self._lasts, BEFORE].astype(np.int64) + 1

    def _chunks_of(self, row: int) -> slice:
        return slice(*self._until[[row, row + 1]].tolist())

    def _of_row(self, row: int) -> np.ndarray:
        """Where in the store the vectors of a row lie."""
        own = self._chunks_of(row)
        lasts = self._lasts[own]
        return _runs(lasts, self._sizes[own]) if self.per_token else lasts


def embed(file: Path, encoder: ChunkEncoder, *, progress: Progress | None = None) -> DocumentVectors:
    """The vectors of the documents of a prepared file; those that no run has computed yet are computed first.

    They lie in $LOSSMITH_CACHE/chunks, in a folder for each encoder, under the hash of their text: runs, folds and
    processes share them, a text that occurs often is encoded once, and a killed process goes on where it was. Where
    all are there the encoder loads no weights. `progress` is told the texts encoded and those to encode.
    """
    store = store_of(encoder)
    documents = read_documents(file)
    chunks = len(documents.keys)
    keys = np.concatenate([documents.keys, _keys_of(documents.pairs)])
    places = store.places(keys)
    absent = _absent(keys, places)
    if absent.any():
        texts = chain(texts_where(file, absent[:chunks]), compress(documents.pairs, absent[chunks:].tolist()))
        computed = _fill(store, encoder, texts, count=int(absent.sum()), progress=progress)
        logger.info("vectors of %s chunks (%s): %s texts encoded", f"{chunks:,}", file.stem, f"{computed:,}")
        places = store.places(keys)
    return DocumentVectors(store, documents, places, per_token=encoder.per_token)


def warn_of_cut(vectors: DocumentVectors, encoder: ChunkEncoder, *, split: str) -> None:
    """Say loudly of how many chunks of a split the encoder has not read the end."""
    if vectors.cut:
        logger.warning(
            "the encoder reads %s tokens of a text: it has not seen the ends of %s of %s chunks (%s); "
            "make data.chunks.size smaller, or take an encoder of longer texts",
            encoder.longest,
            f"{vectors.cut:,}",
            f"{vectors.chunks:,}",
            split,
        )


def text_vectors(encoder: ChunkEncoder, texts: Sequence[str]) -> np.ndarray:
    """One vector for each text, float32 (texts, width), of length 1: of criteria, or of what a query begins as.

    Through the same store. With an encoder of tokens it is the direction of their mean.
    """
    store = store_of(encoder)
    keys = _keys_of(texts)
    places = store.places(keys)
    absent = _absent(keys, places)
    if absent.any():
        _fill(store, encoder, compress(texts, absent.tolist()), count=int(absent.sum()))
        places = store.places(keys)
    return _directions(store.vectors(), store.marks(), places)


def store_of(encoder: ChunkEncoder) -> FeatureStore:
    """Where the vectors of an encoder lie."""
    return FeatureStore(cache_folder() / "chunks" / encoder.fingerprint[:32], encoder.width, marks=len(MARKS))


def _keys_of(texts: Sequence[str]) -> np.ndarray:
    return np.array([key_of_chunk(text) for text in texts], dtype=f"S{KEY_LENGTH}")


def _absent(keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Which of the keys, bool (keys,), are to be computed: not there, and the first of their kind."""
    missing = np.flatnonzero(places < 0)
    found = np.zeros(len(keys), dtype=bool)
    found[missing[np.unique(keys[missing], return_index=True)[1]]] = True
    return found


def _fill(
    store: FeatureStore,
    encoder: ChunkEncoder,
    texts: Iterator[str],
    *,
    count: int,
    progress: Progress | None = None,
) -> int:
    """Compute the vectors of distinct texts that were not there a moment ago; returns how many were not there yet.

    The right to write is held for one block: a process that wants the same texts comes to each block after the first
    has written it, and one that wants others takes turns with it.
    """
    done = computed = 0
    began = told = time.monotonic()
    rows, written_by_others = len(store), set[str]()
    size = BLOCK_TEXTS_OF_TOKENS if encoder.per_token else BLOCK_TEXTS
    while block := list(islice(texts, size)):
        done += len(block)
        with store.writing():
            written_by_others.update(store.keys(since=rows))
            keyed = [(key_of_chunk(text), text) for text in block]
            needed = {key: text for key, text in keyed if key not in written_by_others}
            if needed:
                store.append(*_as_rows([*needed], _never_empty([*needed.values()], encoder)))
            rows = len(store)
        computed += len(needed)
        if progress is not None:
            progress(done, count)
        now = time.monotonic()
        if now - told > TOLD_SECONDS and done < count:
            told, left = now, (count - done) * (now - began) / done / 60
            logger.info("%s of %s texts are encoded; %s min left", f"{done:,}", f"{count:,}", f"{left:.0f}")
    return computed


def _never_empty(texts: Sequence[str], encoder: ChunkEncoder) -> list[Encoded]:
    """What an encoder makes of texts; one without tokens has a vector of zeros, so that it is known to be done."""
    nothing = np.zeros(encoder.width)
    found = zip(texts, encoder.encode(texts), strict=True)
    return [each if len(each.vectors) else Encoded.whole(text, nothing) for text, each in found]


def _as_rows(keys: Sequence[str], encoded: Sequence[Encoded]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Keys, vectors of length 1 and marks, as the store takes them."""
    counts = np.array([len(found.vectors) for found in encoded])
    rows: list[str] = []
    for key, count in zip(keys, counts.tolist(), strict=True):
        rows += [*(key_of(key.encode(), str(number).encode()) for number in range(count - 1)), key]
    vectors = unit_length(np.concatenate([found.vectors for found in encoded]))
    before = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    cut = np.repeat([int(found.cut) for found in encoded], counts)
    return rows, vectors, np.column_stack([np.concatenate([found.spans for found in encoded]), before, cut])


def _directions(vectors: np.ndarray, marks: np.ndarray, places: np.ndarray) -> np.ndarray:
    """One vector for each text, (texts, width), by the place of its last: the direction of the mean of its own."""
    means = [vectors[place - marks[place, BEFORE] : place + 1].mean(axis=0) for place in places.tolist()]
    return unit_length(np.stack(means)) if means else np.zeros((0, vectors.shape[1]), dtype=np.float32)


def _runs(lasts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The numbers of runs, given by their last number and their length, one after another.

    >>> _runs(np.array([8, 5]), np.array([2, 3])).tolist()
    [7, 8, 3, 4, 5]
    """
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes), sizes)
    return np.asarray(np.repeat(lasts, sizes) + within + 1)
