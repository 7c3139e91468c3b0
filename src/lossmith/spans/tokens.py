"""Character spans to token spans, through the offsets that a tokenizer reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossmith.spans.characters import CharSpan

Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """The tokens `start` to `end` (half open) of `input_ids`, under a name; `item` as in CharSpan."""

    name: str
    start: int
    end: int
    item: int


def token_offsets(pairs: Sequence[tuple[int, int]]) -> Offsets:
    """Character intervals of tokens as an array (tokens, 2) whose columns never fall.

    A token without text, such as one that a tokenizer adds, is put where its neighbour ends: it covers nothing.

    >>> token_offsets([(0, 3), (0, 0), (3, 5)]).tolist()
    [[0, 3], [3, 3], [3, 5]]
    """
    if not pairs:
        return np.zeros((0, 2), dtype=np.int64)
    given = np.asarray(pairs, dtype=np.int64)
    ends = np.maximum.accumulate(given[:, 1])
    starts = np.where(given[:, 0] == given[:, 1], ends, given[:, 0])
    return np.stack([np.maximum.accumulate(starts), ends], axis=1)


def token_spans(spans: Sequence[CharSpan], offsets: Offsets, text: str) -> tuple[list[TokenSpan], int]:
    """Every span as the tokens from the first to the last that overlaps it, and the number of straddling tokens.

    `offsets` (tokens, 2) are characters of `text`. Tokens that share one character (the bytes of an emoji) overlap it
    all. A token straddles when, beside a part of the span, it holds a character outside that is not blank, as `",`
    does. A span none of whose characters has a token is left out.

    >>> spans = [CharSpan("item", 1, 5, 0)]
    >>> token_spans(spans, token_offsets([(0, 1), (1, 4), (4, 7)]), '"salt",')
    ([TokenSpan(name='item', start=1, end=3, item=0)], 1)
    """
    if not spans or not len(offsets):
        return [], 0
    first = np.searchsorted(offsets[:, 1], [span.start for span in spans], side="right").tolist()
    last = np.searchsorted(offsets[:, 0], [span.end for span in spans], side="left").tolist()
    found = []
    straddling: set[int] = set()
    for span, start, end in zip(spans, first, last, strict=True):
        if end <= start:
            continue
        found.append(TokenSpan(span.name, start, end, span.item))
        before, after = int(offsets[start, 0]), int(offsets[end - 1, 1])
        if before < span.start and text[before : span.start].strip():
            straddling.add(start)
        if after > span.end and text[span.end : after].strip():
            straddling.add(end - 1)
    return found, len(straddling)


def kept_spans(spans: Sequence[TokenSpan], kept: NDArray[np.bool_]) -> list[TokenSpan]:
    """Spans as they stand when only the tokens stay that `kept` (tokens,) marks; empty ones are left out.

    >>> kept = np.array([False, False, True, True, True, True, False, False, False])
    >>> kept_spans([TokenSpan("a", 0, 4, 0), TokenSpan("a", 5, 9, 1)], kept)
    [TokenSpan(name='a', start=0, end=2, item=0), TokenSpan(name='a', start=3, end=4, item=1)]
    """
    before = np.concatenate([[0], np.cumsum(kept)])
    moved = (TokenSpan(span.name, int(before[span.start]), int(before[span.end]), span.item) for span in spans)
    return [span for span in moved if span.end > span.start]
