"""What is followed for a task: its model without weights, the way of a batch through it, and its objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossmith.doctor.plan.duration import Speed
from lossmith.doctor.plan.live import bytes_of, largest
from lossmith.doctor.plan.objective_bytes import objective_bytes
from lossmith.doctor.plan.trace import Forward
from lossmith.errors import ConfigError
from lossmith.losses import Objective
from lossmith.models.four_bits import packed_bytes, packed_weights
from lossmith.models.heads import PlainHead, head_of
from lossmith.models.hidden import capture_hidden
from lossmith.models.load import Loaded
from lossmith.models.pretrained import CAUSAL, SEQ2SEQ
from lossmith.models.skeleton import classifier_skeleton, training_skeleton
from lossmith.tasks import class_labels
from lossmith.tasks.causal import Collator
from lossmith.tasks.classification import ClassCollator, ClassForward
from lossmith.tasks.prepare import starting_model
from lossmith.tasks.seq2seq import PairCollator, PairInputs
from lossmith.tasks.task import Collate, Given
from lossmith.tasks.token_forward import text_inputs

# Products of states and vocabulary: logits and the gradient by the states, and that by a head that trains.
FROZEN_PRODUCTS, TRAINED_PRODUCTS = 2, 3


@dataclass(frozen=True)
class Subject:
    """A model of the meta device as it would train, and how a batch goes through it.

    `weights` are the bytes that its weights will take, `unpacked` those of the largest 4-bit weight while it is used.
    `vocabulary` is None for a class head, whose few outputs are next to nothing.
    """

    loaded: Loaded
    forward: Forward
    weights: int
    unpacked: int
    vocabulary: Vocabulary | None = None

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that train."""
        return [parameter for parameter in self.loaded.model.parameters() if parameter.requires_grad]

    @property
    def dense(self) -> str | None:
        """Why the objective keeps logits of all positions, None where it need not."""
        return self.vocabulary.head.reason if self.vocabulary else None

    @property
    def head_gradient(self) -> int:
        """Bytes of the gradient by the output layer, which the objective makes before the backward pass begins."""
        if self.vocabulary is None or not self.vocabulary.head.matrix.requires_grad:
            return 0
        return self.vocabulary.head.matrix.numel() * torch.float32.itemsize

    def objective_bytes(self, batch: Mapping[str, Any], *, training: bool) -> int:
        """What the objective holds on a batch, its head's gradient left out."""
        return self.vocabulary.bytes_on(batch, training=training) if self.vocabulary else 0

    def objective_seconds(self, batch: Mapping[str, Any], speed: Speed, *, training: bool) -> float:
        """The objective's products on a batch."""
        if self.vocabulary is None:
            return 0.0
        matrix = self.vocabulary.head.matrix
        products = (TRAINED_PRODUCTS if matrix.requires_grad else FROZEN_PRODUCTS) if training else 1
        return products * 2 * len(batch["labels"]) * matrix.numel() / speed.flops


@dataclass(frozen=True)
class Vocabulary:
    """The output layer of a language model, and the objective on the states before it."""

    head: PlainHead
    objective: Objective
    dtype: torch.dtype
    device: torch.device

    def bytes_on(self, batch: Mapping[str, Any], *, training: bool) -> int:
        """The highest point of the objective on a batch."""
        return objective_bytes(
            self.objective,
            batch,
            self.head.matrix,
            dense=self.head.reason is not None,
            dtype=self.dtype,
            device=self.device,
            training=training,
        )


def subject_of(given: Given, objective: Objective, collate: Collate) -> Subject:
    """What to follow for the task whose batches `collate` makes.

    Raises ConfigError for a task that trains on stored vectors, where no model of texts runs.
    """
    found = _SUBJECTS.get(type(collate))
    if found is None or given.config.model.freeze_backbone:
        raise ConfigError(
            "this training runs on stored vectors, and takes next to nothing beside what computes them",
            got=f"task.kind={given.config.task.kind}"
            + (", model.freeze_backbone=true" if given.config.model.freeze_backbone else ""),
            expected="a training whose model reads texts",
            fix="train it: the manifest of the run tells what it took",
        )
    return found(given, objective)


def _of_sources(given: Given, objective: Objective) -> Subject:
    return _of_tokens(given, objective, pairs=True)


def _of_tokens(given: Given, objective: Objective, *, pairs: bool = False) -> Subject:
    precision = given.precision
    kind = SEQ2SEQ if pairs else CAUSAL
    loaded = training_skeleton(starting_model(given.config), given.tokenizer, dtype=precision.dtype, kind=kind)
    vocabulary = Vocabulary(head_of(loaded.model), objective, precision.dtype, precision.device)

    def forward(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        inputs = (PairInputs(model) if pairs else text_inputs)(batch)
        with capture_hidden(model) as captured:
            model(**inputs, use_cache=False)
        # Which positions are read changes no size: the first state stands for all of them.
        hidden = captured.hidden.flatten(0, 1)[torch.zeros_like(batch["labels"])]
        hidden = hidden if captured.autocast is None else hidden.to(captured.autocast)
        # As the objective's gradient reaches the states and, where it trains, the whole head.
        return (hidden.float() * head_of(model).matrix[:1].float()).sum()

    return Subject(loaded, forward, *_weights(loaded.model, given), vocabulary)


def _of_classes(given: Given, _objective: Objective) -> Subject:
    config, head = starting_model(given.config), class_labels.head_of(given)
    loaded = classifier_skeleton(config, given.tokenizer, head, dtype=given.precision.dtype)

    def forward(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        return ClassForward()(model, dict(batch)).logits().float().sum()

    return Subject(loaded, forward, *_weights(loaded.model, given))


def _weights(model: nn.Module, given: Given) -> tuple[int, int]:
    """Bytes of all weights and buffers, and of the largest weight that is unpacked while it is used."""
    config = given.config.model
    packed = packed_weights(model) if config.load_in_4bit else []
    ids = {id(weight) for weight in packed}
    whole = bytes_of(tensor for tensor in (*model.parameters(), *model.buffers()) if id(tensor) not in ids)
    unpacked = largest(packed) * given.precision.dtype.itemsize
    return whole + packed_bytes(packed, double=config.bnb_4bit_use_double_quant), unpacked


# By the collator of the task: it says what a batch holds.
_SUBJECTS: Mapping[type, Callable[[Given, Objective], Subject]] = {
    Collator: _of_tokens,
    PairCollator: _of_sources,
    ClassCollator: _of_classes,
}
