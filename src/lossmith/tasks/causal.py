"""The causal task: continue a prompt with a decoder-only model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossmith.config.model import ModelConfig
from lossmith.losses import Head, Objective, task_span
from lossmith.models.base_tokenizer import require_end_token
from lossmith.models.head_check import verify_head
from lossmith.models.heads import embedding_scale, embedding_trains, head_of, input_embedding, own_logits
from lossmith.models.hidden import Captured, capture_hidden
from lossmith.models.load import Loaded, load_model
from lossmith.tasks.positions import check_positions, check_positions_by_task, unmarked_spans
from lossmith.tasks.predict import decode_rows, table_of_texts, write_texts
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Progress, Ready, Task
from lossmith.tasks.token_parts import TokenParts


@dataclass(frozen=True)
class Collator:
    """Rows to one right-padded batch, with the positions that count already picked out.

    A position is a token that is supervised, read at the hidden state before it: `mask` (examples, tokens - 1) marks
    those hidden states, and labels, spans and examples (positions,) follow its order. The shift is made here, once.
    Each of `tasks` is a span of all positions of its records.
    """

    pad_token_id: int
    span_names: tuple[str, ...] = ()
    supervise_prompt: bool = False
    tasks: tuple[str, ...] = ()

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        shape = (len(rows), max(len(row["input_ids"]) for row in rows))
        # Filled as numpy arrays: writing to a slice of a tensor takes many times as long.
        input_ids = np.full(shape, self.pad_token_id, dtype=np.int64)
        attention = np.zeros(shape, dtype=np.int64)
        supervised = np.zeros(shape, dtype=np.bool_)
        names = (*self.span_names, *map(task_span, self.tasks))
        spans = {name: np.full(shape, -1, dtype=np.int64) for name in names}
        for index, row in enumerate(rows):
            tokens = len(row["input_ids"])
            input_ids[index, :tokens] = row["input_ids"]
            attention[index, :tokens] = 1
            for name, start, end, item in _intervals(row):
                if name == "answer" or (name == "prompt" and self.supervise_prompt):
                    supervised[index, start:end] = True
                if name in spans:
                    spans[name][index, start:end] = item
            if row["task"] in self.tasks:
                spans[task_span(row["task"])][index, :tokens] = 0
        mask = supervised[:, 1:]
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention),
            "mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(input_ids[:, 1:][mask]),
            "spans": {name: torch.from_numpy(numbers[:, 1:][mask]) for name, numbers in spans.items()},
            "examples": torch.from_numpy(np.nonzero(mask)[0]),
            "rows": torch.tensor([row["row"] for row in rows]),
            "tokens": sum(len(row["input_ids"]) for row in rows),
        }


def _intervals(row: Mapping[str, Any]) -> Iterator[tuple[str, int, int, int]]:
    """Name, start, end and item of the parts of a row that terms can read; the named spans come last."""
    yield "prompt", 0, row["prompt_length"], 0
    for each in row["supervised"]:
        yield "answer", each["start"], each["end"], 0
    for each in row["spans"]:
        if each["name"] not in ("prompt", "answer"):
            yield each["name"], each["start"], each["end"], each["item"]


class CausalForward:
    """Carries batches through a decoder to the hidden states of their positions, without a vocabulary product.

    `dense` is for a model whose head check says so: its logits are then made by its own layers, at the positions alone.
    """

    def __init__(self, model: nn.Module, *, real_tokens: int, needs_embeddings: bool, dense: bool = False) -> None:
        self._capture = capture_hidden(model)
        self._model = model
        self._real_tokens = real_tokens
        self._needs_embeddings = needs_embeddings
        self._dense = dense
        self.scale: float | None = None

    def refresh_scale(self) -> float | None:
        """The spread of the input embeddings, where a term asks; measured anew only while they train."""
        if self._needs_embeddings and (self.scale is None or embedding_trains(self._model)):
            self.scale = embedding_scale(self._model, self._real_tokens)
        return self.scale

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any]) -> TokenParts:
        """Run `wrapped` (the model as DDP or autocast wrap it) and pick the positions."""
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
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
        hidden: Tensor = captured.hidden[:, :-1][mask]
        if self._dense:
            return hidden, own_logits(self._model, inputs, autocast=captured.autocast)
        plain = head_of(self._model)
        # Under autocast a model's last norm gives fp32 again, which its own output layer would have cast.
        hidden = hidden if captured.autocast is None else hidden.to(captured.autocast)
        return hidden, Head(plain.weight, bias=plain.bias, scale=plain.scale, softcap=plain.softcap)


def collator(objective: Objective, tokenizer: Any) -> Collator:
    """The collator for the spans and tasks that the objective reads."""
    names = sorted(set(objective.span_names) - {"answer"})
    supervise_prompt = "prompt" in names
    if supervise_prompt:
        # All positions are the answer unless told apart; with the prompt among them they must be.
        names = ["answer", *names]
    return Collator(tokenizer.pad_token_id, tuple(names), supervise_prompt, objective.tasks)


def check_rows(objective: Objective, rows: Mapping[str, Rows], given: Given) -> list[str]:
    """Refuse training rows without positions for a term; returns sentences on terms that find less than they name."""
    audit = given.prepared.audit
    check_positions(audit["splits"]["train"], objective.terms)
    return [*check_positions_by_task(rows["train"], objective.terms), *unmarked_spans(audit, objective.terms)]


def load(model: ModelConfig, given: Given, training: bool) -> Loaded:
    """The causal model."""
    return load_model(model, given.tokenizer, precision=given.precision, seed=given.config.seed, training=training)


def ready(loaded: Loaded, row: dict[str, Any], objective: Objective, given: Given) -> Ready:
    """The forward, after a comparison of the engine's logits with the model's own on one row."""
    device = next(loaded.model.parameters()).device
    batch = collator(objective, given.tokenizer)([row])
    first = {name: value.to(device) for name, value in batch.items() if isinstance(value, Tensor)}
    check = verify_head(loaded.model, first, autocast=given.precision.autocast)
    forward = CausalForward(
        loaded.model,
        real_tokens=len(given.tokenizer),
        needs_embeddings=objective.needs_embeddings,
        dense=check.dense is not None,
    )
    facts = {
        "family": check.family,
        "head": {"path": "dense" if check.dense else "engine", "why": check.dense, "difference": check.difference},
        "embedding_scale": forward.refresh_scale(),
    }
    told = (check.sentence,)
    return Ready(forward, facts, *(((), told) if check.dense else (told, ())))


def count(objective: Objective, batch: Mapping[str, Any]) -> dict[str, float]:
    """The units of every term among the positions of a batch."""
    return objective.counts(batch["labels"], batch["spans"], batch["examples"])


def answers(
    loaded: Loaded, rows: Rows, given: Given, progress: Progress | None
) -> Iterator[tuple[int, str, str | None]]:
    """Generated text of every row."""
    return decode_rows(
        loaded.model,
        given.tokenizer,
        rows,
        how=given.config.generate,
        end_ids=loaded.end_ids,
        seed=given.config.seed,
        progress=progress,
    )


CAUSAL = Task(
    columns=Rows.TRAINING,
    check_tokenizer=require_end_token,
    weigh=lambda objective, _: (objective, {}),
    check=check_rows,
    load=load,
    collator=lambda objective, given: collator(objective, given.tokenizer),
    count=count,
    ready=ready,
    answers=answers,
    write=lambda rows, made, path, *_: write_texts(rows, made, path),
    table=lambda rows, made, *_: table_of_texts(rows, made),
)
