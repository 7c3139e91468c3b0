"""Whether a prediction falls when its evidence goes, and stays when nothing else is left: against random chunks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmith.metrics.evidence import beyond_chance, curve, first_of
from lossmith.models.leave_one_out import Reader, logits_of_parts

SIZES = (1, 2, 3, 5, 8, 13, 21)
# Orders of random chunks that are tried for each document and averaged.
DRAWS = 8

Score = Callable[[np.ndarray], np.ndarray]


@dataclass
class Faithfulness:
    """Falls of every document's score, in four kinds (documents, sizes), nan where it has no more chunks than that.

    A score is the probability of what the evidence of the document is about. Deletion takes the first chunks out of it
    (comprehensiveness of DeYoung 2020: the larger the fall, the more it rests on them), sufficiency leaves
    nothing else (the smaller the fall, the more they are enough for it).
    """

    seed: int
    falls: dict[tuple[str, str], list[np.ndarray]] = field(default_factory=dict)
    clusters: list[Hashable] = field(default_factory=list)

    def add(
        self,
        model: Reader,
        vectors: Tensor,
        pair: Tensor | None,
        *,
        order: np.ndarray,
        score: Score,
        cluster: Hashable,
    ) -> None:
        """Try one document: vectors (chunks, width), its chunks' `order` (chunks,) with the best evidence first, and
        `score` from logits (parts, outputs) to (parts,). One without two chunks has nothing to choose from and is left
        out.
        """
        count = len(vectors)
        sizes = [size for size in SIZES if size < count]
        if not sizes:
            return
        generator = np.random.default_rng((self.seed, len(self.clusters)))
        orders = [order, *(generator.permutation(count) for _ in range(DRAWS))]
        taken = np.concatenate([first_of(each, sizes) for each in orders])
        kept = torch.from_numpy(np.concatenate([np.ones((1, count), dtype=bool), ~taken, taken]))
        scores = score(logits_of_parts(model, vectors, kept.to(vectors.device), pair))
        falls = (scores[0] - scores[1:]).reshape(2, len(orders), len(sizes))
        for kind, own in zip(("deletion", "sufficiency"), falls, strict=True):
            self._keep((kind, "evidence"), own[0])
            self._keep((kind, "random"), own[1:].mean(axis=0))
        self.clusters.append(cluster)

    def _keep(self, key: tuple[str, str], own: np.ndarray) -> None:
        row = np.full(len(SIZES), np.nan)
        row[: len(own)] = own
        self.falls.setdefault(key, []).append(row)

    def as_json(self, *, resamples: int) -> dict[str, Any]:
        """The four curves with bootstrap intervals over clusters, and for both kinds evidence less random over them."""
        found = {key: np.stack(rows) for key, rows in self.falls.items()}
        if not found:
            return {"chunks": [], "deletion": None, "sufficiency": None, "summary": None, "n": 0}
        points = int(max((~np.isnan(rows)).any(axis=0).sum() for rows in found.values()))
        told: dict[str, Any] = {"chunks": list(SIZES[:points]), "n": len(self.clusters), "draws": DRAWS, "summary": {}}
        for kind in ("deletion", "sufficiency"):
            own = {against: found[kind, against][:, :points] for against in ("evidence", "random")}
            told[kind] = {
                name: curve(falls, self.clusters, resamples=resamples, seed=self.seed) for name, falls in own.items()
            }
            told["summary"][kind] = beyond_chance(
                own["evidence"], own["random"], self.clusters, resamples=resamples, seed=self.seed
            )
        return told
