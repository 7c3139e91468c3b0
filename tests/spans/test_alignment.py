"""Tokens found in a text one after another."""

from __future__ import annotations

import json
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.spans.alignment import align_tokens

WORDS = st.lists(st.sampled_from(["a", "b", "c", "the"]), min_size=1, max_size=9)


def every_way(tokens: list[str], words: list[str]) -> list[tuple[int, ...]]:
    places = combinations(range(len(words)), len(tokens))
    return [way for way in places if [words[place] for place in way] == tokens]


def runs(way: tuple[int, ...]) -> int:
    return 1 + sum(b != a + 1 for a, b in pairwise(way)) if way else 0


@given(words=WORDS, tokens=st.lists(st.sampled_from(["a", "b", "c", "the"]), max_size=5))
def test_the_way_with_the_fewest_intervals_is_found(words: list[str], tokens: list[str]) -> None:
    text = "  ".join(words)
    ways = every_way(tokens, words)
    found = align_tokens(tokens, text)
    if not ways:
        assert found is None
        return
    assert found is not None
    assert len(found) == min(runs(way) for way in ways)
    assert [word for start, end in found for word in text[start:end].split()] == tokens
    assert all(a[1] < b[0] for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("tokens", "text", "expected"),
    [
        (["on"], "an onion on top", [(9, 11)]),
        (["salt", "pepper"], "salt, pepper", [(0, 4), (6, 12)]),
        (["c++", "."], "in c++ .", [(3, 8)]),
        (["Salt"], "salt", None),
        (["b", "a"], "a b", None),
        (["a", "a"], "a", None),
        ([], "anything", []),
        (["x"] * 100, " ".join(["x"] * 200), [(0, 199)]),
    ],
)
def test_whole_words_in_order(tokens: list[str], text: str, expected: list[tuple[int, int]] | None) -> None:
    assert align_tokens(tokens, text) == expected


def test_every_rationale_of_hatexplain_stands_in_its_post(shared_data: Path) -> None:
    text = (shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    with_rationale = [row for row in rows if row["rationale_text"]]
    aligned = 0
    for row in with_rationale:
        tokens = row["rationale_text"].split()
        found = align_tokens(tokens, row["text"])
        aligned += found is not None
        assert [word for start, end in found or [] for word in row["text"][start:end].split()] == tokens
    # Measured on the file: all of them.
    assert (len(with_rationale), aligned) == (1583, 1583)
