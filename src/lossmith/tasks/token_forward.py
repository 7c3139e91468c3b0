"""A batch through a language model, as far as the states that its labels are predicted from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from lossmith.losses import Head, Objective
from lossmith.models.head_check import verify_head
from lossmith.models.heads import embedding_scale, embedding_trains, head_of, input_embedding, own_logits
from lossmith.models.hidden import Captured, capture_hidden
from lossmith.models.load import Loaded
from lossmith.tasks.task import Given, Ready
from lossmith.tasks.token_parts import TokenParts

Inputs = Callable[[Mapping[str, Any]], dict[str, Tensor]]


def text_inputs(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a model of one text is called with."""
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


class TokenForward:
    """Carries batches through a language model to the states of their positions, without a vocabulary product.

    `inputs` takes from a batch what the model is called with. Of the hidden states of each example, the first as many
    as the batch's `mask` has columns are judged by it. `dense` is for a model whose head check says so: its logits are
    then made by its own layers, at the positions alone.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        real_tokens: int,
        needs_embeddings: bool,
        dense: bool = False,
        inputs: Inputs = text_inputs,
    ) -> None:
        self._capture = capture_hidden(model)
        self._model = model
        self._real_tokens = real_tokens
        self._needs_embeddings = needs_embeddings
        self._dense = dense
        self._inputs = inputs
        self.scale: float | None = None

    def refresh_scale(self) -> float | None:
        """The spread of the input embeddings, where a term asks; measured anew only while they train."""
        if self._needs_embeddings and (self.scale is None or embedding_trains(self._model)):
            self.scale = embedding_scale(self._model, self._real_tokens)
        return self.scale

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any]) -> TokenParts:
        """Run `wrapped` (the model as DDP or autocast wrap it) and pick the positions."""
        inputs = self._inputs(batch)
        with self._capture as captured:
            wrapped(**inputs, use_cache=False)
        hidden, head = self._read(captured, inputs, mask=batch["mask"])
        embeddings = None
        if self._needs_embeddings:
            scale = self.scale or self.refresh_scale()
            assert scale is not None
            embeddings = (input_embedding(self._model), scale)
        return TokenParts(
            hidden=hidden,
            head=head,
            labels=batch["labels"],
            spans=batch["spans"],
            examples=batch["examples"],
            embeddings=embeddings,
        )

    def _read(
        self, captured: Captured, inputs: Mapping[str, Tensor], *, mask: Tensor
    ) -> tuple[Tensor, Head | Callable[[Tensor], Tensor]]:
        """Hidden states of the positions, and what makes logits of them."""
        hidden: Tensor = captured.hidden[:, : mask.shape[1]][mask]
        if self._dense:
            return hidden, own_logits(self._model, inputs, autocast=captured.autocast)
        plain = head_of(self._model)
        # Under autocast a model's last norm gives fp32 again, which its own output layer would have cast.
        hidden = hidden if captured.autocast is None else hidden.to(captured.autocast)
        return hidden, Head(plain.weight, bias=plain.bias, scale=plain.scale, softcap=plain.softcap)


def ready_forward(
    loaded: Loaded,
    batch: Mapping[str, Any],
    objective: Objective,
    given: Given,
    *,
    inputs: Inputs = text_inputs,
) -> Ready:
    """The forward, after a comparison of the engine's logits with the model's own on a batch of one row."""
    device = next(loaded.model.parameters()).device
    first = {name: value.to(device) for name, value in batch.items() if isinstance(value, Tensor)}
    check = verify_head(loaded.model, inputs(first), autocast=given.precision.autocast)
    forward = TokenForward(
        loaded.model,
        real_tokens=len(given.tokenizer),
        needs_embeddings=objective.needs_embeddings,
        dense=check.dense is not None,
        inputs=inputs,
    )
    facts = {
        "family": check.family,
        "head": {"path": "dense" if check.dense else "engine", "why": check.dense, "difference": check.difference},
        "embedding_scale": forward.refresh_scale(),
    }
    told = (check.sentence,)
    return Ready(forward, facts, *(((), told) if check.dense else (told, ())))
