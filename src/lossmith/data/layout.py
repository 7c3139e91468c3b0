"""Texts cut at their boundaries, each piece tokenised apart, and laid out as one row of ids with offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lossmith.data.rendered import Rendered
from lossmith.data.tokenizer_facts import end_id, tokenizer_facts
from lossmith.spans.tokens import Offsets, token_offsets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """A record before anything is cut: ids, their characters in the text, the prompt's length, the labels.

    `offsets` is (tokens, 2), in characters. `added` (tokens,) marks those of the prompt that stay when it is cut (BOS).
    `apart`: an encoder reads the prompt, and a decoder writes the answer.
    """

    ids: list[int]
    offsets: Offsets
    prompt_length: int
    supervised: list[tuple[int, int]]
    added: NDArray[np.bool_]
    apart: bool = False


def lay_out(rendered: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> list[Layout]:
    """Every record as ids; all their pieces go through the tokenizer in one call.

    Prompt and continuation are tokenised apart, and so is each earlier answer, because generation continues the ids of
    a prompt. Where no chat template wrote the text, the tokenizer's own first tokens and EOS are added. A record
    without a prompt begins with BOS, or EOS where there is none: generation must continue something, and training sees
    the same.
    """
    cuts = [_cut_points(record) for record in rendered]
    pieces: list[tuple[str, bool]] = []
    for record, points in zip(rendered, cuts, strict=True):
        text = record.text
        pieces += [(text[a:b], a == 0) for a, b in pairwise(points)]
    tokens = iter(_tokenise(pieces, tokenizer))
    layouts = []
    for record, points in zip(rendered, cuts, strict=True):
        first = _first_ids(record, tokenizer)
        layouts.append(_join(record, points, [next(tokens) for _ in points[1:]], first=first, tokenizer=tokenizer))
    return layouts


def _first_ids(record: Rendered, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The ids that a text begins with when no chat template has written them."""
    if not record.append_eos:
        return ()
    first = tokenizer_facts(tokenizer).first_ids
    if not first and not record.prompt:
        start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return () if start is None else (int(start),)
    return first


def _cut_points(record: Rendered) -> list[int]:
    length = len(record.prompt) + len(record.continuation)
    return sorted({0, *record.boundaries, len(record.prompt), length})


def _join(
    record: Rendered,
    points: list[int],
    pieces: list[tuple[list[int], Pairs]],
    *,
    first: tuple[int, ...],
    tokenizer: PreTrainedTokenizerBase,
) -> Layout:
    ids: list[int] = []
    pairs: Pairs = []
    starts = {}
    for start, (piece_ids, piece_pairs) in zip(points, pieces, strict=False):
        starts[start] = len(ids)
        ids += piece_ids
        pairs += [(a + start, b + start) for a, b in piece_pairs] if start else piece_pairs
    starts[points[-1]] = len(ids)
    written = not record.append_eos or tuple(ids[: len(first)]) == first  # the template has written BOS itself
    before = 0 if written else len(first)
    if before:
        ids, pairs = [*first, *ids], [*((0, 0) for _ in first), *pairs]
    offsets = token_offsets(pairs)
    supervised = []
    for start, end in record.supervised:
        low = before + starts[start]
        supervised.append((low, max(low, int(np.searchsorted(offsets[:, 0], end, side="left")))))
    if record.append_eos and supervised:
        ids = [*ids, end_id(tokenizer)]
        offsets = np.concatenate([offsets, np.full((1, 2), points[-1], dtype=np.int64)])
        supervised[-1] = (supervised[-1][0], len(ids))
    prompt_length = before + starts[len(record.prompt)]
    kept = len(first) if record.append_eos else int(ids[:1] == [tokenizer.bos_token_id])
    return Layout(ids, offsets, prompt_length, supervised, np.arange(len(ids)) < kept)


def _tokenise(
    pieces: Sequence[tuple[str, bool]], tokenizer: PreTrainedTokenizerBase
) -> Iterable[tuple[list[int], Pairs]]:
    """Ids and offsets of every (text, whether a text begins with it)."""
    if not pieces:
        return
    leads = tokenizer_facts(tokenizer).leads
    texts = [text if begins else leads[0] + text for text, begins in pieces]
    for (text, begins), found in zip(pieces, _call(texts, tokenizer), strict=True):
        if begins or not leads[0]:
            yield found
        else:
            yield _without_lead(text, found, leads, tokenizer=tokenizer)


def _without_lead(
    text: str, found: tuple[list[int], Pairs], leads: Sequence[str], *, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[int], Pairs]:
    """The tokens after the lead; where one token holds the lead and more, the next lead is tried."""
    for lead in leads:
        ids, pairs = found if lead == leads[0] else next(iter(_call([lead + text], tokenizer)))
        edge = len(lead)
        if not any(start < edge < end for start, end in pairs):
            kept = [index for index, (start, _) in enumerate(pairs) if start >= edge]
            return [ids[i] for i in kept], [(pairs[i][0] - edge, pairs[i][1] - edge) for i in kept]
    return next(iter(_call([text], tokenizer)))


def _call(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> Iterable[tuple[list[int], Pairs]]:
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
