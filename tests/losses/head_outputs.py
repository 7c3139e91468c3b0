"""Random outputs of heads, and the cases of the losses that read them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from lossmith.losses import LOSSES, Outputs
from tests.oracles import class_losses, regression_losses

HEAD_LOSSES = {name: row for name, row in LOSSES.items() if row.reads != "tokens"}
ONE_CLASS = ("class_cross_entropy", "class_focal")
MADE = ("logits", "queries", "predictions")

# `each` and `share` stand for lists that with_weights makes for the classes at hand.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("class_cross_entropy", {}),
    ("class_cross_entropy", {"label_smoothing": 0.1}),
    ("class_cross_entropy", {"class_weight": "each"}),
    ("class_cross_entropy", {"class_weight": "each", "label_smoothing": 0.3}),
    ("class_cross_entropy", {"class_weight": "each", "label_smoothing": 1.0}),
    ("class_focal", {}),
    ("class_focal", {"gamma": 0.0}),
    ("class_focal", {"gamma": 0.5}),
    ("class_focal", {"gamma": 3.0, "class_weight": "each"}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy", {"pos_weight": 3.5}),
    ("binary_cross_entropy", {"pos_weight": "each"}),
    ("binary_focal", {}),
    ("binary_focal", {"gamma": 0.0, "alpha": 0.5}),
    ("binary_focal", {"gamma": 0.5, "alpha": 0.25}),
    ("binary_focal", {"gamma": 2.0, "alpha": "share"}),
    ("multilabel_dice", {}),
    ("multilabel_dice", {"smooth": 0.0}),
    ("multilabel_dice", {"over": "examples"}),
    ("multilabel_dice", {"smooth": 0.1, "over": "examples"}),
    ("query_diversity", {}),
    ("query_diversity", {"threshold": -0.3}),
    ("squared_error", {}),
    ("huber", {}),
    ("huber", {"delta": 0.2}),
    ("log_quantity", {}),
]


def with_weights(parameters: dict[str, Any], classes: int) -> dict[str, Any]:
    """The parameters of a case for so many classes: `each` unlike weights, `share` unlike numbers from 0 to 1."""
    lists = {
        "each": [0.5 + 1.25 * c for c in range(classes)],
        "share": [(c + 1) / (classes + 1) for c in range(classes)],
    }
    return {name: lists.get(value, value) if isinstance(value, str) else value for name, value in parameters.items()}


def make_outputs(
    name: str,
    examples: int = 7,
    classes: int = 4,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    spread: float = 1.0,
) -> Outputs:
    """What a loss reads, its differentiable part as a leaf."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return (torch.randn(*shape, generator=draw, dtype=torch.float64) * spread).to(dtype)

    if name == "query_diversity":
        # Alike on purpose: random directions of some length are hardly ever above the threshold.
        together = normal(1, 3) + 0.7 * normal(classes, 3)
        return Outputs(queries=together.requires_grad_(), labels=torch.zeros(examples, dtype=torch.int64))
    if HEAD_LOSSES[name].reads == "regression head":
        present = torch.rand(examples, classes, generator=draw) < 0.6
        present[0, 0] = True
        targets = torch.randn(examples, classes, generator=draw, dtype=torch.float64)
        targets = (targets.abs() * 20 if name == "log_quantity" else targets).masked_fill(~present, torch.nan)
        return Outputs(predictions=normal(examples, classes).requires_grad_(), targets=targets, present=present)
    labels = torch.randint(0, classes, (examples,), generator=draw)
    if name not in ONE_CLASS:
        labels = (torch.rand(examples, classes, generator=draw) < 0.4).to(torch.float64)
    return Outputs(logits=normal(examples, classes).requires_grad_(), labels=labels)


def leaf(outputs: Outputs) -> Tensor:
    """The differentiable part."""
    (made,) = outputs.given(MADE).values()
    return made


def with_leaf(outputs: Outputs, made: Tensor) -> Outputs:
    """The same outputs with another differentiable part."""
    return replace(outputs, **dict.fromkeys(outputs.given(MADE), made))


def take(outputs: Outputs, index: Tensor) -> Outputs:
    """The examples of an index, on the same graph; queries have no examples."""
    chosen: dict[str, Any] = {
        each.name: getattr(outputs, each.name)[index]
        for each in fields(outputs)
        if each.name in ("logits", "labels", "predictions", "targets", "present", "groups", "keep")
        and getattr(outputs, each.name) is not None
    }
    return replace(outputs, **chosen)


def oracle(name: str, outputs: Outputs, parameters: dict[str, Any]) -> float:
    """The value by its definition, on lists of float64 numbers."""
    home = regression_losses if HEAD_LOSSES[name].reads == "regression head" else class_losses
    read = [getattr(outputs, need) for need in HEAD_LOSSES[name].needs]
    lists = [held.detach().double().tolist() if held.is_floating_point() else held.tolist() for held in read]
    value: float = getattr(home, name)(*lists, **parameters)
    return value


def slope_of_oracle(name: str, outputs: Outputs, parameters: dict[str, Any], *, step: float = 1e-5) -> Tensor:
    """Central differences of the definition by every entry of the differentiable part, each weighed by its step."""
    made = leaf(outputs).detach().double()
    slope = torch.zeros_like(made)
    for index in range(made.numel()):
        ends = []
        for sign in (1.0, -1.0):
            moved = made.clone()
            moved.view(-1)[index] += sign * step
            ends.append(oracle(name, with_leaf(outputs, moved), parameters))
        slope.view(-1)[index] = (ends[0] - ends[1]) / (2 * step)
    return slope
