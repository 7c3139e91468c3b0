"""The engine: statistics of all positions, the formulas over them, and the gradient, without positions x vocabulary.

1. Sweep over the vocabulary: statistics of many positions at once, and with a frozen head sum_v p_v W_v beside them.
2. Evaluate the terms on the statistics; autograd differentiates these small formulas.
3. Turn the gradients by the statistics into gradients by the hidden states. Where they are p times one number per
   position, but for a few entries, the sum of step 1 is folded in and nothing is computed again. Otherwise (a trained
   head, entropies, expected embeddings) a second pass computes the logits of a few positions at a time, in a tile of
   all words, and replaces them by their gradient; positions that separable terms alone read take steps 1 to 3 within
   such a tile.

Gradients are made in the forward pass, since the total is a scalar and all its denominators are known; backward
multiplies them by one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lossmith.losses.entries import entries_of
from lossmith.losses.formulas import Embeddings, Inputs, expected_over, term_sum
from lossmith.losses.found import Found
from lossmith.losses.gradient import Asked, RowSlopes, at_asked, expected_cloud, write_gradient
from lossmith.losses.gradients import Gradients, add_words
from lossmith.losses.head import Head
from lossmith.losses.normalizer import Normalized, normalize
from lossmith.losses.reading import Plan, Reading
from lossmith.losses.statistics import POSITION_STATISTICS
from lossmith.losses.sweep import Wanted, sweep
from lossmith.losses.tiles import Tile, Workspace


class Engine:
    """One call of an objective: fills `sums`, `notes` and the gradients that are wanted."""

    def __init__(
        self,
        hidden: Tensor,
        head: Head,
        plan: Plan,
        *,
        coefficients: Tensor,
        embeddings: Embeddings | None,
        tile_bytes: int | None,
    ) -> None:
        self.hidden, self.plan, self.coefficients = hidden, plan, coefficients
        self.space = Workspace(head, hidden, tile_bytes=tile_bytes)
        self.embeddings = embeddings
        self.matrix = None if embeddings is None else embeddings.matrix.detach()
        self.gradients = Gradients()
        self.sums = hidden.new_zeros(len(plan.readings), dtype=self.space.statistics)
        self.notes: dict[str, dict[str, Tensor]] = {}
        self._needs = [name for name in POSITION_STATISTICS if any(name in r.term.needs for r in plan.readings)]
        self._entropy = "expected_log_prob" in self._needs
        self._mean = "mean_log_prob" in self._needs
        self._top = max((r.term.top_k or 0 for r in plan.readings), default=0)
        rows = plan.labels.numel()
        self._all = slice(0, rows)
        self._cloud_start = rows - plan.cloud
        self._likely_start = self._cloud_start - plan.likely

    def run(self, gradients: Gradients) -> None:
        """Compute the sums, and the gradients of the weighted total into `gradients`."""
        self.gradients = gradients
        # p weighted by the chain of a soft-cap is not p: then the mean's part is no sum over W alone.
        multiples = not self._entropy and not (self._mean and self.space.softcap is not None)
        folds = gradients.wanted and multiples and not gradients.of_head
        start = 0 if folds or not gradients.wanted else self.plan.plain
        for at in self.space.ranges(0, start):
            self._at_once(at)
        rows = self.plan.labels.numel()
        if start == rows:
            return
        found = self._collect(slice(start, rows), fold=folds)
        slopes = self._differentiate(found)
        if slopes is None:
            return
        if folds:
            self._fold(slice(start, self._cloud_start), found, slopes)
            start = self._cloud_start
        # In 16 bits <x, g> is not sum p q of the rounded q, and the difference would drown a confident position.
        exact = self.space.dtype == self.space.statistics
        likely, end = max(start, self._likely_start), rows if exact else self._cloud_start
        for at in self.space.sweeps(start, likely, self._cloud_start, end):
            self._second_sweep(at, found, slopes)
        for at in self.space.ranges(self._cloud_start, rows, buffers=2) if not exact else ():
            self._second_pass(at, slopes)

    # -- 1. statistics -----------------------------------------------------------------------------------------------

    def _collect(self, at: slice, *, fold: bool) -> Found:
        """Sweep over the rows; with `fold` the products of those outside the clouds lie in the hidden gradient."""
        entries = entries_of(self.plan, at, labels="label_log_prob" in self._needs, pairs=True)
        found = Found.empty(at, entries, self._needs, like=self.sums)
        likely, cloud = self._likely_start, self._cloud_start
        found.top_start = likely
        tops: list[tuple[Tensor, Tensor]] = []
        clouds: list[Tensor] = []
        for rows in self.space.sweeps(at.start, likely, cloud, at.stop):
            in_cloud = rows.start >= cloud
            matrix = self.matrix if in_cloud else self.space.weight if fold else None
            top = self._top if rows.start >= likely else 0
            place, own = entries.within(rows, first=at.start)
            wanted = Wanted(self._entropy, self._mean, top, matrix, fold and not in_cloud)
            swept = sweep(self.space, self.hidden[rows], own, wanted)
            found.fill(rows, place, swept.norm, swept.entries)
            if swept.top is not None and swept.words is not None:
                tops.append((swept.top, swept.words))
            if in_cloud and swept.product is not None:
                clouds.append(swept.product)
            elif swept.product is not None and self.gradients.hidden is not None:
                self.gradients.hidden[rows] = swept.product
        if tops:
            found.top, found.words = (torch.cat(each) for each in zip(*tops, strict=True))
        if clouds:
            found.cloud = torch.cat(clouds)
        return found

    # -- 2. formulas -------------------------------------------------------------------------------------------------

    def _differentiate(self, found: Found) -> Found | None:
        """Evaluate the terms on what was found; returns the gradients by it, where any are wanted."""
        wanted = self.gradients.wanted
        for leaf in found.leaves():
            leaf.requires_grad_(wanted)
        total: Tensor | None = None
        with torch.set_grad_enabled(wanted):
            position = found.of_positions()
            for number, reading in enumerate(self.plan.readings):
                inputs = self._inputs(reading, position, found)
                if inputs is None:
                    continue
                value, notes = term_sum(reading, inputs)
                self.sums[number] += value.detach()
                if notes:
                    self.notes[reading.term.name] = notes
                weighted = self.coefficients[number] * value
                total = weighted if total is None else total + weighted
        return found.slopes(total) if wanted else None

    def _inputs(self, reading: Reading, position: Mapping[str, Tensor], found: Found) -> Inputs | None:
        """What a term reads of the rows that were looked at; None where it reads none of them."""
        own = reading.rows
        if found.at != self._all:
            own = own[reading.within(found.at)]
        if own.numel() == 0:
            return None
        local = own - found.at.start
        narrowed = {name: value[local] for name, value in position.items()}
        expected, k = None, reading.term.top_k
        if k is not None and found.top is not None and found.words is not None and self.embeddings is not None:
            place = own - found.top_start
            expected = expected_over(found.words[place, :k], found.top[place, :k], self.embeddings.matrix.detach())
        elif "expected_embedding" in reading.term.needs and found.cloud is not None:
            expected = found.cloud[own - self._cloud_start]
        pairs = None if reading.classes is None else found.at_entries[found.entries.pairs[id(reading.classes)]]
        return Inputs(narrowed, self.plan.labels[own], pairs, expected, self.embeddings)

    # -- 3. gradients ------------------------------------------------------------------------------------------------

    def _fold(self, at: slice, found: Found, slopes: Found) -> None:
        """Finish rows whose gradient is a multiple of the swept product, but for the entries."""
        hidden = self.gradients.hidden
        assert hidden is not None
        rows, local = hidden[at], slice(at.start - found.at.start, at.stop - found.at.start)
        share = slopes.share()
        place, own = found.entries.within(at, first=found.at.start)
        log_p = found.at_entries.detach()[place]
        slope = at_asked(slopes.at_entries[place], share[local][own.row], log_p)
        # The soft-cap's chain needs the logit itself.
        slope = self.space.chain(slope, log_p + (found.peak + found.log_sum)[local][own.row])
        rows.mul_(share[local, None])
        add_words(rows, own.row, own.word, slope, self.space.weight)
        if slopes.top is not None and slopes.words is not None and at.stop > found.top_start:
            self._fold_likeliest(rows[found.top_start - at.start :], found, slopes)
        if (mean := slopes.by_row.get("mean_log_prob")) is not None:
            every = self.space.weight.sum(0, dtype=rows.dtype) * (self.space.scale / self.space.vocab)
            rows.addr_(mean[local], every)

    def _fold_likeliest(self, rows: Tensor, found: Found, slopes: Found) -> None:
        """Add what the likeliest words get; `rows` are those of the hidden gradient from `top_start` on."""
        assert found.top is not None and found.words is not None and slopes.top is not None
        n = rows.shape[0]
        words, first = found.words[:n], found.top_start - found.at.start
        z = found.top.detach()[:n] + (found.peak + found.log_sum)[first : first + n, None]
        slope = self.space.chain(slopes.top[:n], z)
        row = torch.arange(n, device=words.device)[:, None].expand_as(words)
        add_words(rows, row.flatten(), words.flatten(), slope.flatten(), self.space.weight)

    def _at_once(self, at: slice) -> None:
        """All three steps for rows that separable terms alone read, within one tile."""
        tile = self.space.tile(self.hidden[at])
        norm = normalize(tile, entropy=self._entropy, mean=self._mean)
        entries = entries_of(self.plan, at, labels="label_log_prob" in self._needs, pairs=False)
        found = Found.empty(at, entries, self._needs, like=self.sums)
        every = torch.arange(entries.row.numel(), device=entries.row.device)
        found.fill(at, every, norm, norm.log_probs(tile.logits_at(entries.row, entries.word), entries.row))
        slopes = self._differentiate(found)
        if slopes is not None:
            self._replace(tile, norm, self._by_row(at, slopes), self._asked(at, slopes), at=at)

    def _second_sweep(self, at: slice, found: Found, slopes: Found) -> None:
        """Compute the logits again, block of words by block of words, with the normaliser of the first sweep."""
        norm = found.normalized(at)
        asked, by_row = self._asked(at, slopes), self._by_row(at, slopes)
        g = None
        if slopes.cloud is not None and found.cloud is not None and at.start >= self._cloud_start:
            local = slice(at.start - self._cloud_start, at.stop - self._cloud_start)
            g = slopes.cloud[local]
            by_row = replace(by_row, inner=(found.cloud.detach()[local] * g).sum(1))
        for words in self.space.blocks_of_words(at.stop - at.start):
            if g is not None and self.matrix is not None:
                by_row = replace(by_row, cloud=self.space.product(self.matrix[words], g, buffer="cloud"))
            tile = self.space.tile(self.hidden[at], words)
            self._replace(tile, norm, by_row, asked, at=at)

    def _second_pass(self, at: slice, slopes: Found) -> None:
        """Compute the logits of a few rows of clouds again, in a tile of all words."""
        assert slopes.cloud is not None and self.matrix is not None
        g = slopes.cloud[at.start - self._cloud_start : at.stop - self._cloud_start].to(self.space.dtype)
        cloud = self.space.product(self.matrix, g, buffer="cloud")
        tile = self.space.tile(self.hidden[at])
        # Normalised anew: p must sum to 1 over these very logits, or confident positions are ruined.
        norm = normalize(tile, entropy=self._entropy, mean=self._mean)
        by_row = replace(self._by_row(at, slopes), cloud=cloud, inner=expected_cloud(tile, norm, cloud))
        self._replace(tile, norm, by_row, self._asked(at, slopes), at=at)

    def _asked(self, at: slice, slopes: Found) -> Asked:
        """The slopes of single entries of some rows."""
        place, own = slopes.entries.within(at, first=slopes.at.start)
        asked = Asked(own.row, own.word, slopes.at_entries[place])
        if slopes.top is None or slopes.words is None or at.start < slopes.top_start:
            return asked
        top = slice(at.start - slopes.top_start, at.stop - slopes.top_start)
        words = slopes.words[top]
        row = torch.arange(words.shape[0], device=words.device)[:, None].expand_as(words)
        return asked.and_more(row.flatten(), words.flatten(), slopes.top[top].flatten(), vocab=self.space.vocab)

    def _by_row(self, at: slice, slopes: Found) -> RowSlopes:
        """The slopes of some rows that hold for all words."""
        local = slice(at.start - slopes.at.start, at.stop - slopes.at.start)
        entropy, mean = (slopes.by_row.get(name) for name in ("expected_log_prob", "mean_log_prob"))
        return RowSlopes(
            share=slopes.share()[local],
            entropy=None if entropy is None else entropy[local],
            mean=None if mean is None else mean[local],
        )

    def _replace(self, tile: Tile, norm: Normalized, slopes: RowSlopes, asked: Asked, *, at: slice) -> None:
        """Replace a tile's logits by their gradient, and add its products with the head and the hidden states."""
        gradient = write_gradient(tile, norm, slopes, asked)
        self.gradients.add(gradient, at=at, words=tile.words, hidden=self.hidden, space=self.space)
