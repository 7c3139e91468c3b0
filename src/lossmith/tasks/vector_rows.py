"""Rows of documents with their stored vectors, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lossmith.models.retrieval import SAME
from lossmith.tasks.class_labels import Truth
from lossmith.tasks.document_vectors import DocumentVectors
from lossmith.tasks.rows import Rows


class VectorRows(Rows):
    """Rows of which each holds the vectors of its document's chunks, and that of its criterion where it has one."""

    def __init__(self, rows: Rows, vectors: DocumentVectors) -> None:
        self.file, self.table, self.numbers, self.vectors = rows.file, rows.table, rows.numbers, vectors

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = int(self.numbers[index])
        more = {"vectors": self.vectors.rows(number), "criterion": self.vectors.pair(number)}
        return {**super().__getitem__(index), **more}

    @property
    def lengths(self) -> np.ndarray:
        """Vectors of each row's document, (rows,)."""
        return self.vectors.lengths[self.numbers]


@dataclass(frozen=True)
class VectorCollator:
    """Rows to one batch: vectors (documents, chunks, width), zero where a document has fewer chunks, their mask, the
    vectors of the criteria `pair` (documents, width) or None, and the `truth` beside them.

    keep: (documents,), the documents whose criterion is among `criteria` (criteria, width), for a model that can judge
    no others.
    """

    truth: Truth
    criteria: np.ndarray | None = None

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        counts = [len(row["vectors"]) for row in rows]
        vectors = np.zeros((len(rows), max(counts), rows[0]["vectors"].shape[1]), dtype=np.float32)
        mask = np.zeros(vectors.shape[:2], dtype=np.bool_)
        for number, (row, count) in enumerate(zip(rows, counts, strict=True)):
            vectors[number, :count] = row["vectors"]
            mask[number, :count] = True
        paired = rows[0]["criterion"] is not None
        pair = np.stack([row["criterion"] for row in rows]) if paired else None
        batch: dict[str, Any] = {
            "vectors": torch.from_numpy(vectors),
            "mask": torch.from_numpy(mask),
            "pair": torch.from_numpy(pair) if pair is not None else None,
            **self.truth(rows),
            "tokens": int(mask.sum()),
        }
        if self.criteria is None or pair is None:
            return batch
        return {**batch, "keep": torch.from_numpy((pair @ self.criteria.T).max(axis=1) > SAME)}
