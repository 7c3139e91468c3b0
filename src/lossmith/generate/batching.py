"""Prompts through a model in batches of like lengths; results in the order of the prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

# Batches whose prompts are sorted by length together; results come out after each such window.
_BATCHES_IN_WINDOW = 8

Result = TypeVar("Result")


@dataclass(frozen=True)
class Batching(Generic[Result]):
    """What is done with prompts, named by their index.

    `refusal` says why a prompt cannot be carried out, `pool` which others it may share a batch with; `carry_out` gives
    the results of a batch in its order, and `failed` the result of a prompt with a reason in place of one.
    """

    refusal: Callable[[int], str | None]
    pool: Callable[[int], int]
    carry_out: Callable[[list[int]], list[Result]]
    failed: Callable[[int, str], Result]


def in_batches(
    work: Batching[Result],
    prompts: Sequence[Sequence[int]],
    *,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Result]:
    """A result for each prompt, in their order; `progress` is told done and all prompts.

    A batch that memory does not suffice for is halved, down to a prompt alone, which then fails.
    """
    done = 0
    window = batch_size * _BATCHES_IN_WINDOW
    for start in range(0, len(prompts), window):
        made: dict[int, Result] = {}
        pools: dict[int, list[int]] = defaultdict(list)
        for index in range(start, min(start + window, len(prompts))):
            reason = work.refusal(index)
            if reason is None:
                pools[work.pool(index)].append(index)
            else:
                made[index] = work.failed(index, reason)
        for _, pool in sorted(pools.items()):
            pool.sort(key=lambda index: (len(prompts[index]), index))
            for first in range(0, len(pool), batch_size):
                made.update(_whole_or_halved(work, pool[first : first + batch_size], prompts))
                if progress is not None:
                    progress(done + len(made), len(prompts))
        done += len(made)
        if progress is not None and not pools:
            progress(done, len(prompts))
        for index in sorted(made):
            yield made[index]


def refusal(model: Any, prompt: Sequence[int], *, answers: Sequence[Sequence[int]] = ()) -> str | None:
    """Why a model cannot continue a prompt, by one token or by each of `answers`; None where it can."""
    positions = positions_of(model)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    if not len(prompt):
        return "the prompt is empty"
    # An encoder-decoder has positions of their own for what it reads.
    longest = max((len(answer) for answer in answers), default=0 if model.config.is_encoder_decoder else 1)
    if positions and len(prompt) + longest > positions:
        beside = f", {longest} tokens of an answer beside it," if answers else ""
        return f"the prompt has {len(prompt)} tokens{beside} and the model {positions} positions"
    for what, ids in (("prompt", prompt), *(("answer", answer) for answer in answers)):
        if max(ids) >= vocabulary or min(ids) < 0:
            return f"the {what} holds token {max(ids)} and the model knows {vocabulary}"
    return None


def positions_of(model: Any) -> int | None:
    """Positions that a model has, None where its configuration names no end."""
    config = model.config.get_text_config()
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    return int(found) if found else None


def _whole_or_halved(
    work: Batching[Result], batch: list[int], prompts: Sequence[Sequence[int]]
) -> Iterator[tuple[int, Result]]:
    try:
        results = work.carry_out(batch)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        reason = f"out of memory with a prompt of {max(len(prompts[index]) for index in batch)} tokens alone"
        results = None
    # Outside the except block: the error's traceback would hold the tensors that must go.
    if results is not None:
        yield from zip(batch, results, strict=True)
    elif len(batch) == 1:
        yield batch[0], work.failed(batch[0], reason)
    else:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        middle = len(batch) // 2
        yield from _whole_or_halved(work, batch[:middle], prompts)
        yield from _whole_or_halved(work, batch[middle:], prompts)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error)
