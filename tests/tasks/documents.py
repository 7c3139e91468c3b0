"""Prepared documents as parquet, and an encoder whose vectors can be told by heart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.models.encoders.encoder import Encoded

SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32())])


def write_documents(file: Path, documents: Sequence[Sequence[str]], pairs: Sequence[str | None] = ()) -> Path:
    """Rows of documents that are given as their chunks, joined by a blank."""
    rows: list[dict[str, Any]] = []
    for number, chunks in enumerate(documents):
        spans, first = [], 0
        for chunk in chunks:
            spans.append({"start": first, "end": first + len(chunk)})
            first += len(chunk) + 1
        pair = pairs[number] if pairs else None
        rows.append({"id": str(number), "prompt": " ".join(chunks), "chunks": spans, "pair": pair})
    schema = pa.schema(
        [("id", pa.string()), ("prompt", pa.string()), ("chunks", pa.list_(SPAN)), ("pair", pa.string())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
    return file


class Letters:
    """Counts four letters of a text; with `per_token`, one vector for each word. It tells what it was asked."""

    width = 4

    def __init__(self, *, per_token: bool = False, longest: int | None = None, name: str = "letters") -> None:
        self.per_token, self.longest = per_token, longest
        self.fingerprint = hashlib.sha256(f"{name} {per_token} {longest}".encode()).hexdigest()
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        self.asked += texts
        return [self._words(text) if self.per_token else self._whole(text) for text in texts]

    def save(self, folder: Path) -> None: ...

    def about(self) -> dict[str, Any]:
        return {}

    def _whole(self, text: str) -> Encoded:
        cut = self.longest is not None and len(text.split()) > self.longest
        return Encoded.whole(text, self.count(text), cut=cut)

    def _words(self, text: str) -> Encoded:
        words = text.split()
        spans, first = [], 0
        for word in words:
            spans.append([text.index(word, first), text.index(word, first) + len(word)])
            first = spans[-1][1]
        vectors = np.array([self.count(word) for word in words], dtype=np.float32).reshape(len(words), 4)
        return Encoded(vectors, np.array(spans, dtype=np.int32).reshape(len(words), 2))

    @staticmethod
    def count(text: str) -> np.ndarray:
        return np.array([text.count(letter) for letter in "abcd"], dtype=np.float32)
