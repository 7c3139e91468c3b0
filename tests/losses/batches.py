"""Random inputs of an objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lossmith.losses import LOSSES, Head

TOKEN_LOSSES = {name: row for name, row in LOSSES.items() if row.reads == "tokens"}
ALL_TERMS: dict[str, Any] = {
    "cross_entropy": {"weight": 0.5, "label_smoothing": 0.1},
    "focal": {"weight": 0.3, "span": ["answer", "-rationale"]},
    "self_adjusting_dice": 0.2,
    "generalized_dice": {"weight": 0.4, "span": "rationale"},
    "lovasz_softmax": 0.4,
    "sinkhorn": {"weight": 0.4, "span": "ingredients", "points": "items"},
    "tversky": {"weight": 0.3, "span": "rationale", "scope": "batch"},
    "unlikelihood": {"weight": 0.2, "span": "rationale"},
    "entropy_penalty": 0.1,
    "likely": {"loss": "sinkhorn", "weight": 0.2, "span": "ingredients", "top_k": 4},
}
# An entropy's gradient is no multiple of p; without one a frozen head's gradient is folded into the first sweep.
FOLDED_TERMS = {name: term for name, term in ALL_TERMS.items() if name != "entropy_penalty"}


@dataclass
class Batch:
    """Inputs of one call, with the leaves that gradients are asked for."""

    hidden: Tensor
    weight: Tensor
    labels: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None
    keywords: dict[str, Any] = field(default_factory=dict)

    @property
    def head(self) -> Head:
        return Head(self.weight, bias=self.bias, scale=self.scale, softcap=self.softcap)

    @property
    def leaves(self) -> list[Tensor]:
        return [t for t in (self.hidden, self.weight, self.bias) if t is not None and t.requires_grad]

    def arguments(self) -> tuple[Tensor, Head, Tensor]:
        return self.hidden, self.head, self.labels

    def take(self, index: Tensor) -> Batch:
        """The positions of an index, in its order; leaves of their own."""
        words = self.keywords
        keywords = {
            "spans": {name: span[index] for name, span in words["spans"].items()},
            "examples": words["examples"][index],
            "embeddings": words["embeddings"],
        }
        hidden = self.hidden.detach()[index].requires_grad_(self.hidden.requires_grad)
        return Batch(hidden, self.weight, self.labels[index], self.bias, self.scale, self.softcap, keywords)


def make_batch(
    positions: int = 23,
    vocab: int = 31,
    width: int = 6,
    *,
    dtype: torch.dtype = torch.float64,
    bias: bool = False,
    scale: float = 1.0,
    softcap: float | None = None,
    trainable: bool = True,
    seed: int = 0,
    spread: float = 1.0,
) -> Batch:
    """Labels from a third of the vocabulary, so that classes repeat; example ids neither sorted nor contiguous."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    ids = torch.tensor([7, -3, 2**40])
    examples = ids[torch.randint(0, 3, (positions,), generator=draw)]
    return Batch(
        hidden=(normal(positions, width) * spread).to(dtype).requires_grad_(),
        weight=normal(vocab, width).to(dtype).requires_grad_(trainable),
        labels=torch.randint(0, max(1, vocab // 3), (positions,), generator=draw),
        bias=normal(vocab).to(dtype).requires_grad_(trainable) if bias else None,
        scale=scale,
        softcap=softcap,
        keywords={
            "spans": {
                "ingredients": torch.randint(-1, 3, (positions,), generator=draw),
                "rationale": torch.rand(positions, generator=draw) < 0.5,
            },
            "examples": examples,
            "embeddings": (normal(vocab, 4).to(dtype), 2.0),
        },
    )


def relative_error(found: Tensor, true: Tensor) -> float:
    """Norm of the difference over the norm of the truth, in float64."""
    found, true = found.detach().double(), true.detach().double()
    return float((found - true).norm() / true.norm().clamp_min(1e-300))
