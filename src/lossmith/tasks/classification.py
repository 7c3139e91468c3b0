"""Classification by a head: batches of texts, logits of classes, and what is checked of the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from lossmith.config.class_head import head_activation
from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, DataError, LossmithError
from lossmith.labels import Classes
from lossmith.losses import LabelCounts, Objective, Outputs
from lossmith.losses.groups import group_names
from lossmith.models.base_tokenizer import require_pad_token
from lossmith.models.class_head import ClassHead
from lossmith.models.classifier import load_classifier
from lossmith.models.hidden import family_of, unwrap
from lossmith.models.load import Loaded
from lossmith.models.reach import positions_of
from lossmith.tasks.class_parts import ACCURACY, ClassParts
from lossmith.tasks.classified import Scored, classified_table, write_classified
from lossmith.tasks.frozen import Pieces, on_features
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Progress, Ready, Task

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def classes_of(given: Given) -> Classes:
    """The classes of the prepared rows."""
    classes = given.prepared.classes
    assert classes is not None, "the data room writes the classes of a classification"
    return classes


def head_of(given: Given) -> ClassHead:
    """The outputs that the objective asks for: one for each class or label, or one for the positive of two classes.

    Raises ConfigError where the losses do not fit the labels.
    """
    classes = classes_of(given)
    activation = head_activation(given.config.objective, multi_label=classes.multi_label, classes=len(classes))
    if activation == "sigmoid" and not classes.multi_label:
        assert classes.positive is not None, "of two classes one is the positive"
        return ClassHead((classes.positive,), activation)
    return ClassHead(classes.names, activation)


@dataclass(frozen=True)
class ClassCollator:
    """Rows to one right-padded batch, with labels as the head's activation reads them.

    labels: (examples,) places of classes for softmax; (examples, outputs) of 0 and 1 for sigmoid. Where the tokenizer
    tells the two texts of a pair apart by type ids, the batch has them. Each of `tasks` is a mask of its records.
    groups: (examples,) places among the `groups` that terms weigh by, -1 for another or none.
    """

    pad_token_id: int
    classes: Classes
    head: ClassHead
    type_ids: bool = False
    tasks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

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
            "labels": self._labels([row["label"] for row in rows]),
            "tasks": {task: torch.tensor([row["task"] == task for row in rows]) for task in self.tasks},
            "groups": torch.tensor(
                [self.groups.index(row["group"]) if row["group"] in self.groups else -1 for row in rows]
            ),
            "rows": torch.tensor([row["row"] for row in rows]),
            "tokens": int(attention.sum()),
        }
        return {**batch, "token_type_ids": torch.from_numpy(types)} if self.type_ids else batch

    def _labels(self, labels: Sequence[Any]) -> Tensor:
        if self.classes.multi_label:
            return torch.tensor(labels, dtype=torch.float32)
        if self.head.activation == "softmax":
            return torch.tensor([self.classes.index(label) for label in labels])
        return torch.tensor([[label == name for name in self.head.names] for label in labels], dtype=torch.float32)


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
        classes_of(given),
        head_of(given),
        type_ids="token_type_ids" in tokenizer.model_input_names,
        tasks=objective.tasks,
        groups=group_names(objective.terms),
    )


def weigh(objective: Objective, given: Given) -> tuple[Objective, dict[str, list[dict[str, Any]]]]:
    """The objective with weights by a rule counted on the training split, for the outputs of the head."""
    classes, head = classes_of(given), head_of(given)
    found = dict(zip(classes.names, classes.counts["train"], strict=True))
    positives = tuple(found[name] for name in head.names)
    counts = LabelCounts(head.names, positives, classes.examples["train"], declared=classes.declared)
    weighted, facts = objective.weighted_by(counts)
    if not any(term.weights_by for term in weighted.terms):
        return weighted, facts
    file = given.prepared.split_file("train")
    assert file is not None, "there is a training split where terms are weighed"
    table = pq.read_table(file, columns=["task", "group"])
    records = Counter(zip(*(table.column(name).to_pylist() for name in ("task", "group")), strict=True))
    grouped, by_group = weighted.grouped_by(records, sorted({group for _, group in records if group is not None}))
    return grouped, {
        term.name: [*facts.get(term.name, []), *([by_group[term.name]] if term.name in by_group else [])]
        for term in grouped.terms
    }


def check_labels(_objective: Objective, _rows: Mapping[str, Rows], given: Given) -> list[str]:
    """Refuse a training split with nothing to tell apart; the audit has told of classes that a split lacks."""
    classes = classes_of(given)
    counts, examples = classes.counts["train"], classes.examples["train"]
    if classes.multi_label:
        useless = not any(0 < count < examples for count in counts)
    else:
        useless = sum(count > 0 for count in counts) < 2
    if useless:
        told = ", ".join(f"{name} {count}" for name, count in zip(classes.names, counts, strict=True))
        raise DataError(
            "all training records have the same label, so there is nothing to learn",
            got=f"{examples} records: {told}",
            expected="records of two classes or more in the training split",
            fix="look at data.label, and at data.split: stratified: true gives each split its share of every class",
        )
    return []


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
        parts = ClassForward()(loaded.model, {**batch, **_on(batch, device)})
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


def count(objective: Objective, batch: Mapping[str, Any]) -> dict[str, float]:
    """The denominators of the terms for the labels of a batch."""
    truth = Outputs(labels=batch["labels"], groups=batch["groups"], tasks=batch["tasks"])
    return objective.counts_on_outputs(truth)


@torch.no_grad()
def answers(loaded: Loaded, rows: Rows, given: Given, progress: Progress | None) -> Iterator[Scored]:
    """Logits of every row, in order; batches are of near-equal lengths.

    Where the backbone is frozen its features are computed once for all runs, and the head alone runs.
    """
    model, device = loaded.model, next(loaded.model.parameters()).device
    model.eval()
    taken = Pieces({"asked": rows}, collator(Objective.of(()), given), ClassForward(), {})
    if given.config.model.freeze_backbone and (rows.lengths > 0).any():
        taken = on_features(taken, loaded, given)
    rows, collate = taken.rows["asked"], taken.collate
    order = np.argsort(-rows.lengths, kind="stable")
    errors = rows.table.column("error").to_pylist()
    asked = [int(number) for number in order if errors[number] is None]
    size, found = given.config.generate.batch_size, dict[int, np.ndarray]()
    for start in range(0, len(asked), size):
        batch = collate([rows[number] for number in asked[start : start + size]])
        logits = taken.forward(model, {**batch, **_on(batch, device)}).logits()
        assert logits is not None, "a class head has logits"
        found |= zip(batch["rows"].tolist(), logits.double().cpu().numpy(), strict=True)
        if progress is not None:
            progress(len(found), len(asked))
    for number in range(len(rows)):
        if number in found:
            yield Scored(number, of_classes(found[number], given))
        else:
            yield Scored(number, error=errors[number])


def scored(logits: Mapping[int, np.ndarray], given: Given) -> Iterator[Scored]:
    """The same of logits that are there already."""
    return (Scored(number, of_classes(own, given)) for number, own in logits.items())


def of_classes(logits: np.ndarray, given: Given) -> np.ndarray:
    """Logits (outputs,) of a head as one for each class (classes,): one sigmoid output stands against 0."""
    classes = classes_of(given)
    if len(logits) == len(classes):
        return logits
    both = np.zeros(len(classes))
    both[classes.index(str(classes.positive))] = logits[0]
    return both


def _on(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) for name, value in batch.items() if isinstance(value, Tensor)}


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
    scored=scored,
)
