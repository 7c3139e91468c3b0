"""Statistics handed to the formula of a term, and its values added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses.reading import Reading
from lossmith.losses.shapes import Float, Int
from lossmith.losses.statistics import Statistics


@dataclass(frozen=True)
class Embeddings:
    """The input embedding that expected embeddings are taken in, and its scale; constants of the step."""

    matrix: Float[Tensor, "vocab width"]
    scale: float | int | Tensor


def embedding_scale(matrix: Float[Tensor, "vocab width"]) -> Float[Tensor, ""]:
    """Root of the mean squared distance of the rows from their mean: sqrt(mean_v |E_v - mean E|^2).

    >>> embedding_scale(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor(1.)
    """
    dtype = torch.promote_types(matrix.dtype, torch.float32)
    columns = matrix.detach().split(64, dim=1)
    return torch.stack([c.to(dtype).var(0, correction=0).sum() for c in columns]).sum().sqrt()


@dataclass(frozen=True)
class Inputs:
    """Statistics of the positions that one term reads, before they are narrowed to what it asks for."""

    position: Mapping[str, Float[Tensor, " positions"]]
    labels: Int[Tensor, " positions"]
    class_log_probs: Float[Tensor, " pairs"] | None = None
    expected_embedding: Float[Tensor, "positions width"] | None = None
    embeddings: Embeddings | None = None


def term_sum(reading: Reading, inputs: Inputs) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The term's values added up, and the mean of each of its notes.

    Raises InputError where the function returns another shape than its kind says.
    """
    term = reading.term
    own = {need: inputs.position[need] for need in term.needs if need in inputs.position}
    stats = Statistics(**own)
    shape, of = (inputs.labels.numel(),), "each position"
    if term.kind == "set":
        stats.example, stats.examples, stats.item = reading.example, reading.examples, reading.item
        stats.notes = {}
        shape, of = (reading.examples,), "each example"
        if "class_log_probs" in term.needs:
            stats.classes, stats.class_log_probs = reading.classes, inputs.class_log_probs
        if "expected_embedding" in term.needs and inputs.embeddings is not None:
            stats.expected_embedding = inputs.expected_embedding
            gold = inputs.embeddings.matrix[inputs.labels]
            stats.label_embedding = gold if inputs.expected_embedding is None else gold.to(inputs.expected_embedding)
            stats.embedding_scale = inputs.embeddings.scale
    values = term.values(stats, shape=shape, of=of)
    notes = {name: note.detach().mean() for name, note in vars(stats).get("notes", {}).items()}
    return values.sum(), notes


def expected_over(
    words: Int[Tensor, "positions k"], log_probs: Float[Tensor, "positions k"], matrix: Tensor
) -> Float[Tensor, "positions width"]:
    """Expected embedding over the given words, their probabilities made to sum to 1."""
    share = torch.softmax(log_probs, dim=1)
    return torch.bmm(share[:, None, :], matrix[words].to(share.dtype))[:, 0]
