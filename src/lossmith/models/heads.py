"""The output head of a model: as numbers where a matrix gives its logits, as its own layers where none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.errors import LossmithError
from lossmith.models.families import FAMILIES, Family
from lossmith.models.hidden import FINAL_BIAS, family_of, output_layer, replaced_forward, unwrap
from lossmith.models.weights import matrix_of


@dataclass(frozen=True)
class Tail:
    """What a family does to the values of its output layer: z = softcap tanh(((values + bias) scale) / softcap)."""

    scale: float = 1.0
    softcap: float | None = None
    bias: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """Logits (..., vocab) of the output layer's values, in fp32 or more."""
        z = values.to(torch.promote_types(values.dtype, torch.float32))
        z = (z if self.bias is None else z + self.bias) * self.scale
        return z if self.softcap is None else self.softcap * torch.tanh(z / self.softcap)


@dataclass(frozen=True)
class PlainHead:
    """The output layer as numbers: z = softcap tanh(((hidden W^T + bias) scale) / softcap), no tanh without softcap.

    `reason` says why the layer is no matrix, where it is none; reading `weight` is then an error, and `own_logits`
    the way to the model's logits.
    """

    matrix: Tensor
    bias: Tensor | None
    scale: float
    softcap: float | None
    family: str
    reason: str | None = None

    @property
    def weight(self) -> Tensor:
        """(vocab, width); raises LossmithError where the layer is no plain matrix."""
        if self.reason is not None:
            raise LossmithError(
                f"the output layer of this {self.family} model is no plain matrix",
                got=self.reason,
                expected="a linear layer, or LoRA without dropout on one",
                fix="leave the output layer out of lora_target_modules, or merge the adapter first",
            )
        return self.matrix

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., vocab) of hidden (..., width), in fp32 or more."""
        return Tail(self.scale, self.softcap, self.bias)(hidden.to(self.weight.dtype) @ self.weight.T)


def head_of(model: nn.Module) -> PlainHead:
    """The model's output layer and what its family does after it; gradients reach what of it trains.

    A head that FSDP2 has sharded is gathered: call it once a step. Its gradient goes back as FSDP2's own do, averaged
    over the processes.
    """
    inner = unwrap(model)
    found, tail = matrix_of(output_layer(inner)), tail_of(inner)
    bias = tail.bias if found.bias is None else found.bias if tail.bias is None else found.bias + tail.bias
    return PlainHead(found.weight, bias, tail.scale, tail.softcap, family_of(inner), found.reason)


def tail_of(model: nn.Module) -> Tail:
    """What follows the output layer, by the table of families and the model's own configuration."""
    inner: Any = unwrap(model)
    family = FAMILIES.get(family_of(inner), Family())
    # A model of text and pictures keeps the facts of its decoder in a part of its configuration.
    parts = (inner.config, inner.config.get_text_config(decoder=True))

    def fact(key: str | None) -> float | None:
        found = [getattr(part, key) for part in parts if key and getattr(part, key, None) is not None]
        return float(found[0]) if found else None

    scale = (fact(family.multiplied) or 1.0) / (fact(family.divided) or 1.0)
    bias = getattr(inner, FINAL_BIAS, None)
    return Tail(scale, fact(family.capped), None if bias is None else bias[0])


def logits_from(model: nn.Module, inputs: Mapping[str, Tensor], values: Callable[[], Tensor]) -> Tensor:
    """The model's logits for `inputs` when its output layer is made to give `values()`, which it is not fed for."""
    with replaced_forward(output_layer(model), lambda *_, **__: values()):
        return unwrap(model)(**inputs, use_cache=False).logits


def own_logits(
    model: nn.Module, inputs: Mapping[str, Tensor], *, autocast: torch.dtype | None = None
) -> Callable[[Tensor], Tensor]:
    """A function from hidden states (rows, width) to logits (rows, vocab) by the model's own code.

    The output layer runs as it is (adapters, dropout, quantised products), and after it whatever the family does; the
    body runs on one token of `inputs`, since the states it makes are not looked at. `autocast` is the number format of
    the call that the states come from.
    """
    layer = output_layer(model)
    one_token = {name: value[:1, :1] for name, value in inputs.items()}

    def logits(hidden: Tensor) -> Tensor:
        kind = hidden.device.type
        with torch.autocast(kind, dtype=autocast, enabled=autocast is not None):
            own = layer.forward
            z = logits_from(model, one_token, lambda: own(hidden[None]))
        return z[0]

    return logits


def input_embedding(model: nn.Module) -> Tensor:
    """The input embedding matrix (vocab, width) with its trained rows, detached: points are constants of a step."""
    inner: Any = unwrap(model)
    with torch.no_grad():
        found = matrix_of(inner.get_input_embeddings())
    if found.reason is not None:
        raise LossmithError(
            f"the input embedding of this {family_of(inner)} model is no plain matrix",
            got=found.reason,
            fix="leave the embedding out of lora_target_modules",
        )
    return found.weight.detach()


def embedding_trains(model: nn.Module) -> bool:
    """Whether any number of the input embedding is trained, by itself or through an adapter on it."""
    inner: Any = unwrap(model)
    return any(parameter.requires_grad for parameter in inner.get_input_embeddings().parameters())


@torch.no_grad()
def embedding_scale(model: nn.Module, real_tokens: int) -> float:
    """sqrt(mean_v |E_v - mean E|^2) over the first `real_tokens` rows of the input embedding, above 0.

    Rows beyond the tokenizer's length are padding of the matrix and hold no word.
    """
    rows = input_embedding(model)[:real_tokens]
    if rows.device.type == "mps":
        # No float64 there.
        rows = rows.cpu()
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    squares = total.new_zeros(())
    # In pieces: a float64 copy of 150,000 words would be larger than the model's own matrix. On CPU each stays in the
    # cache, which makes the whole three times as fast.
    numbers = 2**19 if rows.device.type == "cpu" else 2**24
    for piece in rows.split(max(1, numbers // rows.shape[1])):
        wide = piece.double()
        total += wide.sum(0)
        squares += torch.dot(wide.flatten(), wide.flatten())
    spread = float(squares / len(rows) - (total / len(rows)).square().sum())
    if spread <= 0:
        raise LossmithError("all rows of the input embedding are equal: distances between words mean nothing", got=0.0)
    return float(spread**0.5)
