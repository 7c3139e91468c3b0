"""What happened since the last log line: sums and counts of each term, divided once when a line is written."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmith.losses import Term, Value
from lossmith.losses.laws import DEAD_SHARE
from lossmith.losses.reduce import by_group, value_of
from lossmith.tasks.task import Figures, Parts

DEAD_AFTER = 5


@dataclass
class Tally:
    """Sums, counts and tokens of the micro-batches since the last line; saved with every checkpoint, so that the
    first line after a resumed checkpoint is that of the undisturbed run. `figures` are told beside the terms.
    """

    terms: Sequence[Term]
    figures: tuple[str, ...] = ()
    sums: dict[str, Tensor | float] = field(default_factory=dict)
    counts: dict[str, Tensor | float] = field(default_factory=dict)
    tokens: int = 0
    new_tokens: int = 0
    seconds_before: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)
    quiet: dict[str, int] = field(default_factory=dict)
    notes: dict[str, dict[str, Tensor | float]] = field(default_factory=dict)
    noted: dict[str, Tensor | float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, sums: Mapping[str, Tensor], counts: Mapping[str, float | Tensor], tokens: int) -> None:
        """Add one micro-batch; stays on the device, so that no step waits for it."""
        for name in components_of(self.terms):
            # mps has no float64.
            wide = torch.float32 if sums[name].device.type == "mps" else torch.float64
            self.sums[name] = self.sums.get(name, 0.0) + sums[name].detach().to(wide)
            self.counts[name] = self.counts.get(name, 0.0) + counts[name]
        self.new_tokens += tokens

    def add_figures(self, figures: Figures) -> None:
        """Add what one micro-batch tells beside the loss."""
        for name in self.figures:
            total, count = figures[name]
            self.sums[name] = self.sums.get(name, 0.0) + total.detach()
            self.counts[name] = self.counts.get(name, 0.0) + count

    def add_notes(self, notes: Mapping[str, Mapping[str, Tensor]], counts: Mapping[str, float | Tensor]) -> None:
        """Add the further figures of the terms in one micro-batch, each the mean over its units there."""
        for term, figures in notes.items():
            own = self.notes.setdefault(term, {})
            for name, mean in figures.items():
                own[name] = own.get(name, 0.0) + mean * counts[term]
            self.noted[term] = self.noted.get(term, 0.0) + counts[term]

    def mean_notes(self) -> dict[str, dict[str, float]]:
        """Mean of the terms' further figures over all units since training began, in this process."""
        return {
            term: {name: float(total) / float(self.noted[term]) for name, total in figures.items()}
            for term, figures in self.notes.items()
        }

    def gather(self, device: torch.device) -> None:
        """Add the other processes' sums and counts to the first one's, and empty theirs."""
        rank = torch.distributed.get_rank() if _distributed() else 0
        for mine in (self.sums, self.counts):
            local = {name: float(mine.get(name, 0.0)) for name in (*components_of(self.terms), *self.figures)}
            mine.update(reduce_over_processes(local, device))
            if rank:
                mine.clear()
        together = reduce_over_processes({"tokens": float(self.new_tokens)}, device)
        self.tokens, self.new_tokens = self.tokens + int(together["tokens"]), 0

    def add_shares(self, shares: Mapping[str, float], sums: Mapping[str, Tensor], *, warm: bool) -> list[str]:
        """Keep the terms' shares of the gradient; returns the terms found dead by this measurement.

        `shares` holds the terms whose span is present in the batch, `sums` what they add up to there. A term is dead
        when its share stays under 1e-4 in five measurements running after warm-up, unless it is 0: a penalty that asks
        for nothing more has been met.
        """
        self.shares = dict(shares)
        dead = []
        for name, share in shares.items() if warm else ():
            met = name in sums and not float(sums[name])
            self.quiet[name] = self.quiet.get(name, 0) + 1 if share < DEAD_SHARE and not met else 0
            if self.quiet[name] == DEAD_AFTER:
                dead.append(name)
        return dead

    def line(self) -> dict[str, Any]:
        """Loss and terms since the last line; starts the next one.

        Each value is its sum over its count, and the loss is their weighted sum, so a line is exact whatever the
        micro-batches were. Weights that follow the losses are those of the line's end.
        """
        sums, counts = self.sums, {name: float(count) for name, count in self.counts.items()}
        terms: dict[str, Any] = {}
        loss = 0.0
        for term in self.terms:
            value = value_of(term, sums, counts)
            terms[term.name] = {"value": value, "weight": term.weight, "share": self.shares.get(term.name)}
            loss += term.weight * value if value is not None else 0.0
        figures = {name: self._mean(name) for name in self.figures}
        groups = by_group(self.terms, sums, counts)
        self.sums, self.counts, self.shares = {}, {}, {}
        dead = [name for name, measurements in self.quiet.items() if measurements >= DEAD_AFTER]
        more = {name: held for name, held in (("groups", groups), ("dead", dead)) if held}
        return {"loss": loss, "terms": terms, **figures, **more}

    def _mean(self, name: str) -> float | None:
        count = float(self.counts.get(name, 0.0))
        return float(self.sums.get(name, 0.0)) / count if count else None

    def not_finite(self) -> list[str]:
        """The terms whose sum since the last line is no finite number; none where there is one term alone."""
        return _not_finite(self.terms, self.sums) if len(self.terms) > 1 else []

    @property
    def seconds(self) -> float:
        """Time spent training, over all resumed pieces."""
        return self.seconds_before + time.monotonic() - self.started

    def save(self, path: Path) -> None:
        """Write the state as JSON; floats survive exactly."""
        path.write_text(
            json.dumps(
                {
                    "sums": {k: float(v) for k, v in self.sums.items()},
                    "counts": {k: float(v) for k, v in self.counts.items()},
                    "tokens": self.tokens,
                    "seconds": self.seconds,
                    "shares": self.shares,
                    "quiet": self.quiet,
                    "notes": {term: {k: float(v) for k, v in own.items()} for term, own in self.notes.items()},
                    "noted": {term: float(count) for term, count in self.noted.items()},
                }
            ),
            encoding="utf-8",
        )

    def restore(self, path: Path, *, first: bool) -> None:
        """Take up a saved state; sums, counts and notes belong to the first process alone."""
        state = json.loads(path.read_text(encoding="utf-8"))
        if first:
            self.sums, self.counts = dict(state["sums"]), dict(state["counts"])
            self.notes, self.noted = dict(state["notes"]), dict(state["noted"])
        self.tokens, self.seconds_before = int(state["tokens"]), float(state["seconds"])
        self.shares, self.quiet = dict(state["shares"]), dict(state["quiet"])
        self.started = time.monotonic()


@dataclass
class Evaluation:
    """What the batches of an evaluation add up to in this process; divided once, when all processes are together."""

    terms: Sequence[Term]
    figures: tuple[str, ...] = ()
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    logits: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, value: Value, parts: Parts, rows: Tensor) -> None:
        """Add one batch; `rows` are its row numbers."""
        found: dict[str, tuple[Any, Any]] = {name: (total, value.counts[name]) for name, total in value.sums.items()}
        for name, (total, count) in {**found, **parts.figures()}.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(total)
            self.counts[name] = self.counts.get(name, 0.0) + float(count)
        if (logits := parts.logits()) is not None:
            self.logits |= zip(rows.tolist(), logits.double().cpu().numpy(), strict=True)

    def not_finite(self) -> list[str]:
        """The terms whose sum so far is no finite number."""
        return _not_finite(self.terms, self.sums)

    def metrics(self, device: torch.device) -> dict[str, float]:
        """eval_loss, and the mean of every term and figure that has a count, over all processes."""
        names = (*components_of(self.terms), *self.figures)
        sums, counts = (
            reduce_over_processes({name: own.get(name, 0.0) for name in names}, device)
            for own in (self.sums, self.counts)
        )
        means = {term.name: mean for term in self.terms if (mean := value_of(term, sums, counts)) is not None}
        loss = sum(term.weight * means[term.name] for term in self.terms if term.name in means)
        figures = {name: sums[name] / counts[name] for name in self.figures if counts[name]}
        return {"eval_loss": loss, **{f"eval_{name}": mean for name, mean in {**means, **figures}.items()}}

    def all_logits(self) -> dict[int, np.ndarray]:
        """Logits by row number of every process, in the order of the rows."""
        found: list[Any] = [self.logits]
        if _distributed():
            found = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(found, self.logits)
        together: dict[int, np.ndarray] = {}
        for own in found:
            together |= own
        return dict(sorted(together.items()))


def components_of(terms: Sequence[Term]) -> list[str]:
    """What the sums and counts of terms are called."""
    return [name for term in terms for name in term.components]


def _not_finite(terms: Sequence[Term], sums: Mapping[str, float | Tensor]) -> list[str]:
    return [term.name for term in terms if not all(math.isfinite(float(sums.get(n, 0.0))) for n in term.components)]


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def reduce_over_processes(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Sum named numbers over all processes; the identity where there is one."""
    if not _distributed():
        return values
    # float32 holds counts exactly up to 2**24; mps has no float64.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    vector = torch.tensor(list(values.values()), dtype=dtype, device=device)
    torch.distributed.all_reduce(vector)
    return dict(zip(values, vector.tolist(), strict=True))
