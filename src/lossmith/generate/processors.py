"""What changes scores before a token is taken, so that a prompt's answer does not depend on the batch it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor
from transformers.generation import logits_process as of_transformers

from lossmith.generate.settings import SAMPLING, Settings

# Told the index of a prompt and the ids of its answer so far.
Watch = Callable[[int, Sequence[int]], None]

# In transformers' own order of application.
_WARPERS: Mapping[str, Any] = {
    "temperature": of_transformers.TemperatureLogitsWarper,
    "top_h": of_transformers.TopHLogitsWarper,
    "top_k": of_transformers.TopKLogitsWarper,
    "top_p": of_transformers.TopPLogitsWarper,
    "min_p": of_transformers.MinPLogitsWarper,
    "typical_p": of_transformers.TypicalLogitsWarper,
    "epsilon_cutoff": of_transformers.EpsilonLogitsWarper,
    "eta_cutoff": of_transformers.EtaLogitsWarper,
}
# Read the prompt too, so they must not see its padding.
HISTORY: Mapping[str, Any] = {
    "repetition_penalty": of_transformers.RepetitionPenaltyLogitsProcessor,
    "no_repeat_ngram_size": of_transformers.NoRepeatNGramLogitsProcessor,
}


class Unpadded(LogitsProcessor):
    """Another processor applied to each row without its left padding.

    transformers hands it the padded ids: a repetition penalty would then fall on the padding token (the end token,
    where they are the same) in short prompts alone.
    """

    def __init__(self, inner: LogitsProcessor, starts: Sequence[int], beams: int) -> None:
        self._inner = inner
        self._starts = [start for start in starts for _ in range(beams)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens) ids and (rows, vocab) scores to (rows, vocab) scores."""
        rows = [
            self._inner(input_ids[row : row + 1, start:], scores[row : row + 1])
            for row, start in enumerate(self._starts)
        ]
        return torch.cat(rows)


class SeededChoice(LogitsProcessor):
    """Draws a token of each row by inverting its distribution at a number that the seed, the prompt and the step give.

    The likeliest token of what it returns is the one drawn; a prompt draws the same numbers whatever batch it is in,
    so only rounding of the logits (about 1e-6 a step in fp32) can change its answer.
    """

    def __init__(self, indices: Sequence[int], *, seed: int, width: int, steps: int) -> None:
        self._width = width
        self._numbers = np.stack(
            [np.random.Generator(np.random.Philox(key=[seed % 2**64, index])).random(steps) for index in indices]
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens) ids and (rows, vocab) scores to (rows, vocab): 0 at the token drawn, -inf elsewhere."""
        step = input_ids.shape[1] - self._width
        where = scores.device if scores.device.type != "mps" else torch.device("cpu")  # no float64 on mps
        heights = scores.to(where, torch.float64).softmax(-1).cumsum(-1)
        numbers = torch.from_numpy(self._numbers[:, step]).to(where)[:, None] * heights[:, -1:]
        # The first token whose height lies above the number: one of probability 0 is never it.
        drawn = torch.searchsorted(heights, numbers, right=True).clamp(max=scores.shape[1] - 1).to(scores.device)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)


class Watched(LogitsProcessor):
    """Tells what each prompt's answer (of several beams the best) holds before its next token; changes nothing."""

    def __init__(self, watch: Watch, indices: Sequence[int], *, width: int, beams: int) -> None:
        self._watch = watch
        self._indices = indices
        self._width = width
        self._beams = beams

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens) ids and (rows, vocab) scores to the same scores."""
        for index, row in zip(self._indices, input_ids[:: self._beams, self._width :].tolist(), strict=True):
            self._watch(index, row)
        return scores


def history_of(settings: Settings, starts: Sequence[int]) -> list[LogitsProcessor]:
    """Penalties that read the prompt too; `starts` are the columns where prompts begin."""
    return [
        Unpadded(make(settings.given[name]), starts, settings.num_beams)
        for name, make in HISTORY.items()
        if name in settings.given
    ]


def chances_of(settings: Settings, indices: Sequence[int], *, width: int, seed: int) -> list[LogitsProcessor]:
    """The sampling chain; `indices` name the prompts, `width` is the padded prompt length.

    What beams draw is drawn by transformers; each of them keeps two tokens at least, so that one may go on.
    """
    if not settings.do_sample or settings.custom_generate is not None:
        return []
    knobs = settings.of(*SAMPLING)
    chain: list[LogitsProcessor] = []
    for name in (name for name in _WARPERS if name in knobs):
        own = {} if name == "temperature" or settings.num_beams == 1 else {"min_tokens_to_keep": 2}
        chain.append(_WARPERS[name](knobs[name], **own))
    if not settings.chance_of_library:
        chain.append(SeededChoice(indices, seed=seed, width=width, steps=settings.max_new_tokens))
    return chain
