"""Hidden states of any model without its vocabulary product: the output embedding remembers what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.errors import LossmithError

# A buffer that BART and its kin add to the logits; during a capture one column of it stands for all.
FINAL_BIAS = "final_logits_bias"


class Captured:
    """What one call left behind: `hidden` (examples, tokens, width), the input of the output embedding.

    `autocast` is the number format that autocast gave the call, None without it.
    """

    def __init__(self, family: str) -> None:
        self._family = family
        self._seen: Tensor | None = None
        self.autocast: torch.dtype | None = None

    def remember(self, hidden: Tensor) -> None:
        """Keep the input of the output embedding; one call of the model passes it once."""
        if self._seen is not None:
            raise LossmithError(f"the output embedding of this {self._family} model ran twice in one call")
        self._seen = hidden
        kind = hidden.device.type
        self.autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None

    @property
    def hidden(self) -> Tensor:
        """(examples, tokens, width); raises LossmithError where the model never came to its output embedding."""
        if self._seen is None:
            raise LossmithError(
                f"no hidden states came by: this {self._family} model does not call its output embedding",
                expected="a language model called inside the capture, whose logits come from get_output_embeddings()",
            )
        return self._seen


class HiddenCapture:
    """A context in which calls of the model leave their hidden states behind and skip the vocabulary product.

    Inside it the output embedding remembers its input x and returns x[..., :1]. Call the model as it is wrapped (DDP,
    autocast, torch.compile): calling its backbone would go past the wrapper. An encoder-decoder gives the states of
    its decoder. Each entry gives a fresh `Captured`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._inner = unwrap(model)
        self._family = family_of(self._inner)
        self._layer = output_layer(self._inner)
        self._open: Captured | None = None
        # One function for all entries: torch.compile would compile the model anew for each other one. It stays out of
        # the graph, because what it remembers must outlive the call.
        self._stand_in: Callable[..., Tensor] = torch.compiler.disable(self._remember)

    def _remember(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        assert self._open is not None
        self._open.remember(hidden)
        # Nothing is learned from this column; torch.compile warns of tensors inside a gradient that it finds between
        # two graphs.
        return hidden[..., :1].detach()

    def __enter__(self) -> Captured:
        if self._open is not None:
            raise LossmithError("hidden states are being captured already: the captures of one model cannot nest")
        self._open = Captured(self._family)
        self._context = _standing_in(self._inner, self._layer, self._stand_in)
        self._context.__enter__()
        return self._open

    def __exit__(self, *_: object) -> None:
        self._open = None
        self._context.__exit__(None, None, None)


def capture_hidden(model: nn.Module) -> HiddenCapture:
    """A context whose calls of `model` leave `hidden` (examples, tokens, width) instead of logits; re-enterable.

    Raises LossmithError for a model without an output embedding.
    """
    return HiddenCapture(model)


@contextmanager
def _standing_in(inner: nn.Module, layer: nn.Module, stand_in: Callable[..., Tensor]) -> Iterator[None]:
    """Let `stand_in` answer for the output layer, and one column of a final bias for all of it."""
    bias = getattr(inner, FINAL_BIAS, None)
    if bias is not None:
        setattr(inner, FINAL_BIAS, bias[:, :1])
    try:
        with replaced_forward(layer, stand_in):
            yield
    finally:
        if bias is not None:
            setattr(inner, FINAL_BIAS, bias)


@contextmanager
def replaced_forward(layer: nn.Module, forward: Callable[..., Tensor]) -> Iterator[None]:
    """Let `forward` answer for the forward of `layer`; its hooks run as ever."""
    # Something else (accelerate's hooks) may have put a forward of its own there.
    own = layer.__dict__.get("forward")
    layer.forward = forward
    try:
        yield
    finally:
        if own is None:
            del layer.__dict__["forward"]
        else:
            layer.forward = own


def unwrap(model: nn.Module) -> nn.Module:
    """The transformers model inside DDP, torch.compile and peft."""
    inner: Any = model
    while True:
        if isinstance(inner, nn.parallel.DistributedDataParallel):
            inner = inner.module
        elif hasattr(inner, "_orig_mod"):
            inner = inner._orig_mod
        elif hasattr(inner, "get_base_model"):
            inner = inner.get_base_model()
        else:
            return inner


def family_of(model: nn.Module) -> str:
    """The model type that its configuration names."""
    return str(getattr(getattr(model, "config", None), "model_type", type(model).__name__))


def output_layer(model: nn.Module) -> nn.Module:
    """The module that turns hidden states into logits.

    Raises LossmithError where there is none.
    """
    inner: Any = unwrap(model)
    layer = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    if layer is None:
        raise LossmithError(
            f"this {family_of(inner)} model has no output embedding",
            got=type(inner).__name__,
            expected="a language model with get_output_embeddings()",
        )
    return layer
