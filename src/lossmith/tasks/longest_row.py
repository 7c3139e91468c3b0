"""The longest row of each split against the positions that a model can look up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lossmith.errors import ConfigError
from lossmith.models.load import Loaded
from lossmith.models.reach import table_of_positions
from lossmith.tasks.task import Given


def check_longest(loaded: Loaded, given: Given, *, apart: bool) -> None:
    """Raise ConfigError where a row that training or its evaluation reads has more tokens than there are positions.

    A table of positions has nothing beyond its end (GPT-2, BART, Pegasus); models that compute positions are let be.
    `apart`: an encoder reads the prompt, and a decoder writes the answer.
    """
    limit = table_of_positions(loaded.model)
    if limit is None:
        return
    for split in ("train", "validation"):
        for side, key, longest in _longest(given, split, apart=apart):
            if longest > limit:
                # Prompt and answer of a predicted record keep to data.max_length one by one.
                most = limit // 2 if key == "max_length" and split == "validation" else limit
                raise ConfigError(
                    f"the {side} of a record of the {split} split is longer than the model has positions",
                    got=f"{longest} tokens",
                    expected=f"at most {limit}",
                    fix=f"data.{key}={most}",
                )


def _longest(given: Given, split: str, *, apart: bool) -> Iterator[tuple[str, str, int]]:
    """What is read at once, the key that bounds it, and its most tokens in a split."""
    file = given.prepared.split_file(split)
    if file is None:
        return
    table = pq.read_table(file, columns=["input_ids", "prompt_length"])
    tokens = np.asarray(pc.list_value_length(table.column("input_ids")).to_numpy())
    prompts = np.asarray(table.column("prompt_length").to_numpy())
    if not apart:
        yield "text", "max_length", int(tokens.max())
        return
    yield "source", "max_source_length", int(prompts.max())
    yield "target", "max_target_length", int((tokens - prompts).max())
