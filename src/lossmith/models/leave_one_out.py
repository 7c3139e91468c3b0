"""What a model that reads a document as vectors says of parts of it: the ground of every figure on evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

# Numbers that the vectors of one block of parts have together, 64 MiB in fp32.
_BLOCK_NUMBERS = 1 << 24


class Reader(Protocol):
    """A model that decides on vectors of a document: `models.retrieval.RetrievalClassifier` is one."""

    def __call__(self, vectors: Tensor, mask: Tensor, pair: Tensor | None) -> Any:
        """For vectors (documents, chunks, width), a mask (documents, chunks) and criteria (documents, width) or None,
        what has `logits` (documents, outputs), `weights` and `cosines` (documents, queries, chunks).
        """
        ...


@dataclass(frozen=True)
class Left:
    """Logits of a document, and of what is left of it without each of its chunks.

    whole (outputs,), without (chunks, outputs), weights and cosines (queries, chunks); all float64 but the mask
    `read` (chunks,): what some query has a weight on. The rest has no part in the logits, so `without` are those of the
    whole document there.
    """

    whole: np.ndarray
    without: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray
    read: np.ndarray


@torch.no_grad()
def leave_one_out(model: Reader, vectors: Tensor, pair: Tensor | None = None) -> Left:
    """Leave each chunk that is read out of a document once, and let the queries look among the others again.

    `vectors` (chunks, width) are one document, `pair` (width,) its criterion; the model is to be in eval mode. What a
    query reads in the place of a chunk that is gone is its next nearest one, so a document of any length is tried with
    the chunks that are read and one more for each query: the time depends on queries and k alone.
    """
    count = len(vectors)
    said = model(vectors[None], torch.ones(1, count, dtype=torch.bool, device=vectors.device), _one(pair))
    weights, cosines = said.weights[0], said.cosines[0]
    whole = said.logits[0].double().cpu().numpy()
    without = np.tile(whole, (count, 1))
    read = (weights > 0).any(dim=0)
    if bool(read.any()):
        without[read.cpu().numpy()] = _without(model, vectors, pair, weights=weights, cosines=cosines)
    return Left(whole, without, weights.double().cpu().numpy(), cosines.double().cpu().numpy(), read.cpu().numpy())


def _without(model: Reader, vectors: Tensor, pair: Tensor | None, *, weights: Tensor, cosines: Tensor) -> np.ndarray:
    """Logits (read chunks, outputs) without each chunk that is read."""
    read = (weights > 0).any(dim=0)
    nearest = torch.where(weights > 0, -torch.inf, cosines).argmax(dim=-1)
    tried = read.clone()
    tried[nearest] = True
    places = tried.nonzero()[:, 0]
    gone = read[places].nonzero()[:, 0]
    kept = torch.ones(len(gone), len(places), dtype=torch.bool, device=vectors.device)
    kept[torch.arange(len(gone)), gone] = False
    return logits_of_parts(model, vectors[places], kept, pair)


@torch.no_grad()
def logits_of_parts(model: Reader, vectors: Tensor, kept: Tensor, pair: Tensor | None = None) -> np.ndarray:
    """Logits (parts, outputs), float64, of parts of a document, each the chunks that a row of `kept` marks.

    `vectors` (chunks, width), `kept` (parts, chunks) bool, `pair` (width,). Parts are tried many at a time, in blocks
    of bounded memory.
    """
    size = max(1, _BLOCK_NUMBERS // max(1, vectors.numel()))
    pair = _one(pair)
    blocks = []
    for block in kept.split(size):
        criteria = None if pair is None else pair.expand(len(block), -1)
        said = model(vectors.expand(len(block), *vectors.shape), block, criteria)
        blocks.append(said.logits.double().cpu().numpy())
    return np.concatenate(blocks)


def _one(pair: Tensor | None) -> Tensor | None:
    return None if pair is None else pair[None]
