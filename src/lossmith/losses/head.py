"""The output head of a language model as plain tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.shapes import Float


@dataclass(frozen=True)
class Head:
    """What turns hidden states into logits: z = softcap tanh(((h W^T + bias) scale) / softcap).

    weight (vocab, width); bias (vocab,) or None; without softcap the tanh is left out. A weight or bias that
    requires grad is trained.

    Raises InputError where shapes do not fit or the softcap is not above 0.

    >>> head = Head(torch.eye(3, 2), scale=2.0)
    >>> head.logits(torch.tensor([[1.0, 0.5]]))
    tensor([[2., 1., 0.]])
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float | int = 1.0
    softcap: float | int | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise InputError("the head's weight is no matrix", got=tuple(self.weight.shape), expected="(vocab, width)")
        if self.bias is not None and self.bias.shape != self.weight.shape[:1]:
            raise InputError(
                "the head's bias does not fit its weight",
                got=tuple(self.bias.shape),
                expected=tuple(self.weight.shape[:1]),
            )
        if self.softcap is not None and not self.softcap > 0:
            raise InputError(
                "the head's softcap is not above 0", got=self.softcap, expected="a number above 0, or None"
            )

    def logits(self, hidden: Float[Tensor, "positions width"]) -> Float[Tensor, "positions vocab"]:
        """All logits at once, at least in fp32 after the product: (positions, vocab).

        This is the definition that the tiles are held to; it keeps positions x vocab numbers.
        """
        dtype = product_dtype(hidden, self.weight)
        z = torch.nn.functional.linear(hidden.to(dtype), self.weight.to(dtype))
        z = z.to(statistic_dtype(dtype))
        if self.bias is not None:
            z = z + self.bias
        if self.scale != 1.0:
            z = z * self.scale
        return z if self.softcap is None else self.softcap * torch.tanh(z / self.softcap)


def product_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype of the matrix products: the narrower of the two, as autocast would have it."""
    return min(hidden.dtype, weight.dtype, key=lambda dtype: dtype.itemsize)


# CPUs round products of 16-bit numbers to 16 bits and most are slow at them, so the engine widens the operands there.
WIDE_PRODUCTS = ("cpu",)


def engine_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype of the engine's matrix products."""
    dtype = product_dtype(hidden, weight)
    return statistic_dtype(dtype) if hidden.device.type in WIDE_PRODUCTS else dtype


def statistic_dtype(product: torch.dtype) -> torch.dtype:
    """The dtype of everything after a product: fp32, or float64 where the product is."""
    return torch.promote_types(product, torch.float32)
