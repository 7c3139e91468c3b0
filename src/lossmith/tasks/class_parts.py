"""What a task with a class head hands to the objective: logits of examples, and the truth beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.losses import Objective, Outputs, Value
from lossmith.tasks.task import Figures

ACCURACY = "accuracy"


@dataclass(frozen=True)
class ClassParts:
    """Outputs of a class head for a batch: logits (examples, outputs) and labels as its activation has them."""

    outputs: Outputs

    def value(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> Value:
        """The objective here; `counts` as in its own call."""
        return objective.on_outputs(self.outputs, counts=counts)

    def few(self, objective: Objective) -> ClassParts:
        """All of it: outputs are small."""
        return self

    def shares(self, objective: Objective, *, counts: Mapping[str, float] | None = None) -> dict[str, float]:
        """Each term's share of the gradient on the logits, or on learnt queries: these every term reaches."""
        queries = self.outputs.queries
        hidden = queries if queries is not None and queries.requires_grad else None
        return objective.shares_on_outputs(self.outputs, hidden, counts=counts)

    def figures(self) -> Figures:
        """The share of classes, or of single labels, that the likelier side of each logit tells right."""
        logits, labels, keep = self.logits().detach(), self.outputs.labels, self.outputs.keep
        assert labels is not None
        if keep is not None:
            logits, labels = logits[keep], labels[keep]
        right = logits.argmax(1) == labels if labels.ndim == 1 else (logits > 0) == labels.bool()
        return {ACCURACY: (right.sum(dtype=torch.float32), float(right.numel()))}

    def logits(self) -> Tensor:
        """(examples, outputs)."""
        assert self.outputs.logits is not None
        return self.outputs.logits
