"""Which positions of a micro-batch the terms' shares of the gradient are measured on."""

from __future__ import annotations

from dataclasses import replace

import torch

from lossmith.losses import Objective
from lossmith.tasks.parts import Parts

# Enough for a ratio of norms, few enough that a measurement costs a fraction of a step.
POSITIONS = 128


def few_examples(parts: Parts, objective: Objective) -> Parts:
    """Whole examples of a micro-batch: for each term the first that it reads, then others up to about POSITIONS.

    A term over the micro-batch as one set has another gradient on a part of it: where there is one, all stay.
    """
    if any(term.unit == "set" for term in objective.terms):
        return parts
    chosen = torch.zeros_like(parts.labels, dtype=torch.bool)
    for term in objective.terms:
        read = Objective.of((term,)).reads(parts.labels, parts.spans)
        if read.any() and not (read & chosen).any():
            chosen |= parts.examples == parts.examples[read][0]
    for example in parts.examples.unique().tolist():
        if int(chosen.sum()) >= POSITIONS:
            break
        chosen |= parts.examples == example
    return replace(
        parts,
        hidden=parts.hidden.detach()[chosen],
        labels=parts.labels[chosen],
        spans={name: span[chosen] for name, span in parts.spans.items()},
        examples=parts.examples[chosen],
    )
