"""What is minimised: losses over positions, together and without tokens x vocabulary, and over the outputs of heads."""

from __future__ import annotations

from lossmith.losses.formulas import embedding_scale
from lossmith.losses.head import Head
from lossmith.losses.objective import Objective
from lossmith.losses.outputs import Outputs
from lossmith.losses.reading import task_span
from lossmith.losses.reduce import Value
from lossmith.losses.statistics import Statistics
from lossmith.losses.terms import Term
from lossmith.losses.weighting import LabelCounts
from lossmith.names import LOSSES

__all__ = [
    "LOSSES",
    "Head",
    "LabelCounts",
    "Objective",
    "Outputs",
    "Statistics",
    "Term",
    "Value",
    "embedding_scale",
    "task_span",
]
