from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lossmith.spans.characters import CharSpan
from lossmith.spans.tokens import TokenSpan, kept_spans, token_offsets, token_spans


def test_all_tokens_that_share_a_character_are_covered() -> None:
    pairs = [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert token_spans([CharSpan("a", 1, 2, 0)], token_offsets(pairs), "a🍳b")[0] == [TokenSpan("a", 1, 4, 0)]


def test_a_gap_that_the_tokenizer_left_moves_no_edge() -> None:
    # "é" at 1 has no token: the span keeps the characters that have one.
    pairs = [(0, 1), (2, 4), (5, 6)]
    assert token_spans([CharSpan("a", 1, 4, 0)], token_offsets(pairs), "aébc d")[0] == [TokenSpan("a", 1, 2, 0)]
    assert token_spans([CharSpan("a", 4, 5, 0)], token_offsets(pairs), "aébc d") == ([], 0)


def test_tokens_without_text_cover_nothing() -> None:
    offsets = token_offsets([(0, 0), (0, 3), (3, 3), (0, 0)])
    assert token_spans([CharSpan("a", 0, 3, 0)], offsets, "abc") == ([TokenSpan("a", 1, 2, 0)], 0)


def test_straddles_are_tokens_with_foreign_text_and_counted_once() -> None:
    text = 'ab", cd'
    offsets = token_offsets([(0, 4), (4, 7)])
    spans = [CharSpan("a", 0, 2, 0), CharSpan("a", 1, 2, 1), CharSpan("b", 5, 7, 0)]
    assert token_spans(spans, offsets, text)[1] == 1  # the blank before cd is no foreign text
    assert token_spans([CharSpan("a", 0, 2, 0)], token_offsets([(0, 3), (3, 5)]), "ab cd")[1] == 0


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 40),
    st.integers(1, 10),
    st.tuples(st.integers(0, 24), st.integers(0, 24)),
)
def test_spans_run_from_the_first_to_the_last_token_that_overlaps_and_survive_cutting(
    tokens: list[tuple[int, bool]], start: int, width: int, kept: tuple[int, int]
) -> None:
    pairs, at = [], 0
    for length, textless in tokens:
        pairs += [(0, 0)] * textless + [(at, at + length)]
        at += length
    overlapping = [index for index, (a, b) in enumerate(pairs) if a < start + width and b > start]
    covered = list(range(overlapping[0], overlapping[-1] + 1)) if overlapping else []
    found, _ = token_spans([CharSpan("a", start, start + width, 0)], token_offsets(pairs), "x" * at)
    assert [i for span in found for i in range(span.start, span.end)] == covered
    low, high = (min(each, len(pairs)) for each in sorted(kept))
    cut = kept_spans(found, np.array([low <= index < high for index in range(len(pairs))]))
    assert [i + low for span in cut for i in range(span.start, span.end)] == [i for i in covered if low <= i < high]
