"""The retrieval classifier in plain loops, from its paper: the oracle of what is left of a document."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor


@dataclass
class PlainReader:
    """queries (queries, width), output (outputs, queries x width) of a linear classifier."""

    queries: Tensor
    output: Tensor
    k: int = 3
    temperature: float = 0.1

    @classmethod
    def of(cls, *, queries: int = 3, width: int = 6, outputs: int = 2, seed: int = 0, k: int = 3) -> PlainReader:
        generator = torch.Generator().manual_seed(seed)
        sizes = (queries, width), (outputs, queries * width)
        return cls(*(torch.randn(*size, generator=generator) for size in sizes), k=k)

    def __call__(self, vectors: Tensor, mask: Tensor, pair: Tensor | None = None) -> SimpleNamespace:
        documents, chunks, width = vectors.shape
        weights = torch.zeros(documents, len(self.queries), chunks)
        cosines = torch.zeros(documents, len(self.queries), chunks)
        found = torch.zeros(documents, len(self.queries), width)
        for d in range(documents):
            there = mask[d].nonzero()[:, 0]
            for q, query in enumerate(self.queries):
                if not len(there):
                    continue
                near = torch.cosine_similarity(query[None], vectors[d, there])
                cosines[d, q, there] = near
                best = near.topk(min(self.k, len(there)))
                shares = (best.values / self.temperature).softmax(0)
                weights[d, q, there[best.indices]] = shares
                found[d, q] = (shares[:, None] * vectors[d, there[best.indices]]).sum(0)
        return SimpleNamespace(logits=found.flatten(1) @ self.output.T, weights=weights, cosines=cosines)


def one_after_another(chunks: int, *, shared: int = 0) -> np.ndarray:
    """Characters (chunks, 2) of chunks of ten each, of which each shares so many with the next."""
    starts = np.arange(chunks) * (10 - shared)
    return np.stack([starts, starts + 10], axis=1)


def unit_vectors(chunks: int, width: int = 6, *, seed: int = 1) -> Tensor:
    drawn = torch.randn(chunks, width, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm(dim=1, keepdim=True)
