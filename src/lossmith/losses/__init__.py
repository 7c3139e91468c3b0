"""What is minimised: losses over position statistics, computed together without tokens x vocabulary."""

from __future__ import annotations

from lossmith.losses.formulas import embedding_scale
from lossmith.losses.head import Head
from lossmith.losses.objective import Objective
from lossmith.losses.reduce import Value
from lossmith.losses.statistics import Statistics
from lossmith.losses.terms import Term
from lossmith.names import LOSSES

__all__ = ["LOSSES", "Head", "Objective", "Statistics", "Term", "Value", "embedding_scale"]
