"""The text-to-text task: a source is read and a target written, by an encoder-decoder or by a decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmith.config.model import ModelConfig
from lossmith.config.schema import Config
from lossmith.errors import ConfigError
from lossmith.losses import Objective, task_span
from lossmith.models.hidden import unwrap
from lossmith.models.load import Loaded, load_model
from lossmith.models.pretrained import SEQ2SEQ
from lossmith.tasks.causal import CAUSAL, check_rows, intervals
from lossmith.tasks.longest_row import check_longest
from lossmith.tasks.prepare import reads_sources
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Ready, Task
from lossmith.tasks.token_forward import ready_forward


@dataclass(frozen=True)
class PairCollator:
    """Rows to one batch of sources and targets, each right-padded, with the positions that count already picked out.

    A target token is predicted at the decoder's state of the same place, because the decoder is fed what came before
    it: `mask` (examples, target tokens) marks the supervised ones, and labels, spans and examples (positions,) follow
    its order. Padding is never a position.
    """

    pad_token_id: int
    span_names: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        edges = [row["prompt_length"] for row in rows]
        sources = (len(rows), max(edges))
        written = (len(rows), max(len(row["input_ids"]) - edge for row, edge in zip(rows, edges, strict=True)))
        input_ids = np.full(sources, self.pad_token_id, dtype=np.int64)
        attention = np.zeros(sources, dtype=np.int64)
        targets = np.full(written, self.pad_token_id, dtype=np.int64)
        mask = np.zeros(written, dtype=np.bool_)
        names = (*self.span_names, *map(task_span, self.tasks))
        spans = {name: np.full(written, -1, dtype=np.int64) for name in names}
        for index, (row, edge) in enumerate(zip(rows, edges, strict=True)):
            ids = row["input_ids"]
            input_ids[index, :edge] = ids[:edge]
            attention[index, :edge] = 1
            targets[index, : len(ids) - edge] = ids[edge:]
            for name, start, end, item in intervals(row):
                inside = slice(max(start - edge, 0), max(end - edge, 0))
                if name == "answer":
                    mask[index, inside] = True
                if name in spans:
                    spans[name][index, inside] = item
            if row["task"] in self.tasks:
                spans[task_span(row["task"])][index, : len(ids) - edge] = 0
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention),
            "targets": torch.from_numpy(targets),
            "mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(targets[mask]),
            "spans": {name: torch.from_numpy(numbers[mask]) for name, numbers in spans.items()},
            "examples": torch.from_numpy(np.nonzero(mask)[0]),
            "rows": torch.tensor([row["row"] for row in rows]),
            "tokens": sum(len(row["input_ids"]) for row in rows),
        }


@dataclass(frozen=True)
class PairInputs:
    """What an encoder-decoder is called with: sources, and targets shifted by one as its family shifts them."""

    model: Any

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Of a batch."""
        shifted = unwrap(self.model).prepare_decoder_input_ids_from_labels(labels=batch["targets"])  # type: ignore[operator]
        return {**{name: batch[name] for name in ("input_ids", "attention_mask")}, "decoder_input_ids": shifted}


def collator(objective: Objective, given: Given) -> PairCollator:
    """The collator for the spans and tasks that the objective reads."""
    names = sorted(set(objective.span_names) - {"answer"})
    return PairCollator(given.tokenizer.pad_token_id, tuple(names), objective.tasks)


def check(objective: Objective, rows: Mapping[str, Rows], given: Given) -> list[str]:
    """As of the causal task; a term cannot read the source, which nothing predicts. Raises ConfigError."""
    for term in objective.terms:
        if "prompt" in term.span:
            raise ConfigError(
                f"the term '{term.name}' reads the prompt, which an encoder-decoder reads and never writes",
                got=f"span: {list(term.span)}",
                expected="the answer, or spans inside it",
                fix="a decoder as base learns its prompt, too",
            )
    return check_rows(objective, rows, given)


def load(model: ModelConfig, given: Given, training: bool) -> Loaded:
    """The encoder-decoder."""
    return load_model(
        model, given.tokenizer, precision=given.precision, seed=given.config.seed, training=training, kind=SEQ2SEQ
    )


def ready(loaded: Loaded, row: dict[str, Any], objective: Objective, given: Given) -> Ready:
    """The forward, tried on one row. Raises ConfigError where a side is longer than the model has positions."""
    check_longest(loaded, given, apart=True)
    batch = collator(objective, given)([row])
    return ready_forward(loaded, batch, objective, given, inputs=PairInputs(loaded.model))


ENCODER_DECODER = replace(CAUSAL, check=check, load=load, collator=collator, ready=ready)


def task_for(config: Config) -> Task:
    """The pieces for the base that is configured: those of an encoder-decoder, or of a decoder."""
    return ENCODER_DECODER if reads_sources(config) else CAUSAL
