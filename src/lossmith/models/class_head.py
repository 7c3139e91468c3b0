"""The outputs of a class head: their names and order, and what a model's own configuration says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lossmith.names import Activation


@dataclass(frozen=True)
class ClassHead:
    """One output for each name; `activation` makes probabilities of them, all together or each by itself.

    >>> ClassHead(("yes",), "sigmoid").settings["problem_type"]
    'multi_label_classification'
    """

    names: tuple[str, ...]
    activation: Activation

    @property
    def settings(self) -> dict[str, Any]:
        """What transformers' configurations call it, so that its pipelines give the same probabilities."""
        kind = "single_label_classification" if self.activation == "softmax" else "multi_label_classification"
        return {
            "num_labels": len(self.names),
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: place for place, name in enumerate(self.names)},
            "problem_type": kind,
        }


def names_of(config: Any) -> tuple[str, ...]:
    """The outputs of a model with a head, by its configuration."""
    return tuple(str(config.id2label[place]) for place in sorted(config.id2label))
