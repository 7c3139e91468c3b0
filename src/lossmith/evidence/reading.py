"""One document as the model read it: what it says of the whole and without each chunk, turned to what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from lossmith.data.criteria import criterion_of
from lossmith.labels import Classes
from lossmith.metrics.evidence import asked_about, by_importance, importance
from lossmith.models.leave_one_out import Left, Reader, leave_one_out
from lossmith.tasks.classified import Decision


@dataclass(frozen=True)
class Judge:
    """How logits of a head become what is predicted: the classes that it has outputs for, and a decision.

    has_queries: whether chunks are read by queries, not all alike.
    """

    classes: Classes
    decision: Decision
    outputs: tuple[str, ...]
    has_queries: bool = True

    def of(self, row: Mapping[str, Any]) -> Judge:
        """What decides on a prepared row, whose criterion may have a threshold of its own."""
        return replace(self, decision=self.decision.of(criterion_of(row)))

    def of_classes(self, logits: np.ndarray) -> np.ndarray:
        """Logits (..., classes) of a head's (..., outputs); one sigmoid output stands against 0."""
        if len(self.outputs) == len(self.classes):
            return logits
        both = np.zeros((*logits.shape[:-1], len(self.classes)))
        both[..., self.classes.index(self.outputs[0])] = logits[..., 0]
        return both

    def predicted(self, logits: np.ndarray) -> np.ndarray:
        """Mask (classes,) of what is predicted on logits (classes,)."""
        scores = self.decision.scores(logits[None], self.classes)
        return np.asarray(self.decision.predicted(scores, self.classes)[0], dtype=bool)


@dataclass(frozen=True)
class Document:
    """A document as it is stored: its row, vectors (chunks, width), the characters of each (chunks, 2), its criterion's
    vector (width,) or None.
    """

    row: Mapping[str, Any]
    vectors: np.ndarray
    units: np.ndarray
    pair: np.ndarray | None

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Vectors and criterion where the model is."""
        pair = None if self.pair is None else torch.from_numpy(np.array(self.pair)).to(device)
        return torch.from_numpy(np.array(self.vectors)).to(device), pair


@dataclass(frozen=True)
class Reading:
    """What the model says of a document; arrays over chunks have the order of the document."""

    document: Document
    judge: Judge
    left: Left

    @cached_property
    def whole(self) -> np.ndarray:
        """Logits (classes,) of the whole document."""
        return self.judge.of_classes(self.left.whole)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Mask (classes,) of what is predicted."""
        return self.judge.predicted(self.whole)

    @cached_property
    def about(self) -> np.ndarray:
        """Mask (classes,) of what the evidence speaks for or against."""
        return asked_about(self.whole, self.predicted, self.judge.classes)

    @cached_property
    def importance(self) -> np.ndarray:
        """How far the log-odds of what the evidence is about fall (chunks,) without each chunk."""
        apart, without = (self.judge.of_classes(logits) for logits in (self.left.apart, self.left.without))
        return importance(apart, without, self.about, multi_label=self.judge.classes.multi_label)

    @cached_property
    def weight(self) -> np.ndarray:
        """Mean (chunks,) over queries of the weight on each chunk."""
        return np.asarray(self.left.weights.mean(axis=0)) if len(self.left.weights) else np.zeros(len(self.left.read))

    @property
    def order(self) -> np.ndarray:
        """All chunks, the most important first, then what was not read by its largest cosine with a query."""
        order = by_importance(self.importance, self.weight)
        read = self.left.read[order]
        far = order[~read]
        nearest = self.left.cosines.max(axis=0, initial=-1.0)[far]
        return np.concatenate([order[read], far[np.argsort(-nearest, kind="stable")]])

    def score(self, logits: np.ndarray) -> np.ndarray:
        """Probability (parts,) of what the evidence is about, on logits (parts, outputs) of parts of the document.

        Of several labels the mean.
        """
        scores = self.judge.decision.scores(self.judge.of_classes(logits), self.judge.classes)
        return np.asarray(scores[:, self.about].mean(axis=1))


def read_document(model: Reader, document: Document, judge: Judge, device: torch.device) -> Reading:
    """Let the model, in eval mode, read a document, and again without each chunk that it read."""
    vectors, pair = document.tensors(device)
    return Reading(document, judge, leave_one_out(model, vectors, document.units, pair))
