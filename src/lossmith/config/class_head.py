"""Which outputs a class head has, from the losses that read it and the labels there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith.config.objective import written_terms
from lossmith.errors import ConfigError
from lossmith.names import LOSS_ALIASES, LOSSES, Activation, find_loss

_SOFTMAX = "class_cross_entropy or class_focal, which share one probability out among classes"
_SIGMOID = "binary_cross_entropy, binary_focal or multilabel_dice, which judge each label by itself"


def head_activation(objective: Mapping[str, Any], *, multi_label: bool, classes: int | None = None) -> Activation:
    """Whether the losses of an objective share one probability out (softmax) or judge each output by itself (sigmoid).

    An objective of losses of one's own alone follows the labels. `classes` is their number, None before data are read.
    Raises ConfigError where losses of both kinds stand together, and where the losses do not fit the labels.

    >>> head_activation({"binary_focal": 1.0}, multi_label=False, classes=2)
    'sigmoid'
    """
    found: dict[Activation, str] = {}
    for term in written_terms(objective):
        known = not term.is_own and (term.loss in LOSSES or term.loss in LOSS_ALIASES)
        activation = find_loss(term.loss).activation if known and term.weight else None
        if activation is not None:
            found.setdefault(activation, term.where)
    if len(found) == 2:
        raise ConfigError(
            f"{found['softmax']} and {found['sigmoid']} cannot read one head",
            got="losses over classes that exclude each other, beside losses over labels",
            expected="losses of one kind",
            fix=f"either {_SOFTMAX}, or {_SIGMOID}",
        )
    if multi_label and "softmax" in found:
        raise ConfigError(
            f"{found['softmax']} is for classes that exclude each other, and these labels do not",
            got="data.label is a list of 0/1 columns",
            expected=_SIGMOID,
            fix="objective={binary_cross_entropy: 1}",
        )
    if not multi_label and "sigmoid" in found and classes is not None and classes != 2:
        raise ConfigError(
            f"{found['sigmoid']} is for two classes, or for labels that do not exclude each other",
            got=f"{classes} classes of which each record has one",
            expected=_SOFTMAX,
            fix="objective={class_cross_entropy: 1}",
        )
    return next(iter(found), "sigmoid" if multi_label else "softmax")
