"""4-bit weights that give the same numbers in training and in prediction, on every processor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from lossmith.models.hidden import unwrap

_LAYOUT = "support_avx512bf16_for_cpu"


def keep_one_layout(model: nn.Module) -> None:
    """Keep bitsandbytes from rewriting 4-bit layers when they are first asked in eval mode.

    On processors with bfloat16 it lays their weights out anew then, rounds scales and inputs to bfloat16 whatever the
    compute format, fails on layers narrower than a block, and after it lets no gradient through: an evaluation in the
    middle of training would end the training of all layers below.
    """
    for module in model.modules():
        if hasattr(module, _LAYOUT):
            setattr(module, _LAYOUT, False)


def packed_weights(model: nn.Module) -> list[Tensor]:
    """The weights that 4-bit loading packs: of frozen linear layers, the output layer left out."""
    inner: Any = unwrap(model)
    output = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    return [
        layer.weight
        for layer in model.modules()
        if isinstance(layer, nn.Linear) and layer is not output and not layer.weight.requires_grad
    ]


def packed_bytes(weights: Iterable[Tensor], *, double: bool) -> int:
    """What weights take in 4 bits with a scale for each 64: in fp32, or, quantised again, in 8 bits and an fp32 scale
    for each 256 of them.

    >>> import torch
    >>> packed_bytes([torch.empty(64, 256)], double=False), packed_bytes([torch.empty(64, 256)], double=True)
    (9216, 8452)
    """
    numbers = sum(weight.numel() for weight in weights)
    blocks = numbers / 64
    return round(numbers / 2 + (blocks + 4 * blocks / 256 if double else 4 * blocks))
