"""How many texts go through an encoder at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

# Padded tokens in a batch, by device type. More than a few thousand fall out of a processor's cache: MiniLM read 36
# chunks a second in batches of 2,048 tokens, 31 of 8,192 through the library, and 42 and 18 by its states (2 cores).
TOKENS: Mapping[str, int] = {"cpu": 2_048, "cuda": 131_072, "mps": 32_768}
MOST_TEXTS = 512
# What a tokenizer without a limit gives as its limit is beyond this.
_NO_LIMIT = 10_000_000


def as_limit(tokens: object) -> int | None:
    """A number of tokens as a limit, None for what stands for none.

    >>> as_limit(512), as_limit(None), as_limit(int(1e30))
    (512, None, None)
    """
    return int(tokens) if isinstance(tokens, int | float) and 0 < tokens < _NO_LIMIT else None


def batches(lengths: Sequence[int], device: torch.device) -> Iterator[list[int]]:
    """Numbers of texts, those of like length together, in batches of about as many padded tokens; longest first.

    >>> [len(batch) for batch in batches([1500, 900, 1000, 100], torch.device("cpu"))]
    [1, 2, 1]
    """
    most = TOKENS.get(device.type, TOKENS["cpu"])
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and (len(batch) == MOST_TEXTS or lengths[batch[0]] * (len(batch) + 1) > most):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
