"""The tiled engine: statistics, formulas and gradients in one pass, a second pass over positions of set terms.

A tile holds the logits of a few positions. Where only separable terms read them, the tile is finished at once:
statistics, formulas, the gradient by the statistics, the gradient by the logits in the memory of the logits, and its
products with the head and the hidden states. A set term needs the statistics of all its positions first: those are
collected in a first pass, and a second one computes the logits anew and turns the gradients by the statistics into
those by the logits. Gradients are made in the forward pass, since the total is a scalar and all its denominators are
known; backward multiplies them by one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lossmith.losses.formulas import Embeddings, Inputs, expected_over, term_sum
from lossmith.losses.head import Head
from lossmith.losses.reading import Plan, Reading
from lossmith.losses.slopes import Entries, bounds, pairs_within, row_slopes, slopes_of
from lossmith.losses.statistics import POSITION_STATISTICS
from lossmith.losses.tiles import (
    Normalized,
    Tile,
    Workspace,
    likeliest,
    normalize,
    write_gradient,
    write_probabilities,
)


@dataclass
class Gradients:
    """Gradients of the total by the hidden rows and the head; None where they are not wanted."""

    hidden: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is differentiated at all."""
        return any(g is not None for g in (self.hidden, self.weight, self.bias))

    def add(self, slope: Tensor, *, at: slice, hidden: Tensor, weight: Tensor) -> None:
        """Add what a tile's gradient by the products, (rows, vocab), gives."""
        if self.hidden is not None:
            torch.mm(slope, weight, out=self.hidden[at])
        if self.weight is not None and self.weight.dtype == slope.dtype:
            self.weight.addmm_(slope.t(), hidden[at])
        elif self.weight is not None:
            # Adding tiles in 16 bits would lose what one dense product keeps.
            for block in range(0, self.weight.shape[0], 4096):
                words = slice(block, block + 4096)
                self.weight[words] += slope[:, words].t() @ hidden[at]
        if self.bias is not None:
            self.bias += slope.sum(0, dtype=self.bias.dtype)


@dataclass
class SetStatistics:
    """Leaves of the graph of the set terms: statistics of the rows from `first` on, as the first pass fills them."""

    first: int
    position: dict[str, Tensor]
    classes: dict[int, Tensor] = field(default_factory=dict)
    words: dict[int, Tensor] = field(default_factory=dict)
    top: dict[int, Tensor] = field(default_factory=dict)
    cloud: Tensor | None = None

    def leaves(self) -> list[Tensor]:
        """All of them, in a fixed order."""
        cloud = [] if self.cloud is None else [self.cloud]
        return [*self.position.values(), *self.classes.values(), *self.top.values(), *cloud]

    def like(self, leaves: Sequence[Tensor]) -> SetStatistics:
        """The same structure around other tensors, given in the order of `leaves`."""
        rest = iter(leaves)
        position = {name: next(rest) for name in self.position}
        classes = {key: next(rest) for key in self.classes}
        top = {key: next(rest) for key in self.top}
        return SetStatistics(self.first, position, classes, self.words, top, next(rest, None))


class Engine:
    """One call of an objective: fills `sums`, `notes` and the gradients that are wanted."""

    def __init__(
        self, hidden: Tensor, head: Head, plan: Plan, *, coefficients: Tensor, embeddings: Embeddings | None
    ) -> None:
        self.hidden, self.plan, self.coefficients = hidden, plan, coefficients
        self.space = Workspace(head, hidden)
        self.matrix = None if embeddings is None else embeddings.matrix.detach().to(self.space.dtype)
        self.embeddings = embeddings
        self.gradients = Gradients()
        self.sums = hidden.new_zeros(len(plan.readings), dtype=self.space.statistics)
        self.notes: dict[str, dict[str, Tensor]] = {}
        self._names = [name for name in POSITION_STATISTICS if any(name in r.term.needs for r in plan.readings)]

    def run(self, gradients: Gradients) -> None:
        """Compute the sums, and the gradients of the weighted total into `gradients`."""
        self.gradients = gradients
        rows = self.plan.labels.numel()
        for at in self._ranges(0, self.plan.plain):
            self._separable_tile(at)
        if self.plan.plain == rows:
            return
        found = self._collect(rows)
        slopes = self._differentiate(found)
        if slopes is not None:
            for at in [*self._ranges(self.plan.plain, rows - self.plan.cloud), *self._cloud_ranges(rows)]:
                self._second_pass(at, slopes)

    def _ranges(self, start: int, end: int) -> Iterator[slice]:
        for low in range(start, end, self.space.rows):
            yield slice(low, min(low + self.space.rows, end))

    def _cloud_ranges(self, rows: int) -> Iterator[slice]:
        return self._ranges(rows - self.plan.cloud, rows)

    # -- separable terms -------------------------------------------------------------------------------------------

    def _separable_tile(self, at: slice) -> None:
        tile = self.space.tile(self.hidden[at])
        norm = normalize(tile, entropy="expected_log_prob" in self._names)
        labels = self.plan.labels[at]
        position = self._position(tile, norm, labels)
        leaves = {name: value.requires_grad_(self.gradients.wanted) for name, value in position.items()}
        with torch.set_grad_enabled(self.gradients.wanted):
            total = self._add_terms(leaves, labels, at=at)
        if not self.gradients.wanted:
            return
        by_name = dict(zip(leaves, slopes_of(total, list(leaves.values())), strict=True))
        self._finish(tile, norm, by_name, more=(), cloud=None, at=at)

    def _add_terms(self, position: dict[str, Tensor], labels: Tensor, *, at: slice) -> Tensor | None:
        """Add the separable terms' sums over a range of rows; returns their weighted total."""
        total: Tensor | None = None
        for number, reading in enumerate(self.plan.readings):
            if reading.term.kind != "separable":
                continue
            low, high = bounds(reading.rows, at)
            rows = reading.rows[low:high]
            if rows.numel() == 0:
                continue
            local = slice(None) if rows.numel() == labels.numel() else rows - at.start
            inputs = Inputs({name: value[local] for name, value in position.items()}, labels[local])
            total = self._count_in(number, reading, inputs, total)
        return total

    def _count_in(self, number: int, reading: Reading, inputs: Inputs, total: Tensor | None) -> Tensor:
        value, notes = term_sum(reading, inputs)
        self.sums[number] += value.detach()
        if notes:
            self.notes[reading.term.name] = notes
        weighted = self.coefficients[number] * value
        return weighted if total is None else total + weighted

    def _position(self, tile: Tile, norm: Normalized, labels: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name in self._names:
            if name == "label_log_prob":
                rows = torch.arange(labels.numel(), device=labels.device)
                found[name] = tile.log_probs_at(norm, rows, labels)
            elif name == "mean_log_prob":
                found[name] = norm.mean_log_prob
            elif name == "expected_log_prob" and norm.expected_log_prob is not None:
                found[name] = norm.expected_log_prob
            else:
                found[name] = norm.peak + norm.log_sum
        return found

    # -- set terms -------------------------------------------------------------------------------------------------

    def _collect(self, rows: int) -> SetStatistics:
        """First pass over the rows of set terms: all their statistics, no gradient."""
        first = self.plan.plain
        like = self.sums
        found = SetStatistics(first, {name: like.new_empty(rows - first) for name in self._names})
        for reading in self.plan.readings:
            if reading.classes is not None:
                found.classes.setdefault(id(reading.classes), like.new_empty(reading.classes.position.numel()))
        if self.plan.cloud and self.matrix is not None:
            found.cloud = like.new_empty(self.plan.cloud, self.matrix.shape[1])
        for at in [*self._ranges(first, rows - self.plan.cloud), *self._cloud_ranges(rows)]:
            self._collect_tile(at, found)
        return found

    def _collect_tile(self, at: slice, found: SetStatistics) -> None:
        tile = self.space.tile(self.hidden[at])
        norm = normalize(tile, entropy="expected_log_prob" in self._names)
        for name, value in self._position(tile, norm, self.plan.labels[at]).items():
            found.position[name][at.start - found.first : at.stop - found.first] = value
        done: set[int] = set()
        for number, reading in enumerate(self.plan.readings):
            if reading.classes is not None and id(reading.classes) not in done:
                done.add(id(reading.classes))
                pairs, row, word = pairs_within(reading, at)
                found.classes[id(reading.classes)][pairs] = tile.log_probs_at(norm, row, word)
            if reading.term.top_k is not None:
                self._collect_top(tile, norm, at=at, number=number, found=found)
        if (
            found.cloud is not None
            and self.matrix is not None
            and at.stop > (start := self.plan.labels.numel() - self.plan.cloud)
        ):
            found.cloud[at.start - start : at.stop - start] = write_probabilities(tile, norm) @ self.matrix

    def _collect_top(self, tile: Tile, norm: Normalized, *, at: slice, number: int, found: SetStatistics) -> None:
        """Add the likeliest words of a term's rows and their log-probabilities."""
        reading = self.plan.readings[number]
        low, high = bounds(reading.rows, at)
        if low == high:
            return
        row = reading.rows[low:high] - at.start
        words = likeliest(tile, reading.term.top_k or self.space.vocab)[row]
        log_probs = tile.log_probs_at(norm, row[:, None].expand_as(words), words)
        for store, fresh in ((found.words, words), (found.top, log_probs)):
            store[number] = torch.cat([store[number], fresh]) if number in store else fresh

    def _differentiate(self, found: SetStatistics) -> SetStatistics | None:
        """Evaluate all terms on the collected rows; returns the gradients by the statistics, where wanted."""
        wanted = self.gradients.wanted
        leaves = [leaf.requires_grad_(wanted) for leaf in found.leaves()]
        rows = slice(found.first, self.plan.labels.numel())
        with torch.set_grad_enabled(wanted):
            total = self._add_terms(found.position, self.plan.labels[rows], at=rows)
            for number, reading in enumerate(self.plan.readings):
                if reading.term.kind == "set" and reading.rows.numel():
                    total = self._count_in(number, reading, self._set_inputs(number, found), total)
        return found.like(slopes_of(total, leaves)) if wanted else None

    def _set_inputs(self, number: int, found: SetStatistics) -> Inputs:
        reading = self.plan.readings[number]
        local = reading.rows - found.first
        expected = None
        if reading.term.top_k is not None and self.embeddings is not None:
            expected = expected_over(found.words[number], found.top[number], self.embeddings.matrix.detach())
        elif "expected_embedding" in reading.term.needs and found.cloud is not None:
            expected = found.cloud[reading.rows - (self.plan.labels.numel() - self.plan.cloud)]
        return Inputs(
            position={name: value[local] for name, value in found.position.items()},
            labels=self.plan.labels[reading.rows],
            class_log_probs=found.classes.get(id(reading.classes)),
            expected_embedding=expected,
            embeddings=self.embeddings,
        )

    def _second_pass(self, at: slice, slopes: SetStatistics) -> None:
        """Compute the logits of a tile again and turn the gradients by their statistics into the head's."""
        cloud = None
        start = self.plan.labels.numel() - self.plan.cloud
        if slopes.cloud is not None and self.matrix is not None and at.stop > start:
            slope = slopes.cloud[at.start - start : at.stop - start].to(self.matrix.dtype)
            cloud = self.space.product(self.matrix, slope, buffer="cloud")
        tile = self.space.tile(self.hidden[at])
        # Normalised anew: p must sum to 1 over these very logits, or confident positions are ruined in 16 bits.
        norm = normalize(tile, entropy="expected_log_prob" in self._names)
        own = {name: value[at.start - slopes.first : at.stop - slopes.first] for name, value in slopes.position.items()}
        self._finish(tile, norm, own, more=self._asked(at, slopes), cloud=cloud, at=at)

    def _asked(self, at: slice, slopes: SetStatistics) -> list[Entries]:
        """Rows, words and slopes of single entries that set terms ask for inside a tile."""
        asked: list[Entries] = []
        done: set[int] = set()
        for number, reading in enumerate(self.plan.readings):
            if reading.classes is not None and id(reading.classes) not in done:
                done.add(id(reading.classes))
                pairs, row, word = pairs_within(reading, at)
                asked.append(Entries(row, word, slopes.classes[id(reading.classes)][pairs]))
            if reading.term.top_k is not None and number in slopes.top:
                low, high = bounds(reading.rows, at)
                words, slope = slopes.words[number][low:high], slopes.top[number][low:high]
                row = (reading.rows[low:high] - at.start)[:, None].expand_as(words)
                asked.append(Entries(row.flatten(), words.flatten(), slope.flatten()))
        return asked

    def _finish(
        self,
        tile: Tile,
        norm: Normalized,
        by_name: Mapping[str, Tensor],
        *,
        more: Sequence[Entries],
        cloud: Tensor | None,
        at: slice,
    ) -> None:
        """Turn the gradients by a tile's statistics into those by the hidden rows and the head."""
        labels = self.plan.labels[at]
        asked, slopes = row_slopes(by_name, labels, more=more, vocab=self.space.vocab, like=self.sums)
        gradient = write_gradient(tile, norm, replace(slopes, cloud=cloud), asked)
        self.gradients.add(gradient, at=at, hidden=self.hidden, weight=self.space.weight)
