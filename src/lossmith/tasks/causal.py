"""The causal task: continue a prompt with a decoder-only model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lossmith.config.model import ModelConfig
from lossmith.generate.restrictions import restrictions_for
from lossmith.losses import Objective, task_span
from lossmith.models.base_tokenizer import require_end_token
from lossmith.models.load import Loaded, load_model
from lossmith.tasks.longest_row import check_longest
from lossmith.tasks.positions import check_positions, check_positions_by_task, unmarked_spans
from lossmith.tasks.predict import decode_rows, table_of_texts, write_texts
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Progress, Ready, Task
from lossmith.tasks.token_forward import ready_forward


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
            for name, start, end, item in intervals(row):
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


def intervals(row: Mapping[str, Any]) -> Iterator[tuple[str, int, int, int]]:
    """Name, start, end and item of the parts of a row that terms can read; the named spans come last."""
    yield "prompt", 0, row["prompt_length"], 0
    for each in row["supervised"]:
        yield "answer", each["start"], each["end"], 0
    for each in row["spans"]:
        if each["name"] not in ("prompt", "answer"):
            yield each["name"], each["start"], each["end"], each["item"]


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
    check_answers(given.config.data.answer_schema, given)
    audit = given.prepared.audit
    check_positions(audit["splits"]["train"], objective.terms)
    return [*check_positions_by_task(rows["train"], objective.terms), *unmarked_spans(audit, objective.terms)]


def check_answers(schema: Any, given: Given) -> None:
    """Raise ConfigError where answers cannot be held to the schema: told before training, not after it."""
    if schema is not None:
        restrictions_for(given.config.generate, given.tokenizer, schema=schema)


def load(model: ModelConfig, given: Given, training: bool) -> Loaded:
    """The causal model."""
    return load_model(model, given.tokenizer, precision=given.precision, seed=given.config.seed, training=training)


def ready(loaded: Loaded, row: dict[str, Any], objective: Objective, given: Given) -> Ready:
    """The forward, tried on one row. Raises ConfigError where a row is longer than the model has positions."""
    check_longest(loaded, given, apart=False)
    return ready_forward(loaded, collator(objective, given.tokenizer)([row]), objective, given)


def count(objective: Objective, batch: Mapping[str, Any]) -> dict[str, float]:
    """The units of every term among the positions of a batch."""
    return objective.counts(batch["labels"], batch["spans"], batch["examples"])


def answers(
    loaded: Loaded, rows: Rows, given: Given, progress: Progress | None
) -> Iterator[tuple[int, str, str | None]]:
    """Generated text of every row."""
    return answers_in(given.config.data.answer_schema, loaded, rows, given=given, progress=progress)


def answers_in(
    schema: Any, loaded: Loaded, rows: Rows, *, given: Given, progress: Progress | None
) -> Iterator[tuple[int, str, str | None]]:
    """Generated text of every row, where `generate.constrained` asks for it in the form of a schema."""
    config = given.config
    return decode_rows(
        loaded, given.tokenizer, rows, how=config.generate, seed=config.seed, schema=schema, progress=progress
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
    write=lambda rows, made, path, given, _: write_texts(rows, made, path, schema=given.config.data.answer_schema),
    table=lambda rows, made, given, _: table_of_texts(rows, made, schema=given.config.data.answer_schema),
)
