"""Logits and log-probabilities as nested lists of float64 scalars that autograd sees."""

from __future__ import annotations

import torch
from torch import Tensor


def final_logits(
    hidden: Tensor, weight: Tensor, *, bias: Tensor | None = None, scale: float = 1.0, softcap: float | None = None
) -> list[list[Tensor]]:
    """z[n][v] = softcap tanh((h_n . W_v + b_v) scale / softcap), entry by entry."""
    rows = []
    for h in hidden.double():
        row = []
        for v, w in enumerate(weight.double()):
            z = (h * w).sum()
            if bias is not None:
                z = z + bias[v].double()
            z = z * scale
            if softcap is not None:
                z = softcap * torch.tanh(z / softcap)
            row.append(z)
        rows.append(row)
    return rows


def log_probs(logits: list[list[Tensor]]) -> list[list[Tensor]]:
    """Of each position: log p[n][v] = z_nv - log sum_w exp z_nw."""
    rows = []
    for row in logits:
        together = torch.stack(row)
        largest = together.max().detach()
        normalizer = largest + (together - largest).exp().sum().log()
        rows.append([z - normalizer for z in row])
    return rows
