"""Labels of a classification as its head reads them: which outputs there are, weights counted, what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from lossmith.config.class_head import head_activation
from lossmith.errors import DataError
from lossmith.labels import Classes
from lossmith.losses import LabelCounts, Objective, Outputs
from lossmith.losses.groups import group_names
from lossmith.models.class_head import ClassHead
from lossmith.tasks.classified import Scored
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given


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
class Truth:
    """What a batch holds beside what the model reads: labels as the head's activation reads them, tasks and groups.

    labels: (examples,) places of classes for softmax; (examples, outputs) of 0 and 1 for sigmoid. Each of `tasks` is a
    mask of its records. groups: (examples,) places among the `groups` that terms weigh by, -1 for another or none.
    """

    classes: Classes
    head: ClassHead
    tasks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, objective: Objective, given: Given) -> Truth:
        """What the objective's terms read."""
        return cls(classes_of(given), head_of(given), objective.tasks, group_names(objective.terms))

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Labels, tasks, groups and row numbers of some rows."""
        return {
            "labels": self._labels([row["label"] for row in rows]),
            "tasks": {task: torch.tensor([row["task"] == task for row in rows]) for task in self.tasks},
            "groups": torch.tensor(
                [self.groups.index(row["group"]) if row["group"] in self.groups else -1 for row in rows]
            ),
            "rows": torch.tensor([row["row"] for row in rows]),
        }

    def _labels(self, labels: Sequence[Any]) -> Tensor:
        if self.classes.multi_label:
            return torch.tensor(labels, dtype=torch.float32)
        if self.head.activation == "softmax":
            return torch.tensor([self.classes.index(label) for label in labels])
        return torch.tensor([[label == name for name in self.head.names] for label in labels], dtype=torch.float32)


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


def count(objective: Objective, batch: Mapping[str, Any]) -> dict[str, float]:
    """The denominators of the terms for the labels of a batch."""
    truth = Outputs(labels=batch["labels"], groups=batch["groups"], tasks=batch["tasks"], keep=batch.get("keep"))
    return objective.counts_on_outputs(truth)


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
