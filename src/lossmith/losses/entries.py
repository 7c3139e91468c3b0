"""Which single entries of the logits the terms ask for, and what the gradient gets there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lossmith.losses.reading import Plan
from lossmith.losses.shapes import Int


@dataclass(frozen=True)
class Entries:
    """Entries asked for in a range of rows, each row and word once, sorted by word.

    row counts from the start of the range. `label` (rows,) and `pairs` (by the identity of the class pairs) say where
    the labels and the class pairs of the terms lie among them.
    """

    row: Int[Tensor, " entries"]
    word: Int[Tensor, " entries"]
    label: Int[Tensor, " rows"] | None = None
    pairs: Mapping[int, Int[Tensor, " pairs"]] = field(default_factory=dict)

    def within(self, rows: slice, *, first: int) -> tuple[Tensor, Entries]:
        """Places and entries of some rows of the range that starts at row `first`; their rows count from the slice."""
        low, high = rows.start - first, rows.stop - first
        place = ((self.row >= low) & (self.row < high)).nonzero()[:, 0]
        return place, Entries(self.row[place] - low, self.word[place])


def entries_of(plan: Plan, at: slice, *, labels: bool, pairs: bool) -> Entries:
    """The labels of a range of rows and the class pairs of all terms, each where asked for."""
    rows = at.stop - at.start
    own = plan.labels[at]
    keys = [own * rows + torch.arange(rows, device=own.device)] if labels else []
    # Terms with the same scope and span share their pairs.
    classes = {id(r.classes): r for r in plan.readings if pairs and r.classes is not None}
    for reading in classes.values():
        assert reading.classes is not None
        row = reading.rows[reading.classes.position] - at.start
        keys.append(reading.classes.word[reading.classes.column] * rows + row)
    if not keys:
        return Entries(own[:0], own[:0])
    unique, place = torch.unique(torch.cat(keys), sorted=True, return_inverse=True)
    places = place.split([each.numel() for each in keys])
    return Entries(
        row=unique % rows,
        word=unique // rows,
        label=places[0] if labels else None,
        pairs=dict(zip(classes, places[len(keys) - len(classes) :], strict=True)),
    )
