"""Denominators counted where a batch is made: on the CPU, in the loader's processes, before a device has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lossmith.losses import Objective


@dataclass(frozen=True)
class CountingCollator:
    """A task's batches with the units of every term among them, under `counts`.

    On a device each count would have to be waited for, once for each term and micro-batch.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    objective: Objective

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        batch = self.collate(rows)
        counts = self.objective.counts(batch["labels"], batch["spans"], batch["examples"])
        return {**batch, "counts": counts}
