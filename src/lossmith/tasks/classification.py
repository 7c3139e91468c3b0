"""Classification by a head: batches of texts, logits of classes, and what is checked of the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, LossmithError
from lossmith.losses import Objective, Outputs
from lossmith.models.base_tokenizer import require_pad_token
from lossmith.models.classifier import load_classifier
from lossmith.models.hidden import family_of, unwrap
from lossmith.models.load import Loaded
from lossmith.models.reach import positions_of
from lossmith.tasks.class_labels import Truth, check_labels, classes_of, count, head_of, of_classes, scored, weigh
from lossmith.tasks.class_parts import ACCURACY, ClassParts
from lossmith.tasks.classified import Scored, classified_table, write_classified
from lossmith.tasks.frozen import on_features
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Pieces, Progress, Ready, Task, on_device

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class ClassCollator:
    """Rows to one right-padded batch, with the `truth` beside them.

    Where the tokenizer tells the two texts of a pair apart by type ids, the batch has them.
    """

    pad_token_id: int
    truth: Truth
    type_ids: bool = False

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        shape = (len(rows), max(len(row["input_ids"]) for row in rows))
        input_ids = np.full(shape, self.pad_token_id, dtype=np.int64)
        attention = np.zeros(shape, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        for index, row in enumerate(rows):
            tokens = len(row["input_ids"])
            input_ids[index, :tokens] = row["input_ids"]
            attention[index, :tokens] = 1
            if row["pair_start"] is not None:
                types[index, row["pair_start"] : tokens] = 1
        batch: dict[str, Any] = {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention),
            **self.truth(rows),
            "tokens": int(attention.sum()),
        }
        return {**batch, "token_type_ids": torch.from_numpy(types)} if self.type_ids else batch


class ClassForward:
    """Carries batches through a model with a class head."""

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any]) -> ClassParts:
        """Logits and labels of a batch."""
        logits = wrapped(**{name: batch[name] for name in _INPUTS if name in batch}).logits
        return ClassParts(Outputs(logits=logits, labels=batch["labels"], groups=batch["groups"], tasks=batch["tasks"]))

    def refresh_scale(self) -> None:
        """Nothing: no term of a class head reads embeddings."""
        return


def collator(objective: Objective, given: Given) -> ClassCollator:
    """The collator for the head and the tasks that the objective asks for."""
    tokenizer = given.tokenizer
    return ClassCollator(
        tokenizer.pad_token_id,
        Truth.of(objective, given),
        type_ids="token_type_ids" in tokenizer.model_input_names,
    )


def load(model: ModelConfig, given: Given, training: bool) -> Loaded:
    """The model with its head, which has positions for every prepared row."""
    loaded = load_classifier(
        model,
        given.tokenizer,
        head_of(given),
        precision=given.precision,
        seed=given.config.seed,
        training=training,
    )
    check_lengths(loaded, given)
    return loaded


def ready(loaded: Loaded, row: dict[str, Any], objective: Objective, given: Given) -> Ready:
    """The forward, after one row went through model and objective."""
    head = head_of(given)
    device = next(loaded.model.parameters()).device
    batch = collator(objective, given)([row])
    training = loaded.model.training
    loaded.model.eval()
    with torch.no_grad(), given.precision.autocast():
        parts = ClassForward()(loaded.model, on_device(batch, device))
        parts.value(objective)
    loaded.model.train(training)
    found = tuple(parts.logits().shape)
    if found != (1, len(head.names)) or not bool(torch.isfinite(parts.logits()).all()):
        raise LossmithError(
            f"this {family_of(unwrap(loaded.model))} model gives no logits of the classes",
            got=f"{found}, finite: {bool(torch.isfinite(parts.logits()).all())}",
            expected=f"one finite number for each of {', '.join(head.names)}",
        )
    facts = {
        "family": family_of(unwrap(loaded.model)),
        "outputs": list(head.names),
        "activation": head.activation,
        "pooling": getattr(loaded.model, "pooling", None),
    }
    return Ready(ClassForward(), facts)


def check_lengths(loaded: Loaded, given: Given) -> None:
    """Raise ConfigError where a prepared row is longer than the model has positions."""
    limit = min(positions_of(loaded.model) or given.config.data.max_length, given.tokenizer.model_max_length)
    for split in ("train", "validation", "test"):
        file = given.prepared.split_file(split)
        longest = int(Rows(file, columns=["input_ids"]).lengths.max()) if file is not None else 0
        if longest > limit:
            raise ConfigError(
                f"a record of the {split} split is longer than the model can read",
                got=f"{longest} tokens, data.max_length={given.config.data.max_length}",
                expected=f"at most {limit}",
                fix=f"data.max_length={limit}",
            )


@torch.no_grad()
def answers(loaded: Loaded, rows: Rows, given: Given, progress: Progress | None) -> Iterator[Scored]:
    """Logits of every row, in order; batches are of near-equal lengths.

    Where the backbone is frozen its features are computed once for all runs, and the head alone runs.
    """
    model, device = loaded.model, next(loaded.model.parameters()).device
    model.eval()
    taken = on_features(Pieces({"asked": rows}, collator(Objective.of(()), given), ClassForward()), loaded, given)
    rows, collate = taken.rows["asked"], taken.collate
    order = np.argsort(-rows.lengths, kind="stable")
    errors = rows.table.column("error").to_pylist()
    asked = [int(number) for number in order if errors[number] is None]
    size, found = given.config.generate.batch_size, dict[int, np.ndarray]()
    for start in range(0, len(asked), size):
        batch = collate([rows[number] for number in asked[start : start + size]])
        logits = taken.forward(model, on_device(batch, device)).logits()
        assert logits is not None, "a class head has logits"
        found |= zip(batch["rows"].tolist(), logits.double().cpu().numpy(), strict=True)
        if progress is not None:
            progress(len(found), len(asked))
    for number in range(len(rows)):
        if number in found:
            yield Scored(number, of_classes(found[number], given))
        else:
            yield Scored(number, error=errors[number])


HEAD = Task(
    columns=("id", "group", "task", "input_ids", "pair_start", "label"),
    check_tokenizer=require_pad_token,
    weigh=weigh,
    check=check_labels,
    load=load,
    collator=collator,
    count=count,
    ready=ready,
    answers=answers,
    write=lambda rows, made, path, given, decision: write_classified(rows, made, path, classes_of(given), decision),
    table=lambda rows, made, given, decision: classified_table(rows, made, classes_of(given), decision),
    figures=(ACCURACY,),
    stored=on_features,
    scored=scored,
)
