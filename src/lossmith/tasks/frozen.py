"""A head on a frozen backbone: features are computed once, and rows give them in the place of their texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossmith.data.cache import cache_folder
from lossmith.models.feature_store import FeatureStore
from lossmith.models.features import FrozenBackbone, fill, key_of_text
from lossmith.models.load import Loaded
from lossmith.models.modes import evaluating
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Collate, Forward, Given, Parts, Pieces

logger = logging.getLogger("lossmith")

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PROBES = 4


class FeatureRows(Rows):
    """Rows of which each holds its stored vector, under `features`, and one token that stands for its text."""

    def __init__(self, rows: Rows, store: FeatureStore, places: np.ndarray, *, token: int) -> None:
        self.file, self.table = rows.file, rows.table.drop_columns(["input_ids", "pair_start"])
        self._lengths, self._places, self._token = rows.lengths, places, token
        self._vectors = store.vectors()

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = super().__getitem__(index)
        features = torch.from_numpy(np.array(self._vectors[self._places[index]]))
        more = {"features": features, "tokens": int(self._lengths[index])}
        return {**row, "input_ids": [self._token], "pair_start": None, **more}

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row's text, (rows,)."""
        return self._lengths


@dataclass(frozen=True)
class FeatureCollator:
    """A task's batches of such rows, with features (examples, width)."""

    collate: Collate

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch some rows."""
        batch = self.collate(rows)
        tokens = sum(row["tokens"] for row in rows)
        return {**batch, "features": torch.stack([row["features"] for row in rows]), "tokens": tokens}


@dataclass(frozen=True)
class FeatureForward:
    """Carries batches with features through a model's head alone."""

    forward: Forward
    frozen: FrozenBackbone

    def __call__(self, wrapped: nn.Module, batch: dict[str, Any]) -> Parts:
        """What the task's own forward gives where the backbone would run."""
        with self.frozen.replaced_by(batch["features"]):
            return self.forward(wrapped, batch)

    def refresh_scale(self) -> float | None:
        """As the task's own."""
        return self.forward.refresh_scale()


def on_features(taken: Pieces, loaded: Loaded, given: Given) -> Pieces:
    """The same with features in the place of texts where the backbone is frozen; what is not in the store yet is
    computed first, in eval mode.

    Rows without tokens, which hold an error, have none. Raises ConfigError where the head reads more of its backbone
    than one vector.
    """
    if not given.config.model.freeze_backbone or not any((own.lengths > 0).any() for own in taken.rows.values()):
        return taken
    device = next(loaded.model.parameters()).device
    rows = taken.rows

    def inputs(chosen: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        batch = taken.collate(chosen)
        return {name: batch[name].to(device) for name in _INPUTS if name in batch}

    with given.precision.autocast():
        probe = inputs(_of_unlike_lengths(next(iter(rows.values()))))
        frozen = FrozenBackbone.of(loaded.model, probe)
        with torch.no_grad(), evaluating(loaded.model):
            features = frozen.compute(probe)
    assert features is not None, "it was computed a moment ago"
    store = frozen.store(cache_folder() / "features", width=features.shape[1])
    keys = {split: _keys(own) for split, own in rows.items()}
    computed = 0
    for split, own in rows.items():
        whole = np.flatnonzero(own.lengths > 0)

        def compute(chosen: Sequence[int], own: Rows = own, whole: np.ndarray = whole) -> Tensor:
            with given.precision.autocast(), evaluating(loaded.model):
                found = frozen.compute(inputs([own[int(whole[number])] for number in chosen]))
            assert found is not None, "the backbone gave features of the probe"
            return found

        size, needed = given.config.generate.batch_size, [keys[split][number] for number in whole]
        computed += fill(store, needed, compute, lengths=own.lengths[whole], batch_size=size)
    held = sum(len(each) for each in keys.values())
    logger.info(
        "the head alone works, on features of %s records (%s): %s computed, the others were there",
        f"{held:,}",
        frozen.pooling,
        f"{computed:,}",
    )
    token = int(given.tokenizer.pad_token_id == 0)
    return Pieces(
        {split: FeatureRows(own, store, store.places(keys[split]), token=token) for split, own in rows.items()},
        FeatureCollator(taken.collate),
        FeatureForward(taken.forward, frozen),
        {**taken.facts, "features": {"pooling": frozen.pooling, "store": str(store.folder), "width": store.width}},
    )


def _keys(rows: Rows) -> list[str]:
    ids, pairs = (rows.table.column(name).to_pylist() for name in ("input_ids", "pair_start"))
    return [key_of_text(own or [], [] if pair is None else [pair]) for own, pair in zip(ids, pairs, strict=True)]


def _of_unlike_lengths(rows: Rows) -> list[dict[str, Any]]:
    """The beginnings of a few rows, from 8 to 32 tokens: texts of one length would not tell ways of pooling apart.

    How a head reads its states does not depend on how long a text is; what trying it costs does, in every run.
    """
    whole = np.flatnonzero(rows.lengths > 0)[:PROBES].tolist()
    chosen = [rows[number] for number in whole]
    return [{**row, "input_ids": row["input_ids"][: 8 * (place + 1)]} for place, row in enumerate(chosen)]
