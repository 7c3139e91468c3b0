"""Penalty on learnt queries that look for the same."""

from __future__ import annotations

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def query_diversity(stats: Statistics, *, threshold: float = 0.4) -> Float[Tensor, ""]:
    """How far the queries of a head are more alike than a threshold.

    sum over ordered pairs i != j of relu(cos(q_i, q_j) - threshold), divided by N (N-1), for queries (N, width);
    threshold lies in [-1, 1]. A query of length 0 is like no other, cosine 0. The literature's weight lambda
    multiplies the undivided sum: lambda is weight lambda N (N-1) here, so .1 with 8 queries is 5.6.

    Returns one number without unit in [0, 1 - threshold]; 0 for one query or none. It reads parameters alone, so each
    micro-batch counts it once for each of its examples and the window divides by all of them: the term is the same
    however a window is cut.

    >>> query_diversity(Statistics(queries=torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])))
    tensor(0.2000)
    """
    queries = stats.queries
    if queries.ndim != 2:
        raise InputError("the queries are no matrix", got=tuple(queries.shape), expected="(queries, width)")
    length = torch.linalg.vector_norm(queries, dim=1, keepdim=True)
    direction = queries / torch.where(length > 0, length, 1.0)
    others = ~torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    cosine = (direction @ direction.t())[others]
    return torch.relu(cosine - threshold).sum() / max(1, cosine.numel())


query_diversity.kind = "set"  # type: ignore[attr-defined]
query_diversity.needs = ("queries",)  # type: ignore[attr-defined]
