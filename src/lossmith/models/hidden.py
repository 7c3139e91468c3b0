"""Hidden states of any causal model without its vocabulary product, and the head that would have followed.

This is the one file that knows what model families do between the output embedding and the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.errors import LossmithError
from lossmith.models.weights import matrix_of

# What follows the output embedding, by model type: configuration key, and how it enters z.
_MULTIPLIED: Mapping[str, str] = {
    **dict.fromkeys(("cohere", "cohere2", "cohere2_moe"), "logit_scale"),
    **dict.fromkeys(("hyperclovax",), "logits_scaling"),
    **dict.fromkeys(("falcon_h1",), "lm_head_multiplier"),
}
_DIVIDED: Mapping[str, str] = dict.fromkeys(
    ("granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoehybrid", "granitemoeshared"), "logits_scaling"
)
_CAPPED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "gemma2",
            "gemma3",
            "gemma3_text",
            "gemma3n",
            "gemma3n_text",
            "gemma4",
            "gemma4_text",
            "nanochat",
            "vaultgemma",
        ),
        "final_logit_softcapping",
    ),
    "recurrent_gemma": "logits_soft_cap",
}

_TOLERANCE: Mapping[torch.dtype, float] = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}
_CHECKED_EXAMPLES, _CHECKED_TOKENS = 2, 64


@dataclass(frozen=True)
class PlainHead:
    """The output layer as numbers: z = softcap tanh(((hidden W^T + bias) scale) / softcap), no tanh without softcap.

    `exact` is False where the layer cannot be written as one matrix, and `reason` says why; reading `weight` is then
    an error, while `logits` still gives the model's own.
    """

    matrix: Tensor
    bias: Tensor | None
    scale: float
    softcap: float | None
    family: str
    reason: str | None = None
    layer: nn.Module | None = field(default=None, repr=False)

    @property
    def exact(self) -> bool:
        """Whether the layer is the matrix `weight`."""
        return self.reason is None

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
        if self.exact:
            weight = self.weight
            z = hidden.to(weight.dtype) @ weight.T
            z = z if self.bias is None else z + self.bias
        elif self.layer is not None:
            z = self.layer(hidden)
        else:
            raise LossmithError("this head has neither a matrix nor a layer", got=self.reason)
        z = z.to(torch.promote_types(z.dtype, torch.float32)) * self.scale
        return z if self.softcap is None else self.softcap * torch.tanh(z / self.softcap)


class Captured:
    """What one call left behind: `hidden` (examples, tokens, width), the input of the output embedding."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._seen: Tensor | None = None

    def remember(self, hidden: Tensor) -> None:
        """Keep the input of the output embedding; one call of the model passes it once."""
        if self._seen is not None:
            raise LossmithError(f"the output embedding of this {self._family} model ran twice in one call")
        self._seen = hidden

    @property
    def hidden(self) -> Tensor:
        """(examples, tokens, width); raises LossmithError where the model never came to its output embedding."""
        if self._seen is None:
            raise LossmithError(
                f"no hidden states came by: this {self._family} model does not call its output embedding",
                expected="a causal model called inside the capture, whose logits come from get_output_embeddings()",
            )
        return self._seen


class HiddenCapture:
    """A context in which calls of the model leave their hidden states behind and skip the vocabulary product.

    Inside it the output embedding remembers its input x and returns x[..., :1]. Call the model as it is wrapped (DDP,
    autocast): calling its backbone would go past the wrapper. Each entry gives a fresh `Captured`.
    """

    def __init__(self, model: nn.Module) -> None:
        inner = unwrap(model)
        self._family = family_of(inner)
        self._layer = output_layer(inner)
        self._open: Captured | None = None

    def __enter__(self) -> Captured:
        if self._open is not None:
            raise LossmithError("hidden states are being captured already: the captures of one model cannot nest")
        captured = self._open = Captured(self._family)

        def forward(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
            captured.remember(hidden)
            return hidden[..., :1]

        self._own = self._layer.__dict__.get("forward")
        self._layer.forward = forward
        return captured

    def __exit__(self, *_: object) -> None:
        self._open = None
        if self._own is None:
            del self._layer.__dict__["forward"]
        else:
            # Something else (accelerate's hooks) had put a forward of its own there.
            self._layer.forward = self._own


def capture_hidden(model: nn.Module) -> HiddenCapture:
    """A context whose calls of `model` leave `hidden` (examples, tokens, width) instead of logits; re-enterable.

    Raises LossmithError for a model without an output embedding.
    """
    return HiddenCapture(model)


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
            expected="a causal language model with get_output_embeddings()",
        )
    return layer


def head_of(model: nn.Module) -> PlainHead:
    """The model's output layer and what its family does after it; gradients reach what of it trains."""
    inner = unwrap(model)
    layer = output_layer(inner)
    found = matrix_of(layer)
    family = family_of(inner)
    scale, softcap = _after_the_layer(inner)
    return PlainHead(found.weight, found.bias, scale, softcap, family, found.reason, layer)


def _after_the_layer(model: nn.Module) -> tuple[float, float | None]:
    config: Any = model.config
    # A model of text and pictures keeps the facts of its decoder in a part of its configuration.
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    scale, softcap = 1.0, None
    for part in {id(config): config, id(text): text}.values():
        kind = str(getattr(part, "model_type", ""))
        if kind in _MULTIPLIED:
            scale = float(getattr(part, _MULTIPLIED[kind]) or 1.0)
        if kind in _DIVIDED:
            scale = 1.0 / float(getattr(part, _DIVIDED[kind]))
        if kind in _CAPPED:
            cap = getattr(part, _CAPPED[kind], None)
            softcap = float(cap) if cap is not None else softcap
    return scale, softcap


def input_embedding(model: nn.Module) -> Tensor:
    """The input embedding matrix (vocab, width) with its trained rows, detached: points are constants of a step."""
    inner: Any = unwrap(model)
    found = matrix_of(inner.get_input_embeddings())
    if found.reason is not None:
        raise LossmithError(
            f"the input embedding of this {family_of(inner)} model is no plain matrix",
            got=found.reason,
            fix="leave the embedding out of lora_target_modules",
        )
    return found.weight.detach()


@torch.no_grad()
def embedding_scale(model: nn.Module, real_tokens: int) -> float:
    """sqrt(mean_v |E_v - mean E|^2) over the first `real_tokens` rows of the input embedding, above 0.

    Rows beyond the tokenizer's length are padding of the matrix and hold no word.
    """
    rows = input_embedding(model)[:real_tokens]
    # In pieces: a float64 copy of 150,000 words would be larger than the model's own matrix.
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    squares = 0.0
    for piece in rows.split(8192):
        wide = piece.to("cpu", torch.float64)
        total += wide.sum(0)
        squares += float(wide.square().sum())
    spread = squares / len(rows) - float((total / len(rows)).square().sum())
    if spread <= 0:
        raise LossmithError("all rows of the input embedding are equal: distances between words mean nothing", got=0.0)
    return float(spread**0.5)


@torch.no_grad()
def verify_head(model: nn.Module, batch: Mapping[str, Any]) -> float:
    """Compare logits from captured hidden states and `head_of` with the model's own, in eval mode, on a few tokens.

    `batch` holds input_ids and attention_mask (examples, tokens). Returns the largest difference over the largest
    logit. What follows the output embedding is also probed with made-up values up to +-60, so that a soft-cap too weak
    to show on small logits is still seen. Raises LossmithError, naming the family, above the tolerance of the number
    format.
    """
    inner = unwrap(model)
    inputs = {
        name: batch[name][:_CHECKED_EXAMPLES, :_CHECKED_TOKENS]
        for name in ("input_ids", "attention_mask")
        if name in batch
    }
    with _evaluating(model):
        own = model(**inputs, use_cache=False).logits
        with capture_hidden(model) as captured:
            model(**inputs, use_cache=False)
        head = head_of(model)
        ours = head.logits(captured.hidden)
        probe = torch.linspace(-60.0, 60.0, own.shape[-1], device=own.device).expand(own.shape[:2] + own.shape[-1:])
        probed = _logits_from(model, inputs, probe)
    kept = (
        inputs["attention_mask"].bool() if "attention_mask" in inputs else torch.ones_like(inputs["input_ids"]).bool()
    )
    coarse = own.dtype if own.dtype in _TOLERANCE else torch.float32
    if captured.hidden.dtype in _TOLERANCE and _TOLERANCE[captured.hidden.dtype] > _TOLERANCE[coarse]:
        coarse = captured.hidden.dtype
    error = _relative(own[kept], ours[kept])
    after = probe * head.scale
    after = after if head.softcap is None else head.softcap * torch.tanh(after / head.softcap)
    for what, found in (("logits", error), ("what follows the output embedding", _relative(probed, after))):
        if not found <= _TOLERANCE[coarse]:
            raise LossmithError(
                f"the engine and this {family_of(inner)} model differ in {what}: a loss would be silently wrong",
                got=f"largest difference {found:.2e} of the largest logit, in {coarse}",
                expected=f"at most {_TOLERANCE[coarse]:.0e}",
                fix="this family does something after its output embedding that lossmith does not know: report it",
            )
    return error


def _logits_from(model: nn.Module, inputs: Mapping[str, Tensor], values: Tensor) -> Tensor:
    """The model's logits when its output embedding is made to give `values`."""
    layer = output_layer(model)
    own = layer.__dict__.get("forward")
    layer.forward = lambda hidden, *_, **__: values.to(hidden.dtype)
    try:
        return model(**inputs, use_cache=False).logits
    finally:
        if own is None:
            del layer.__dict__["forward"]
        else:
            layer.forward = own


def _relative(own: Tensor, ours: Tensor) -> float:
    if own.shape != ours.shape:
        return float("inf")
    own, ours = own.double().cpu(), ours.double().cpu()
    return float((own - ours).abs().max() / own.abs().max().clamp(min=1e-6))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
