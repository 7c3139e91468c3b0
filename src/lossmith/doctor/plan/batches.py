"""The batches that a plan is made for: the largest that training can meet, and one as it usually is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossmith.tasks.rows import Rows

SAMPLED_BATCHES = 101


def sides(rows: Rows) -> list[np.ndarray]:
    """What a batch is padded to, (rows,) each: tokens of a row; or of its source and of its target, where rows tell."""
    lengths = rows.lengths
    if "prompt_length" not in rows.table.column_names:
        return [lengths]
    sources = rows.table.column("prompt_length").to_numpy()
    return [lengths, sources, lengths - sources]


def largest_rows(rows: Rows, size: int) -> list[dict[str, Any]]:
    """The longest rows, as many as a batch has; those of longest source and longest target are among them."""
    lengths, *parts = sides(rows)
    chosen = [int(part.argmax()) for part in (lengths, *parts)]
    ranked = dict.fromkeys([*chosen, *np.argsort(-lengths, kind="stable").tolist()])
    return [rows[number] for number in list(ranked)[: min(size, len(rows))]]


def usual_rows(rows: Rows, size: int, *, seed: int) -> list[dict[str, Any]]:
    """Of some batches drawn at random the one whose padded tokens are the median."""
    draw, lengths = np.random.default_rng(seed), rows.lengths
    size = min(size, len(rows))
    drawn = [draw.choice(len(rows), size, replace=False) for _ in range(SAMPLED_BATCHES)]
    longest = [int(lengths[batch].max()) for batch in drawn]
    return [rows[int(number)] for number in drawn[int(np.argsort(longest)[len(drawn) // 2])]]


def shape_told(batch: Mapping[str, Any]) -> str:
    """What a batch is, in words: examples and the tokens that each is padded to.

    >>> import torch
    >>> shape_told({"input_ids": torch.zeros(2, 9), "targets": torch.zeros(2, 5)})
    '2 x 9 and 5'
    """
    sizes = [batch[name].shape for name in ("input_ids", "targets") if name in batch]
    return f"{sizes[0][0]} x {' and '.join(str(size[1]) for size in sizes)}"
