"""Whether the engine's logits are the model's own, asked on a few tokens before the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.errors import LossmithError
from lossmith.models.families import FAMILIES
from lossmith.models.heads import head_of, logits_from, own_logits, tail_of
from lossmith.models.hidden import capture_hidden, family_of, unwrap
from lossmith.models.modes import evaluating

# Largest difference over the largest logit.
_TOLERANCE: Mapping[torch.dtype, float] = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}
_CHECKED_EXAMPLES, _CHECKED_TOKENS = 2, 64
_INPUTS = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")


@dataclass(frozen=True)
class HeadCheck:
    """How a model's losses are computed: by the engine, or densely for the reason in `dense`.

    `difference` is that of the logits on the path taken from the model's own, over the largest of them.
    """

    family: str
    difference: float
    dense: str | None = None

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if self.dense is not None:
            return (
                f"this {self.family} model takes the dense path, which keeps the logits of all positions that are read "
                f"(positions x vocabulary): {self.dense}"
            )
        told = f"the engine's logits and the model's differ by {self.difference:.1e} of the largest"
        row = FAMILIES.get(self.family)
        if row is not None and row.run:
            return told
        return f"{told}; the family '{self.family}' is not among those run in the tests (lossmith list families)"


@torch.no_grad()
def verify_head(
    model: nn.Module,
    batch: Mapping[str, Any],
    *,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> HeadCheck:
    """Compare logits from captured hidden states with the model's own, in eval mode, on a few tokens.

    `batch` holds input_ids (examples, tokens), attention_mask, and the decoder's inputs where there are any; `autocast`
    is the context that training runs in. What follows the output embedding is also probed with made-up values up to
    +-60, so that a soft-cap too weak to show on small logits is still seen. Where `head_of` does not give the model's
    logits, its own layers are tried from the captured states on. Raises LossmithError, naming the family, where these
    do not give them either.
    """
    inputs = {name: batch[name][:_CHECKED_EXAMPLES, :_CHECKED_TOKENS] for name in _INPUTS if name in batch}
    # Asked in the mode it trains in: dropout on the output layer is off while the logits are compared.
    reason = head_of(model).reason
    with evaluating(model), autocast():
        own = model(**inputs, use_cache=False).logits
        hidden, format_of_call = _captured(model, inputs)
        counted = _counted(inputs, own)
        if reason is None:
            head = head_of(model)
            tolerance = _tolerance(own.dtype, hidden.dtype, head.weight.dtype, format_of_call)
            found = _differences(model, inputs, own=own[counted], ours=head.logits(hidden[counted]))
            if max(found.values()) <= tolerance:
                return HeadCheck(family_of(unwrap(model)), found["logits"])
            what, worst = max(found.items(), key=lambda pair: pair[1])
            reason = f"hidden W^T and what the model makes of it differ in {what}, by {worst:.1e} of the largest"
        tolerance = _tolerance(own.dtype, hidden.dtype, format_of_call)
        again = own_logits(model, inputs, autocast=format_of_call)(hidden[counted])
    return _dense(model, _relative(own[counted], again), tolerance=tolerance, reason=reason)


def _captured(model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, torch.dtype | None]:
    with capture_hidden(model) as captured:
        try:
            model(**inputs, use_cache=False)
        except (RuntimeError, IndexError, ValueError) as error:
            raise LossmithError(
                f"this {family_of(unwrap(model))} model cannot run without its vocabulary product: {error}",
                got=type(unwrap(model)).__name__,
                expected="a model that takes the values of its output embedding as they come",
                fix="this family does something with single logits that lossmith does not know: report it",
            ) from error
    return captured.hidden, captured.autocast


def _differences(model: nn.Module, inputs: Mapping[str, Tensor], *, own: Tensor, ours: Tensor) -> dict[str, float]:
    """Of the logits, and of what follows the output layer, probed with made-up values."""
    rows = torch.linspace(-60.0, 60.0, ours.shape[-1], device=ours.device, dtype=ours.dtype).expand(1, 1, -1)
    one_token = {name: value[:1, :1] for name, value in inputs.items()}
    probed = logits_from(model, one_token, lambda: rows)
    return {
        "logits": _relative(own, ours),
        "what follows the output embedding": _relative(probed, tail_of(model)(rows)),
    }


def _counted(inputs: Mapping[str, Tensor], own: Tensor) -> Tensor:
    """(examples, tokens) bool: positions whose logits no padding has touched."""
    name = "decoder_attention_mask" if "decoder_input_ids" in inputs else "attention_mask"
    whole = torch.ones(own.shape[:2], dtype=torch.bool, device=own.device)
    return inputs[name].bool() if name in inputs else whole


def _dense(model: nn.Module, difference: float, *, tolerance: float, reason: str) -> HeadCheck:
    family = family_of(unwrap(model))
    if not difference <= tolerance:
        raise LossmithError(
            f"the logits of this {family} model cannot be made from its hidden states: a loss would be silently wrong",
            got=f"largest difference {difference:.2e} of the largest logit, by the model's own layers",
            expected=f"at most {tolerance:.0e}",
            fix="this family does something around its output embedding that lossmith does not know: report it",
        )
    return HeadCheck(family, difference, reason)


def _tolerance(*formats: torch.dtype | None) -> float:
    """That of the coarsest number format that takes part."""
    return max(_TOLERANCE.get(dtype, _TOLERANCE[torch.float32]) for dtype in formats if dtype is not None)


def _relative(own: Tensor, ours: Tensor) -> float:
    if own.shape != ours.shape:
        return float("inf")
    own, ours = own.double().cpu(), ours.double().cpu()
    return float((own - ours).abs().max() / own.abs().max().clamp(min=1e-6))
