"""Cross-entropy over the classes of a classification head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossmith.losses.labels import class_of_each, examples_of_each_class, one_for_each
from lossmith.losses.shapes import Float
from lossmith.losses.statistics import Statistics


def class_cross_entropy(
    stats: Statistics, *, class_weight: Sequence[float] | None = None, label_smoothing: float = 0.0
) -> Float[Tensor, " examples"]:
    """Negative log-likelihood of the class, each class with its weight, optionally against a smoothed target.

    -(1-e) w_y log p_y - e mean_c w_c log p_c for logits (examples, classes) and labels (examples,), with
    e = label_smoothing in [0, 1] and w = class_weight, one number of 0 or more for each class: a list, or counted on
    the training split by `balanced` or `effective_number`; 1 for all when not given. The denominator is the sum of
    w_y over the examples of the window, as in torch.nn.functional.cross_entropy, so that scaling all weights changes
    nothing; a window whose classes all weigh 0 gives 0.

    Returns (examples,) nats in [0, inf). class_focal fades on examples already learnt and divides by examples;
    binary_cross_entropy is for labels that do not exclude each other; cross_entropy is the same over a vocabulary.

    >>> stats = Statistics(logits=torch.zeros(2, 2), labels=torch.tensor([0, 1]))
    >>> class_cross_entropy(stats, class_weight=[1.0, 3.0])
    tensor([0.6931, 2.0794])
    """
    logits, labels = class_of_each(stats)
    weight = None if class_weight is None else one_for_each(class_weight, logits, parameter="class_weight")
    return torch.nn.functional.cross_entropy(
        logits, labels, weight=weight, label_smoothing=label_smoothing, reduction="none"
    )


def _weight_of_labels(stats: Statistics, *, class_weight: Sequence[float] | None = None, **_: object) -> float:
    """Sum of w_y over the examples."""
    if class_weight is None:
        return float(len(stats.labels))
    # In float64 by whole numbers: however a window is cut, its calls add up to the same denominator.
    examples = examples_of_each_class(stats.labels, len(class_weight))
    return float(sum(weight * count for weight, count in zip(class_weight, examples, strict=True)))


class_cross_entropy.kind = "separable"  # type: ignore[attr-defined]
class_cross_entropy.needs = ("logits", "labels")  # type: ignore[attr-defined]
class_cross_entropy.count = _weight_of_labels  # type: ignore[attr-defined]
