"""What happened since the last log line: sums and counts of each term, divided once when a line is written."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmith.losses import Value
from lossmith.losses.laws import DEAD_SHARE
from lossmith.tasks.task import Figures, Parts

DEAD_AFTER = 5


@dataclass
class Tally:
    """Sums, counts and tokens of the micro-batches since the last line; saved with every checkpoint, so that the
    first line after a resumed checkpoint is that of the undisturbed run. `figures` are told beside the terms.
    """

    weights: Mapping[str, float]
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
        for name in self.weights:
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
            local = {name: float(mine.get(name, 0.0)) for name in (*self.weights, *self.figures)}
            mine.update(reduce_over_processes(local, device))
            if rank:
                mine.clear()
        together = reduce_over_processes({"tokens": float(self.new_tokens)}, device)
        self.tokens, self.new_tokens = self.tokens + int(together["tokens"]), 0

    def add_shares(self, shares: Mapping[str, float], *, warm: bool) -> list[str]:
        """Keep the terms' shares of the gradient; returns the terms found dead by this measurement.

        `shares` holds the terms whose span is present in the batch. A term is dead when its share stays under 1e-4 in
        five measurements running after warm-up.
        """
        self.shares = dict(shares)
        dead = []
        for name, share in shares.items() if warm else ():
            self.quiet[name] = self.quiet.get(name, 0) + 1 if share < DEAD_SHARE else 0
            if self.quiet[name] == DEAD_AFTER:
                dead.append(name)
        return dead

    def line(self) -> dict[str, Any]:
        """Loss and terms since the last line; starts the next one.

        Each value is its sum over its count, and the loss is their weighted sum, so a line is exact whatever the
        micro-batches were.
        """
        terms: dict[str, Any] = {}
        loss = 0.0
        for name, weight in self.weights.items():
            value = self._mean(name)
            terms[name] = {"value": value, "weight": weight, "share": self.shares.get(name)}
            loss += weight * value if value is not None else 0.0
        figures = {name: self._mean(name) for name in self.figures}
        self.sums, self.counts, self.shares = {}, {}, {}
        dead = [name for name, measurements in self.quiet.items() if measurements >= DEAD_AFTER]
        return {"loss": loss, "terms": terms, **figures, **({"dead": dead} if dead else {})}

    def _mean(self, name: str) -> float | None:
        count = float(self.counts.get(name, 0.0))
        return float(self.sums.get(name, 0.0)) / count if count else None

    def not_finite(self) -> list[str]:
        """The terms whose sum since the last line is no finite number; none where there is one term alone."""
        wrong = [name for name, total in self.sums.items() if not math.isfinite(float(total))]
        return wrong if len(self.weights) > 1 else []

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

    weights: Mapping[str, float]
    figures: tuple[str, ...] = ()
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    logits: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, value: Value, parts: Parts, rows: Tensor) -> None:
        """Add one batch; `rows` are its row numbers."""
        found: dict[str, tuple[Any, Any]] = {name: (value.sums[name], value.counts[name]) for name in self.weights}
        for name, (total, count) in {**found, **parts.figures()}.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(total)
            self.counts[name] = self.counts.get(name, 0.0) + float(count)
        if (logits := parts.logits()) is not None:
            self.logits |= zip(rows.tolist(), logits.double().cpu().numpy(), strict=True)

    def not_finite(self) -> list[str]:
        """The terms whose sum so far is no finite number."""
        return [name for name in self.weights if not math.isfinite(self.sums.get(name, 0.0))]

    def metrics(self, device: torch.device) -> dict[str, float]:
        """eval_loss, and the mean of every term and figure that has a count, over all processes."""
        names = (*self.weights, *self.figures)
        sums, counts = (
            reduce_over_processes({name: own.get(name, 0.0) for name in names}, device)
            for own in (self.sums, self.counts)
        )
        means = {name: sums[name] / counts[name] for name in names if counts[name]}
        loss = sum(weight * means[name] for name, weight in self.weights.items() if name in means)
        return {"eval_loss": loss, **{f"eval_{name}": mean for name, mean in means.items()}}

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
