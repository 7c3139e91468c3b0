"""A classifier that looks into a document with learnt queries, and decides on the chunks that they find."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lossmith.errors import InputError
from lossmith.models.class_head import ClassHead
from lossmith.models.encoders.encoder import ChunkEncoder


@dataclass(frozen=True)
class RetrievalShape:
    """What a retrieval classifier is, without its weights; the keys of `task` say what each is for.

    `criterion` is None where documents are judged by themselves; `criteria` are the texts that have a classifier of
    their own, in its order, for `heads`.
    """

    width: int
    outputs: tuple[str, ...]
    activation: Literal["softmax", "sigmoid"]
    queries: int = 8
    k: int = 12
    temperature: float = 0.1
    aggregate: Literal["queries", "mean"] = "queries"
    classifier: Literal["linear", "mlp"] = "linear"
    classifier_hidden_size: int = 256
    classifier_dropout: float = 0.1
    criterion: Literal["text", "heads"] | None = None
    criteria: tuple[str, ...] = ()

    @property
    def head(self) -> ClassHead:
        """The outputs, as every class head names them."""
        return ClassHead(self.outputs, self.activation)

    @property
    def read(self) -> int:
        """Numbers that the classifier reads of a document."""
        found = self.width * (self.queries if self.aggregate == "queries" else 1)
        return 2 * found + self.width if self.criterion == "text" else found

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the model's folder."""
        return asdict(self) | {"outputs": list(self.outputs), "criteria": list(self.criteria)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RetrievalShape:
        """What `as_json` wrote.

        >>> shape = RetrievalShape(2, ("yes",), "sigmoid")
        >>> RetrievalShape.from_json(shape.as_json()) == shape
        True
        """
        return cls(**{**values, "outputs": tuple(values["outputs"]), "criteria": tuple(values["criteria"])})


@dataclass(frozen=True)
class Retrieved:
    """What a call gives for documents.

    logits (documents, outputs). weights (documents, queries, chunks): what share of a query's answer each chunk is, 0
    for those that it does not read; they add up to 1, or to 0 in a document without chunks. cosines, of that shape: of
    query and chunk, 0 where there is no chunk. chosen, bool of that shape: the chunks that a query reads. Where the
    mean of all chunks is read, it stands as one query that reads them all alike.
    """

    logits: Tensor
    weights: Tensor
    cosines: Tensor
    chosen: Tensor


class RetrievalClassifier(nn.Module):
    """Learnt queries of which each reads the k chunks of a document that are nearest to it, and a classifier on those.

    A query's answer is sum_c a_c x_c over its k chunks x_c of largest cosine, a = softmax(cosine / temperature) over
    these; fewer chunks than k are all read, and without any the answer is zero. The classifier reads the answers of all
    queries side by side. The order of chunks and their padding change nothing.

    With `criterion: text` a criterion with vector c turns query q to the direction of q/|q| + g S c with a learnt gate
    g for each query and a learnt matrix S that begins as the identity, so that what a criterion's own words are near to
    is looked for from the start; and the classifier reads beside each answer r its products r * c, and c. It judges
    criteria that it has never seen. With `criterion: heads` every criterion of training has a classifier of its own,
    found by its vector, and the logits of any other criterion are nan.

    Source: IRIS, ACL 2025 (long.1461). Its queries are not normalised; here cosines are of unit vectors, since with
    growing queries the softmax over k chunks would become a choice of one.

    >>> shape = RetrievalShape(width=2, outputs=("yes",), activation="sigmoid", queries=1, k=1)
    >>> model = RetrievalClassifier(shape, queries=torch.tensor([[3.0, 0.0]])).eval()
    >>> chunks = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [9.0, 9.0]]])
    >>> model(chunks, torch.tensor([[True, True, False]])).weights
    tensor([[[0., 1., 0.]]], grad_fn=<ScatterBackward0>)
    """

    def __init__(
        self,
        shape: RetrievalShape,
        *,
        queries: Tensor | None = None,
        criteria: Tensor | None = None,
        encoder: ChunkEncoder | None = None,
        seed: int = 0,
    ) -> None:
        """`queries` (queries, width) are what they begin as, noise of the seed where they are not given; `criteria`
        (criteria, width) the vectors of shape.criteria.
        """
        super().__init__()
        self.shape, self.encoder = shape, encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            count = shape.queries if shape.aggregate == "queries" else 0
            noise = normalize(torch.randn(count, shape.width), dim=1)
            self.queries = nn.Parameter(noise if queries is None or not count else queries.clone())
            heads = len(shape.criteria) if shape.criterion == "heads" else 1
            self.classifier = _classifier(shape, outputs=len(shape.outputs) * heads)
        if shape.criterion == "text" and count:
            self.gates = nn.Parameter(torch.ones(count))
            self.steering = nn.Parameter(torch.eye(shape.width))
        if shape.criterion == "heads":
            found = torch.zeros(heads, shape.width) if criteria is None else criteria.clone()
            self.criteria: Tensor
            self.register_buffer("criteria", found)

    def forward(self, vectors: Tensor, mask: Tensor, pair: Tensor | None = None) -> Retrieved:
        """Judge documents: vectors (documents, chunks, width), of which `mask` (documents, chunks) marks the real
        ones, and the vector of each document's criterion (documents, width).

        Raises InputError where the model asks for a criterion and none is given, or the other way round.
        """
        if (pair is None) != (self.shape.criterion is None):
            raise InputError(
                "this model judges " + ("documents alone" if pair is not None else "a document by a criterion"),
                got="a criterion" if pair is not None else "no criterion",
                expected="the form of record that it was trained on",
            )
        # Cosines in 16 bits would be alike for many chunks, and nothing here is large enough to gain from them.
        with torch.autocast(vectors.device.type, enabled=False):
            if self.shape.aggregate == "mean":
                weights, cosines, chosen = _all_alike(vectors, mask)
            else:
                weights, cosines, chosen = self._looked_up(vectors, mask, pair)
            return Retrieved(self.decided(weights @ vectors, pair), weights, cosines, chosen)

    def directions(self, pair: Tensor | None = None) -> Tensor:
        """Where the queries look, unit vectors: (queries, width), or (documents, queries, width) under criteria."""
        found = normalize(self.queries, dim=-1)
        if pair is None or self.shape.criterion != "text":
            return found
        turned = self.gates[:, None] * (pair @ self.steering.T)[:, None, :]
        return normalize(found + turned, dim=-1)

    def _looked_up(self, vectors: Tensor, mask: Tensor, pair: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        cosines = self.directions(pair) @ vectors.transpose(1, 2)
        real = mask[:, None, :].expand_as(cosines)
        nearest, places = cosines.masked_fill(~real, -math.inf).topk(min(self.shape.k, vectors.shape[1]), dim=-1)
        there = nearest > -math.inf
        # A document without chunks would be a softmax over nothing.
        shares = torch.softmax(nearest.masked_fill(~there, _LEAST) / self.shape.temperature, dim=-1) * there
        weights = torch.zeros_like(cosines).scatter(-1, places, shares)
        chosen = torch.zeros_like(real).scatter(-1, places, there)
        return weights, cosines.masked_fill(~real, 0.0), chosen

    def decided(self, answers: Tensor, pair: Tensor | None) -> Tensor:
        """Logits (documents, outputs) of answers (documents, queries, width)."""
        read = [answers.flatten(1)]
        if self.shape.criterion == "text":
            assert pair is not None
            # A unit vector's numbers are small as 1 / sqrt(width): products are brought to the size of the answers.
            read += [(answers * pair[:, None, :] * math.sqrt(self.shape.width)).flatten(1), pair]
        logits: Tensor = self.classifier(torch.cat(read, dim=1))
        if self.shape.criterion != "heads":
            return logits
        assert pair is not None
        nearest, own = (pair @ self.criteria.T).max(dim=1)
        logits = logits.unflatten(1, (len(self.shape.criteria), -1))[torch.arange(len(own), device=own.device), own]
        return logits.where((nearest > SAME)[:, None], math.nan)


# The cosine from which two vectors are of one text.
SAME = 1 - 1e-5
# Less than any cosine, and finite.
_LEAST = -2.0


def _classifier(shape: RetrievalShape, *, outputs: int) -> nn.Sequential:
    dropout = nn.Dropout(shape.classifier_dropout)
    if shape.classifier == "linear":
        return nn.Sequential(dropout, nn.Linear(shape.read, outputs))
    hidden = shape.classifier_hidden_size
    layers = (nn.Linear(shape.read, hidden), nn.GELU(), nn.Dropout(shape.classifier_dropout))
    return nn.Sequential(dropout, *layers, nn.Linear(hidden, outputs))


def _all_alike(vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Equal weights of all chunks, their cosines with the mean, and which they are; each (documents, 1, chunks)."""
    real = mask[:, None, :]
    weights = real.to(vectors.dtype) / real.sum(dim=-1, keepdim=True).clamp_min(1)
    cosines = normalize(weights @ vectors, dim=-1) @ vectors.transpose(1, 2)
    return weights, cosines.masked_fill(~real, 0.0), real
