"""Prompts to answers in batches: token ids in, token ids out, in the order they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lossmith.generate.batching import Batching, in_batches, positions_of, refusal
from lossmith.generate.processors import HISTORY, Watch, Watched, chances_of, history_of
from lossmith.generate.restrict import Place, Restriction, restricted
from lossmith.generate.settings import SAMPLING, Settings, check_settings
from lossmith.models.first_tokens import first_tokens
from lossmith.models.hidden import unwrap
from lossmith.models.modes import evaluating
from lossmith.names import load_attribute


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
    restrictions: tuple[Restriction, ...] = ()
    watch: Watch | None = None


def generate(  # noqa: PLR0913 (docs/architecture.md says why)
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    settings: Mapping[str, Any],
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    batch_size: int = 16,
    seed: int = 0,
    restrictions: Sequence[Restriction] = (),
    watch: Watch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Generated]:
    """Continue each prompt until an end token, in the original order of the prompts.

    `settings` (GenerationConfig's names) are the whole truth: defaults that a checkpoint brings along are not read.
    A greedy answer is the one its prompt would get alone; a sampled one depends on `seed` and the prompt's index, not
    on its batch. Every answer keeps to the `restrictions`. Prompts that cannot be continued (empty, longer than the
    model's positions, out of memory even alone) come out with an `error`. `watch` is told every prompt's ids so far; of
    several beams those of the best, and another may be the best later. `progress` is told done and all prompts.
    Raises InputError for settings that cannot be, before anything is generated.
    """
    work = _Work(
        model=unwrap(model),
        settings=check_settings(settings),
        end_ids=tuple(eos_token_ids),
        pad_id=pad_token_id,
        seed=seed,
        positions=positions_of(unwrap(model)),
        restrictions=tuple(restrictions),
        watch=watch,
    )
    batching = Batching(
        refusal=lambda index: refusal(work.model, prompts[index]),
        pool=lambda index: _pool(work, prompts[index]),
        carry_out=lambda batch: _decode(work, batch, [prompts[index] for index in batch]),
        failed=lambda index, reason: Generated(index, (), reason),
    )
    alone = work.settings.chance_of_library
    return in_batches(batching, prompts, batch_size=1 if alone else batch_size, progress=progress)


def _pool(work: _Work, prompt: Sequence[int]) -> int:
    """Prompts whose answers the model's positions cut short are put together by equal length.

    So every prompt keeps all positions it has.
    """
    apart = work.model.config.is_encoder_decoder
    cut = work.positions is not None and not apart and len(prompt) + work.settings.max_new_tokens > work.positions
    return len(prompt) if cut else 0


def _decode(work: _Work, indices: list[int], prompts: list[Sequence[int]]) -> list[Generated]:
    from transformers import LogitsProcessorList

    width = max(len(prompt) for prompt in prompts)
    steps = work.settings.max_new_tokens
    apart = work.model.config.is_encoder_decoder
    # What an encoder-decoder writes begins with one token of its own, whatever it has read.
    begun = 1 if apart else width
    if work.positions is not None:
        steps = min(steps, work.positions - begun)
    lefts = [0 if apart else width - len(prompt) for prompt in prompts]
    starts = [1] * len(prompts) if apart else lefts
    ids, attention = _padded(prompts, lefts, width=width, pad_id=work.pad_id)
    first = first_tokens(work.model)
    forced = "forced_bos_token_id" in first
    place = Place(begun + forced, steps - forced, work.end_ids)
    processors = [
        *history_of(work.settings, starts),
        *restricted(work.restrictions, place),
        *chances_of(work.settings, indices, width=begun, seed=work.seed),
    ]
    if work.watch is not None:
        processors.append(Watched(work.watch, indices, width=begun, beams=work.settings.num_beams))
    device = work.model.get_input_embeddings().weight.device
    with _own_settings_only(work.model), _chance(work, indices[0], device):
        output = work.model.generate(
            ids.to(device),
            attention_mask=attention.to(device),
            generation_config=_configured(work, steps, first),
            logits_processor=LogitsProcessorList(processors),
            **_custom(work.settings),
        )
    new = output[:, begun:].tolist()
    return [_until_end(work, index, row) for index, row in zip(indices, new, strict=True)]


def _configured(work: _Work, steps: int, first: Mapping[str, int]) -> Any:
    """What transformers is told; what the processors do is left out, unless decoding of the user's own reads it."""
    from transformers import GenerationConfig

    settings = work.settings
    ours = {*HISTORY, "max_new_tokens", "custom_generate", "do_sample"}
    if settings.custom_generate is None:
        ours |= set(SAMPLING)
    rest = {name: value for name, value in settings.given.items() if name not in ours}
    if rest.get("min_new_tokens", 0) > steps:
        rest["min_new_tokens"] = steps
    drawn = settings.do_sample and settings.chance_of_library
    if drawn and settings.custom_generate is None:
        # Not given, it would be 50 again, after the chain.
        rest["top_k"] = 0
    return GenerationConfig(
        **rest,
        **first,
        max_new_tokens=steps,
        do_sample=drawn,
        eos_token_id=list(work.end_ids),
        pad_token_id=work.pad_id,
    )


def _custom(settings: Settings) -> dict[str, Any]:
    """Decoding of the user's own: a function, or the name of a place that transformers loads it from."""
    name = settings.custom_generate
    if name is None:
        return {}
    if ":" in name:
        return {"custom_generate": load_attribute(name, what="way of decoding")}
    # Whether code from there may run is asked of the configuration (config.generate.check_custom).
    return {"custom_generate": name, "trust_remote_code": True}


@contextmanager
def _chance(work: _Work, index: int, device: torch.device) -> Iterator[None]:
    """Torch's own numbers, told by the seed and the prompt, and given back as they were: for what others draw."""
    if not work.settings.chance_of_library:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.Philox(key=[work.seed % 2**64, index]).random_raw()) % 2**63)
        yield


def _padded(
    prompts: Sequence[Sequence[int]], lefts: Sequence[int], *, width: int, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention (prompts, width), where each prompt begins at its column of `lefts`."""
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.int64)
    attention = torch.zeros_like(ids)
    for row, (left, prompt) in enumerate(zip(lefts, prompts, strict=True)):
        ids[row, left : left + len(prompt)] = torch.as_tensor(prompt, dtype=torch.int64)
        attention[row, left : left + len(prompt)] = 1
    return ids, attention


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
    model.generation_config = GenerationConfig()
    try:
        with evaluating(model):
            yield
    finally:
        model.generation_config = kept
