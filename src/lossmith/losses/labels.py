"""Logits of a classification head beside its labels: one class for each example, or 0 and 1 for each of many labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.shapes import Float, Int
from lossmith.losses.statistics import Statistics


def class_of_each(stats: Statistics) -> tuple[Float[Tensor, "examples classes"], Int[Tensor, " examples"]]:
    """Logits and the one class of each example, checked.

    Raises InputError where shapes do not fit or a class is not among those of the head.

    >>> logits, labels = class_of_each(Statistics(logits=torch.zeros(2, 3), labels=torch.tensor([0, 2])))
    >>> labels.tolist()
    [0, 2]
    """
    logits, labels = stats.logits, stats.labels
    if logits.ndim != 2:
        raise InputError("the logits are no matrix", got=tuple(logits.shape), expected="(examples, classes)")
    _require_classes(labels, logits.shape[1])
    return logits, labels


def examples_of_each_class(labels: Int[Tensor, " examples"], classes: int) -> list[int]:
    """How many examples have each class.

    Raises InputError where a class is not among so many.

    >>> examples_of_each_class(torch.tensor([2, 0, 2]), 3)
    [1, 0, 2]
    """
    _require_classes(labels, classes)
    counts: list[int] = torch.bincount(labels, minlength=classes).tolist()
    return counts


def _require_classes(labels: Tensor, classes: int) -> None:
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise InputError(
            "the labels are not one class for each example",
            got=f"{tuple(labels.shape)} of {labels.dtype}",
            expected="(examples,) of torch.int64",
            fix="for several labels on one example use binary_cross_entropy, binary_focal or multilabel_dice",
        )
    if labels.numel() and not (int(labels.amin()) >= 0 and int(labels.amax()) < classes):
        raise InputError(
            "a label lies outside the classes of the head",
            got=f"{int(labels.amin())} to {int(labels.amax())}",
            expected=f"0 to {classes - 1}",
            fix="leave examples without a label out by `keep`",
        )


def truth_of_each_label(stats: Statistics) -> tuple[Float[Tensor, "examples labels"], Float[Tensor, "examples labels"]]:
    """Logits and the truth of every label of each example, in the dtype of the logits, checked.

    Raises InputError where shapes do not fit or a truth lies outside 0 to 1.

    >>> logits, truth = truth_of_each_label(Statistics(logits=torch.zeros(1, 2), labels=torch.tensor([[1, 0]])))
    >>> truth.tolist()
    [[1.0, 0.0]]
    """
    logits, labels = stats.logits, stats.labels
    if logits.ndim != 2 or labels.shape != logits.shape:
        raise InputError(
            "logits and labels do not fit",
            got=f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}",
            expected="both (examples, labels), a single label as one column",
            fix="for one class of several on each example use class_cross_entropy or class_focal",
        )
    truth = labels.to(logits.dtype)
    if truth.numel() and not (float(truth.amin()) >= 0 and float(truth.amax()) <= 1):
        raise InputError(
            "the truth of a label is neither 0 nor 1 nor between them",
            got=f"{float(truth.amin()):g} to {float(truth.amax()):g}",
            expected="0 to 1",
            fix="leave examples without labels out by `keep`",
        )
    return logits, truth


def one_for_each(
    given: float | Sequence[float], logits: Float[Tensor, "examples classes"], *, parameter: str
) -> Float[Tensor, " classes"]:
    """A weight for each column of the logits, from one number for all or a list.

    Raises InputError for a list of another length.

    >>> one_for_each([0.5, 2], torch.zeros(1, 2), parameter="class_weight")
    tensor([0.5000, 2.0000])
    """
    weights = logits.new_tensor(given)
    if weights.ndim == 0:
        return weights.expand(logits.shape[1])
    if weights.shape != logits.shape[1:]:
        raise InputError(
            f"{parameter} does not fit the head",
            got=f"{weights.numel()} numbers",
            expected=f"{logits.shape[1]}, one for each class or label",
        )
    return weights
