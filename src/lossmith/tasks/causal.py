"""The causal task: continue a prompt with a decoder-only model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.losses import Head
from lossmith.models.hidden import capture_hidden, embedding_scale, head_of, input_embedding
from lossmith.tasks.parts import Parts, item_numbers


@dataclass(frozen=True)
class Collator:
    """Rows to one right-padded batch, with the positions that count already picked out.

    A position is a token that is supervised, read at the hidden state before it: `mask` (examples, tokens - 1) marks
    those hidden states, and labels, spans and examples (positions,) follow its order. The shift is made here, once.
    """

    pad_token_id: int
    span_names: tuple[str, ...] = ()
    supervise_prompt: bool = False

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        length = max(len(row["input_ids"]) for row in rows)
        input_ids = torch.full((len(rows), length), self.pad_token_id, dtype=torch.int64)
        attention = torch.zeros((len(rows), length), dtype=torch.int64)
        supervised = torch.zeros((len(rows), length), dtype=torch.bool)
        spans = {name: torch.full((len(rows), length), -1, dtype=torch.int64) for name in self.span_names}
        for index, row in enumerate(rows):
            tokens = len(row["input_ids"])
            input_ids[index, :tokens] = torch.tensor(row["input_ids"], dtype=torch.int64)
            attention[index, :tokens] = 1
            answer = [(s["start"], s["end"], 0) for s in row["supervised"]]
            prompt = [(0, row["prompt_length"], 0)]
            supervised[index, :tokens] = item_numbers(tokens, answer) >= 0
            if self.supervise_prompt:
                supervised[index, : row["prompt_length"]] = True
            for name in self.span_names:
                own = {"answer": answer, "prompt": prompt}.get(name) or [
                    (s["start"], s["end"], s["item"]) for s in row["spans"] if s["name"] == name
                ]
                spans[name][index, :tokens] = item_numbers(tokens, own)
        mask = supervised[:, 1:]
        return {
            "input_ids": input_ids,
            "attention_mask": attention,
            "mask": mask,
            "labels": input_ids[:, 1:][mask],
            "spans": {name: numbers[:, 1:][mask] for name, numbers in spans.items()},
            "examples": torch.arange(len(rows))[:, None].expand_as(mask)[mask],
            "rows": torch.tensor([row["row"] for row in rows]),
            "tokens": sum(len(row["input_ids"]) for row in rows),
        }


class CausalForward:
    """Carries batches through a decoder to the hidden states of their positions, without a vocabulary product.

    `dtype` is that of the head's products: under autocast a model's last norm gives fp32 again, which its own output
    layer would have cast.
    """

    def __init__(
        self, model: nn.Module, *, real_tokens: int, needs_embeddings: bool, dtype: torch.dtype | None = None
    ) -> None:
        self._capture = capture_hidden(model)
        self._model = model
        self._real_tokens = real_tokens
        self._needs_embeddings = needs_embeddings
        self._dtype = dtype
        self.scale: float | None = None

    def refresh_scale(self) -> float | None:
        """Measure the spread of the input embeddings anew; called at the start and at each evaluation."""
        if self._needs_embeddings:
            self.scale = float(embedding_scale(self._model, self._real_tokens))
        return self.scale

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any]) -> Parts:
        """Run `wrapped` (the model as DDP or autocast wrap it) and pick the positions."""
        with self._capture as captured:
            wrapped(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
        hidden: Tensor = captured.hidden[:, :-1][batch["mask"]].to(self._dtype)
        plain = head_of(self._model)
        embeddings = None
        if self._needs_embeddings:
            scale = self.scale if self.scale is not None else self.refresh_scale()
            embeddings = (input_embedding(self._model), float(scale or 1.0))
        return Parts(
            hidden=hidden,
            head=Head(plain.weight, bias=plain.bias, scale=plain.scale, softcap=plain.softcap),
            labels=batch["labels"],
            spans=batch["spans"],
            examples=batch["examples"],
            embeddings=embeddings,
        )
