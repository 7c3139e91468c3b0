"""Denominators counted where a batch is made: on the CPU, in the loader's processes, before a device has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.losses import Objective
from lossmith.tasks.task import Collate


@dataclass(frozen=True)
class CountingCollator:
    """A task's batches with the units of every term among them, under `counts`.

    On a device each count would have to be waited for, once for each term and micro-batch.
    """

    collate: Collate
    objective: Objective
    count: Callable[[Objective, Mapping[str, Any]], dict[str, float]]

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        batch = self.collate(rows)
        return {**batch, "counts": self.count(self.objective, batch)}
