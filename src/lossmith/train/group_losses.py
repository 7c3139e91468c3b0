"""Mean losses of the groups over a window, which weights by worst_group follow; these lie in every checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lossmith.losses import Term
from lossmith.train.tally import components_of, reduce_over_processes


class GroupLosses:
    """What the micro-batches of a window add up to, for the terms whose weights follow the losses of groups."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = [term for term in terms if term.weights_by == "worst_group"]
        self._names = components_of(self._terms)
        self._sums: dict[str, Tensor] = {}

    def add(self, sums: Mapping[str, Tensor]) -> None:
        """Add one micro-batch; stays on the device."""
        for name in self._names:
            self._sums[name] = self._sums.get(name, 0.0) + sums[name].detach()

    def follow(self, counts: Mapping[str, float], device: torch.device) -> None:
        """Move the weights by the losses of a window that is done; `counts` are its denominators.

        Every process moves them alike, and the next window is the first to be weighed by them, so that they do not
        depend on how a window is cut.
        """
        if not self._terms:
            return
        local = {name: float(self._sums.get(name, 0.0)) for name in self._names}
        sums = reduce_over_processes(local, device)
        self._sums = {}
        for term in self._terms:
            assert term.groups is not None
            groups = term.components[: len(term.groups.names)]
            term.groups.follow([sums[name] / counts[name] if counts[name] else None for name in groups])

    def save(self, path: Path) -> None:
        """Write the weights as JSON, by term; nothing where none follow losses."""
        if self._terms:
            state = {term.name: term.groups.state() for term in self._terms if term.groups is not None}
            path.write_text(json.dumps(state), encoding="utf-8")

    def restore(self, path: Path) -> None:
        """Take up what `save` wrote."""
        state = json.loads(path.read_text(encoding="utf-8")) if self._terms else {}
        for term in self._terms:
            assert term.groups is not None
            term.groups.restore(state[term.name])
