"""Prompts to answers in batches: token ids in, token ids out, in the order they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lossmith.generate.processors import HISTORY, processors_for
from lossmith.generate.settings import SAMPLING, Settings, check_settings
from lossmith.models.hidden import unwrap

# Batches whose prompts are sorted by length together; results come out after each such window.
_BATCHES_IN_WINDOW = 8


@dataclass(frozen=True, slots=True)
class Generated:
    """The answer to prompt `index`: new ids without the end token, or why there is none.

    `finished` says that an end token came before the limit.
    """

    index: int
    ids: tuple[int, ...]
    error: str | None = None
    finished: bool = False


@dataclass(frozen=True)
class _Work:
    """What every batch of one call shares."""

    model: Any
    settings: Settings
    end_ids: tuple[int, ...]
    pad_id: int
    seed: int
    positions: int | None
    vocabulary: int


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    settings: Mapping[str, Any],
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    batch_size: int = 16,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Generated]:
    """Continue each prompt until an end token, in the original order of the prompts.

    `settings` (GenerationConfig's names) are the whole truth: defaults that a checkpoint brings along are not read.
    A greedy answer is the one its prompt would get alone; a sampled one depends on `seed` and the prompt's index, not
    on its batch. Prompts that cannot be continued (empty, longer than the model's positions, out of memory even
    alone) come out with an `error`. `progress` is told done and all prompts.
    Raises InputError for settings that cannot be, before anything is generated.
    """
    work = _Work(
        model=unwrap(model),
        settings=check_settings(settings),
        end_ids=tuple(eos_token_ids),
        pad_id=pad_token_id,
        seed=seed,
        positions=_positions(unwrap(model)),
        vocabulary=_vocabulary(unwrap(model)),
    )
    return _in_windows(work, prompts, batch_size, progress)


def _in_windows(
    work: _Work,
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Generated]:
    done = 0
    window = batch_size * _BATCHES_IN_WINDOW
    for start in range(0, len(prompts), window):
        made: dict[int, Generated] = {}
        good: dict[int, Sequence[int]] = {}
        for index in range(start, min(start + window, len(prompts))):
            reason = _refusal(work, prompts[index])
            if reason is None:
                good[index] = prompts[index]
            else:
                made[index] = Generated(index, (), reason)
        for batch in _batches(work, good, batch_size):
            for generated in _decode_or_halve(work, batch, good):
                made[generated.index] = generated
            if progress is not None:
                progress(done + len(made), len(prompts))
        done += len(made)
        if progress is not None and not good:
            progress(done, len(prompts))
        for index in sorted(made):
            yield made[index]


def _refusal(work: _Work, prompt: Sequence[int]) -> str | None:
    if not len(prompt):
        return "the prompt is empty"
    if work.positions is not None and len(prompt) >= work.positions:
        return f"the prompt has {len(prompt)} tokens and the model {work.positions} positions"
    if max(prompt) >= work.vocabulary or min(prompt) < 0:
        return f"the prompt holds token {max(prompt)} and the model knows {work.vocabulary}"
    return None


def _batches(work: _Work, prompts: Mapping[int, Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of prompts of near-equal lengths.

    Prompts whose answers the model's positions cut short are put together by equal length, so that every prompt keeps
    all positions it has.
    """
    pools: dict[int, list[int]] = defaultdict(list)
    for index, prompt in prompts.items():
        cut = work.positions is not None and len(prompt) + work.settings.max_new_tokens > work.positions
        pools[len(prompt) if cut else 0].append(index)
    for _, pool in sorted(pools.items()):
        pool.sort(key=lambda index: (len(prompts[index]), index))
        for start in range(0, len(pool), size):
            yield pool[start : start + size]


def _decode_or_halve(work: _Work, batch: list[int], prompts: Mapping[int, Sequence[int]]) -> Iterator[Generated]:
    """One batch; where memory does not suffice, its halves."""
    try:
        answers = _decode(work, batch, [prompts[index] for index in batch])
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        reason = f"out of memory with a prompt of {max(len(prompts[index]) for index in batch)} tokens alone"
        answers = None
    # Outside the except block: the error's traceback would hold the tensors that must go.
    if answers is not None:
        yield from answers
    elif len(batch) == 1:
        yield Generated(batch[0], (), reason)
    else:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        middle = len(batch) // 2
        yield from _decode_or_halve(work, batch[:middle], prompts)
        yield from _decode_or_halve(work, batch[middle:], prompts)


def _decode(work: _Work, indices: list[int], prompts: list[Sequence[int]]) -> list[Generated]:
    from transformers import GenerationConfig

    width = max(len(prompt) for prompt in prompts)
    steps = work.settings.max_new_tokens
    if work.positions is not None:
        steps = min(steps, work.positions - width)
    ids = torch.full((len(prompts), width), work.pad_id, dtype=torch.int64)
    attention = torch.zeros_like(ids)
    starts = [width - len(prompt) for prompt in prompts]
    for row, (start, prompt) in enumerate(zip(starts, prompts, strict=True)):
        ids[row, start:] = torch.as_tensor(prompt, dtype=torch.int64)
        attention[row, start:] = 1
    ours = {*SAMPLING, *HISTORY, "do_sample", "max_new_tokens"}
    rest = {name: value for name, value in work.settings.given.items() if name not in ours}
    if rest.get("min_new_tokens", 0) > steps:
        rest["min_new_tokens"] = steps
    config = GenerationConfig(
        **rest, max_new_tokens=steps, do_sample=False, eos_token_id=list(work.end_ids), pad_token_id=work.pad_id
    )
    device = work.model.get_input_embeddings().weight.device
    with _own_settings_only(work.model):
        output = work.model.generate(
            ids.to(device),
            attention_mask=attention.to(device),
            generation_config=config,
            logits_processor=processors_for(work.settings, indices=indices, starts=starts, width=width, seed=work.seed),
        )
    new = output[:, width:].tolist()
    return [_until_end(work, index, row) for index, row in zip(indices, new, strict=True)]


def _until_end(work: _Work, index: int, row: list[int]) -> Generated:
    for place, token in enumerate(row):
        if token in work.end_ids:
            return Generated(index, tuple(row[:place]), finished=True)
    return Generated(index, tuple(row))


@contextmanager
def _own_settings_only(model: Any) -> Iterator[None]:
    """Eval mode, and no defaults of the checkpoint: transformers fills every setting not given from them."""
    from transformers import GenerationConfig

    kept = model.generation_config
    modes = {module: module.training for module in model.modules()}
    model.generation_config = GenerationConfig()
    model.eval()
    try:
        yield
    finally:
        model.generation_config = kept
        for module, mode in modes.items():
            module.training = mode


def _positions(model: Any) -> int | None:
    config = model.config.get_text_config()
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    return int(found) if found else None


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "not enough memory" in str(error)
