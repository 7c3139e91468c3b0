"""What a head reads as token ids: the tokenizer's own form of a text or a pair of texts, cut where it is too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lossmith.config.data import Truncation
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, HeadText
from lossmith.data.tokenizer_facts import tokenizer_facts
from lossmith.errors import DataError
from lossmith.spans.tokens import Offsets, kept_spans, token_offsets, token_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ADDED, FIRST, PAIR = -1, 0, 1


@dataclass(frozen=True)
class InputLayout:
    """A record before anything is cut: ids, their characters in both texts joined, and whose tokens they are.

    `offsets` is (tokens, 2); `parts` is (tokens,): FIRST, PAIR, or ADDED for the tokenizer's own special tokens.
    """

    ids: list[int]
    offsets: Offsets
    parts: np.ndarray


def encode_inputs(
    texts: Sequence[HeadText],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncation: Truncation,
    predicting: bool,
) -> list[Encoded | RecordError]:
    """Records as the ids that the tokenizer gives for a text or a pair of texts, special tokens included.

    A record of more than `max_length` tokens loses the end of its text, or of the longer one of its two; special
    tokens stay. In training `drop` leaves it out instead and `error` raises DataError. Where not one token of each
    text fits, it is left out, or, when predicting, has no ids and says "prompt_too_long". A record of which the
    tokenizer has no token is a RecordError in its place.
    """
    results: list[Encoded | RecordError] = []
    for text, layout in zip(texts, lay_out_inputs(texts, tokenizer), strict=True):
        try:
            encoded, _ = encode_input(text, layout, max_length=max_length, truncation=truncation, predicting=predicting)
            results.append(encoded)
        except RecordError as error:
            results.append(error)
    return results


def encode_input(
    text: HeadText, layout: InputLayout, *, max_length: int, truncation: Truncation, predicting: bool
) -> tuple[Encoded, list[int]]:
    """What `encode_inputs` gives of one record, and which tokens of the layout it kept."""
    for part, own in ((FIRST, text.first), (PAIR, text.pair)):
        if own is not None and not (layout.parts == part).any():
            raise RecordError(
                "the tokenizer has no token for the text",
                got=repr(own[:40]),
                expected="text that the tokenizer's vocabulary covers",
            )
    if len(layout.ids) > max_length and truncation == "error" and not predicting:
        raise DataError(
            "a record is longer than data.max_length",
            got=f"{len(layout.ids)} tokens",
            expected=f"at most {max_length}",
            fix="raise data.max_length, or set data.truncation to drop or cut_prompt",
        )
    kept, action = _fit(layout, max_length, dropping=truncation == "drop" and not predicting)
    if action == "prompt_too_long" and not predicting:
        kept, action = np.ones(len(layout.ids), dtype=bool), "dropped"
    spans, straddles = token_spans(text.spans, layout.offsets, text.text)
    tokens = np.flatnonzero(kept).tolist()
    second = np.flatnonzero(layout.parts[kept] == PAIR)
    encoded = Encoded(
        input_ids=[layout.ids[token] for token in tokens],
        prompt_length=len(tokens),
        supervised=[],
        spans=kept_spans(spans, kept),
        prompt=text.prompt,
        target=text.target,
        straddles=straddles,
        truncation=action,
        pair_start=int(second[0]) if len(second) else None,
    )
    return encoded, tokens


def lay_out_inputs(texts: Sequence[HeadText], tokenizer: PreTrainedTokenizerBase) -> list[InputLayout]:
    """Every record as the tokenizer writes it, nothing cut; all go through it in one call."""
    if not texts:
        return []
    tokenizer_facts(tokenizer)  # refuses one that reports no offsets
    pairs = [text.pair for text in texts]
    found = tokenizer(
        [text.first for text in texts],
        None if pairs[0] is None else pairs,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    layouts = []
    for number, (text, ids, own) in enumerate(zip(texts, found["input_ids"], found["offset_mapping"], strict=True)):
        parts = [ADDED if part is None else part for part in found.sequence_ids(number)]
        edge = len(text.first)
        offsets = [(a + edge, b + edge) if p == PAIR else (a, b) for (a, b), p in zip(own, parts, strict=True)]
        layouts.append(InputLayout(list(ids), token_offsets(offsets), np.array(parts, dtype=np.int8)))
    return layouts


def _fit(layout: InputLayout, max_length: int, *, dropping: bool) -> tuple[np.ndarray, str | None]:
    """Which tokens stay, (tokens,) of bool, and what was done to the record."""
    kept = np.ones(len(layout.ids), dtype=bool)
    over = len(kept) - max_length
    if over <= 0:
        return kept, None
    if dropping:
        return kept, "dropped"
    own = [np.flatnonzero(layout.parts == part) for part in (FIRST, PAIR)]
    first, pair = _shorten(len(own[0]), len(own[1]), over)
    if first < 1 or (len(own[1]) and pair < 1):
        return np.zeros_like(kept), "prompt_too_long"
    kept[own[0][first:]] = False
    kept[own[1][pair:]] = False
    return kept, "cut_prompt"


def _shorten(first: int, pair: int, over: int) -> tuple[int, int]:
    """Lengths after `over` tokens are taken one by one, each from the longer text; an odd one stays in what was longer.

    >>> _shorten(10, 4, 5), _shorten(10, 4, 8), _shorten(10, 4, 7), _shorten(5, 0, 2)
    ((5, 4), (3, 3), (4, 3), (3, 0))
    """
    total = first + pair - over
    shorter = min(first, pair, total // 2)
    return (total - shorter, shorter) if first > pair else (shorter, total - shorter)
