"""Documents to chunks: every unit is in one, offsets are characters, and the time is linear."""

from __future__ import annotations

import itertools
import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.config.data import ChunkConfig
from lossmith.data.chunks import find_chunks, windows

KINDS = get_args(ChunkConfig.model_fields["by"].annotation)
WITHOUT_TOKENIZER = [by for by in KINDS if by != "tokens"]
# White space of every kind, scripts with and without blanks, marks that sentence splitters look at, emoji.
PARTS = ["a", "B", "K", "1.", "e.g. ", "Mr. ", ". ", "!", "?", "…", "。", "日本", "é", "😀", '"', "»", "(", ")", "-"]
BLANKS = [" ", "\n", "\r\n", "\n\n", "\t", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000", "\ufeff", "\0"]
TEXTS = st.lists(st.sampled_from(PARTS + BLANKS), max_size=40).map("".join) | st.text(max_size=60)


def cut(text: str, **chunks: Any) -> list[str]:
    return [text[start:end] for start, end in find_chunks(text, ChunkConfig(**chunks))]


@given(text=TEXTS, by=st.sampled_from(WITHOUT_TOKENIZER), language=st.sampled_from(["en", "de", "ja", "xx"]))
def test_chunks_of_one_unit_hold_all_that_is_not_blank_once(text: str, by: str, language: str) -> None:
    found = find_chunks(text, ChunkConfig(by=by, size=1, overlap=0, language=language))
    assert all(text[start:end] and text[start:end] == text[start:end].strip() for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    assert "".join("".join(text[start:end] for start, end in found).split()) == "".join(text.split())


@given(text=TEXTS, size=st.integers(1, 6), overlap=st.integers(0, 5))
def test_windows_share_what_was_asked_and_leave_nothing_out(text: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    units = find_chunks(text, ChunkConfig(by="words", size=1, overlap=0))
    found = windows(units, size=size, overlap=overlap)
    held = [[unit for unit in units if start <= unit[0] and unit[1] <= end] for start, end in found]
    assert {unit for chunk in held for unit in chunk} == set(units)
    assert all(before[-overlap:] == after[:overlap] for before, after in itertools.pairwise(held) if overlap)
    assert all(len(chunk) == size for chunk in held[:-1])
    assert not found or len(held[-1]) > (overlap if len(held) > 1 else 0)


def test_units_are_sentences_lines_and_words() -> None:
    text = "Dr. Smith paid 3.50 dollars.\r\nIt was \u201ctoo much\u201d!\n\n😀 He left."
    one = {"size": 1, "overlap": 0}
    assert cut(text, by="lines", **one) == [
        "Dr. Smith paid 3.50 dollars.",
        "It was \u201ctoo much\u201d!",
        "😀 He left.",
    ]
    assert cut(text, by="sentences", **one) == cut(text, by="lines", **one)
    assert cut(text, by="words", size=3, overlap=1)[-2:] == ["much\u201d!\n\n😀 He", "He left."]
    assert cut("今日は a b", by="words", **one) == ["今", "日", "は", "a", "b"]


def test_documents_without_units_have_no_chunk_and_a_giant_unit_is_one() -> None:
    for by in WITHOUT_TOKENIZER:
        assert cut("", by=by) == cut(" \r\n\t\u3000 ", by=by) == []
    giant = "and so on " * 20_000 + "end"
    assert cut(giant, by="sentences") == cut(giant, by="lines") == [giant]


def test_a_quote_or_a_bracket_that_is_never_closed_takes_no_sentences_with_it() -> None:
    sentences = [f"Guideline {n} was met by most of the wards that took part in the trial." for n in range(30)]
    for stray in ['"', "\u201c", "(", "\u00ab"]:
        held = [*sentences]
        held[3], held[25] = held[3].replace("most", f"most{stray};"), held[25].replace("most", f"most{stray};")
        assert cut(" ".join(held), size=1, overlap=0) == held
    said = 'She said "Wait. I am coming." Then she left.'
    assert cut(said, size=1, overlap=0) == ['She said "Wait. I am coming."', "Then she left."]


def test_tokens_are_those_of_the_tokenizer_whatever_it_cuts_itself(tokenizer: Any) -> None:
    text = "Salt the soup, then 😀 serve."
    tokenizer.backend_tokenizer.enable_truncation(4)
    try:
        found = find_chunks(text, ChunkConfig(by="tokens", size=8, overlap=2), tokenizer=tokenizer)
    finally:
        tokenizer.backend_tokenizer.no_truncation()
    assert found[0] == (0, 10)  # a token of this tokenizer is a byte; blanks are none
    assert found[-1][1] == len(text)
    assert all(text[start:end].strip() for start, end in found)


@pytest.mark.parametrize("by", WITHOUT_TOKENIZER)
def test_the_time_is_linear(by: str) -> None:
    sentence = "The fees of the service may change at any time, e.g. by notice.\n"
    seconds = []
    for size in (100_000, 1_600_000):
        text = sentence * (size // len(sentence))
        begun = time.process_time()
        found = find_chunks(text, ChunkConfig(by=by))
        seconds.append(time.process_time() - begun)
        assert len(found) > 100
    assert seconds[1] < 2  # 1.6 MB; measured 0.5 s and less
    assert seconds[1] < 60 * max(seconds[0], 0.005)
