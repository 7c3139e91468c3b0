"""What the sweeps found of a range of rows: the leaves of the graph of the formulas, and the slopes by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lossmith.losses.entries import Entries
from lossmith.losses.normalizer import Normalized
from lossmith.losses.shapes import Float, Int


@dataclass
class Found:
    """Statistics of the rows `at`, or the gradients of the total by them.

    `at_entries` (entries,) log-probabilities; `by_row` the asked statistics of each row; `top` (rows from
    `top_start` on, k) log-probabilities of the likeliest `words`; `cloud` (rows of the clouds, width) expected
    embeddings. `peak` and `log_sum` are the normaliser of each row.
    """

    at: slice
    entries: Entries
    at_entries: Float[Tensor, " entries"]
    by_row: dict[str, Tensor]
    peak: Float[Tensor, " rows"]
    log_sum: Float[Tensor, " rows"]
    top_start: int = 0
    top: Float[Tensor, "likely k"] | None = None
    words: Int[Tensor, "likely k"] | None = None
    cloud: Float[Tensor, "clouds width"] | None = None

    @classmethod
    def empty(cls, at: slice, entries: Entries, needs: Sequence[str], *, like: Tensor) -> Found:
        """Room for what is asked for of some rows."""
        rows = at.stop - at.start
        by_row = {name: like.new_empty(rows) for name in needs if name != "label_log_prob"}
        at_entries = like.new_empty(entries.row.numel())
        return cls(at, entries, at_entries, by_row, peak=like.new_empty(rows), log_sum=like.new_empty(rows))

    def fill(self, rows: slice, place: Tensor, norm: Normalized, at_entries: Tensor) -> None:
        """Take in what is known of some of the rows; `place` are their entries."""
        local = slice(rows.start - self.at.start, rows.stop - self.at.start)
        self.at_entries[place] = at_entries
        self.peak[local], self.log_sum[local] = norm.peak, norm.log_sum
        values = {
            "mean_log_prob": norm.mean_log_prob,
            "expected_log_prob": norm.expected_log_prob,
            "log_normalizer": norm.peak + norm.log_sum,
        }
        for name, store in self.by_row.items():
            value = values[name]
            assert value is not None
            store[local] = value

    def normalized(self, rows: slice) -> Normalized:
        """The normaliser of some of the rows, as it was taken in."""
        local = slice(rows.start - self.at.start, rows.stop - self.at.start)
        own = {name: value.detach()[local] for name, value in self.by_row.items()}
        return Normalized(self.peak[local], self.log_sum[local], own.get("mean_log_prob"), own.get("expected_log_prob"))

    def of_positions(self) -> dict[str, Float[Tensor, " rows"]]:
        """The statistics that losses know by name."""
        if self.entries.label is None:
            return self.by_row
        return {"label_log_prob": self.at_entries[self.entries.label], **self.by_row}

    def leaves(self) -> list[Tensor]:
        """All tensors that formulas are differentiated by, in a fixed order."""
        return [t for t in (self.at_entries, *self.by_row.values(), self.top, self.cloud) if t is not None]

    def slopes(self, total: Tensor | None) -> Found:
        """Gradients of the total by all that was found, zeros where it does not depend on it."""
        leaves = self.leaves()
        if total is None or not total.requires_grad:
            slopes = [torch.zeros_like(leaf) for leaf in leaves]
        else:
            slopes = list(torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True))
        rest = iter(slopes)
        return replace(
            self,
            at_entries=next(rest),
            by_row={name: next(rest) for name in self.by_row},
            top=None if self.top is None else next(rest),
            cloud=None if self.cloud is None else next(rest),
        )

    def share(self) -> Float[Tensor, " rows"]:
        """Of slopes: what multiplies p in each row, by log_normalizer less all log-probabilities."""
        share = torch.zeros_like(self.log_sum).index_add(0, self.entries.row, self.at_entries, alpha=-1)
        if (mean := self.by_row.get("mean_log_prob")) is not None:
            share = share - mean
        if (normalizer := self.by_row.get("log_normalizer")) is not None:
            share = share + normalizer
        if self.top is not None:
            share[self.top_start - self.at.start :] -= self.top.sum(1)
        return share
