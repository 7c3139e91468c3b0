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
    """Logits of a document, and of what is left of it around each of its chunks.

    whole (outputs,); apart (chunks, outputs), without the other chunks that share text with each, and without (chunks,
    outputs), without that chunk too; weights and cosines (queries, chunks); all float64 but the mask `read` (chunks,):
    what some query has a weight on. The rest has no part in the logits, so both are those of the whole document there.
    """

    whole: np.ndarray
    apart: np.ndarray
    without: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray
    read: np.ndarray


@torch.no_grad()
def leave_one_out(model: Reader, vectors: Tensor, units: np.ndarray, pair: Tensor | None = None) -> Left:
    """Leave the text of each chunk that is read out of a document once, and let the queries look among the rest again.

    `vectors` (chunks, width) are one document, `units` (chunks, 2) their characters, `pair` (width,) its criterion; the
    model is to be in eval mode. Where chunks overlap, a decisive sentence may stand in several, and none of them would
    be missed alone: the others are taken out first, and a chunk is asked what it adds to the rest.

    What a query reads in the place of chunks that are gone are its next nearest ones, so a document of any length is
    tried with the chunks that are read and a few more for each query: the time depends on queries and k alone.
    """
    count = len(vectors)
    said = model(vectors[None], torch.ones(1, count, dtype=torch.bool, device=vectors.device), _one(pair))
    weights, cosines = said.weights[0], said.cosines[0]
    whole = said.logits[0].double().cpu().numpy()
    apart, without = np.tile(whole, (count, 1)), np.tile(whole, (count, 1))
    own = (weights > 0).any(dim=0).nonzero()[:, 0]
    if len(own):
        gone = torch.from_numpy(sharing_text(units, own.cpu().numpy())).to(vectors.device)
        places = _within_reach(weights, cosines, int(gone.sum(dim=1).max()))
        kept = ~gone[:, places]
        without[own.cpu().numpy()] = logits_of_parts(model, vectors[places], kept, pair)
        # A chunk that shares its text with none is left out of the whole document.
        overlapping = gone.sum(dim=1) > 1
        beside = (kept | (places == own[:, None]))[overlapping]
        apart[own[overlapping].cpu().numpy()] = logits_of_parts(model, vectors[places], beside, pair)
    read = (weights > 0).any(dim=0).cpu().numpy()
    return Left(whole, apart, without, weights.double().cpu().numpy(), cosines.double().cpu().numpy(), read)


def sharing_text(units: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Which of all chunks share characters with those at `places`, bool (places, chunks): each with itself.

    >>> sharing_text(np.array([[0, 9], [5, 14], [14, 20]]), np.array([1])).tolist()
    [[True, True, False]]
    """
    starts, ends = units[:, 0], units[:, 1]
    shared = (starts < ends[places, None]) & (ends > starts[places, None])
    shared[np.arange(len(places)), places] = True
    return np.asarray(shared)


def _within_reach(weights: Tensor, cosines: Tensor, gone: int) -> Tensor:
    """The chunks (places,) that some query reads of a document, or would where so many chunks were gone."""
    nearest = torch.where(weights > 0, -torch.inf, cosines).topk(min(gone, cosines.shape[1]), dim=-1).indices
    reached = (weights > 0).any(dim=0)
    reached[nearest.flatten()] = True
    return reached.nonzero()[:, 0]


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
