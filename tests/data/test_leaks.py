"""Leaks across parts: none is missed, none is made up, whatever the order of the records."""

from __future__ import annotations

import csv
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.data import leaks
from lossmith.data.leaks import find_leaks, normal_form, shared_clusters

# Few words, many of them rare, so that alike sets of every kind come up.
WORDS = st.lists(st.integers(0, 30).map(lambda n: f"w{n}"), max_size=14)


def jaccard(first: str, second: str) -> float:
    """The definition: of words with their repeats, shared over all."""
    a, b = Counter(first.split()), Counter(second.split())
    total = sum((a | b).values())
    return sum((a & b).values()) / total if total else 0.0


@given(texts=st.lists(WORDS.map(" ".join), min_size=2, max_size=25), threshold=st.sampled_from([0.5, 0.6, 0.8, 0.9]))
def test_pairs_are_those_of_the_definition(texts: list[str], threshold: float) -> None:
    parts = [number % 3 for number in range(len(texts))]
    found = find_leaks([str(n) for n in range(len(texts))], texts, parts, threshold=threshold)
    distinct = {(text, part): n for n, (text, part) in reversed(list(enumerate(zip(texts, parts, strict=True))))}
    expected = {
        tuple(sorted((a, b))): jaccard(texts[a], texts[b])
        for a in distinct.values()
        for b in distinct.values()
        if a < b and parts[a] != parts[b] and texts[a] != texts[b] and jaccard(texts[a], texts[b]) >= threshold - 1e-9
    }
    assert {(int(leak.first), int(leak.second)): pytest.approx(leak.similarity) for leak in found.near} == expected
    same = {number for number, text in enumerate(texts) if text and parts[texts.index(text)] != parts[number]}
    assert {int(leak.second) for leak in found.exact} == same


def test_planted_leaks_are_found_and_told_by_their_ids() -> None:
    generator = np.random.default_rng(0)
    texts = [" ".join(f"word{n}" for n in generator.integers(0, 5000, 30)) for _ in range(400)]
    parts = [number % 5 for number in range(400)]
    ids = [f"r{number}" for number in range(400)]
    texts[101] = texts[0].upper().replace(" ", "  ")
    words = texts[202].split()
    texts[8] = " ".join([*words[:10], "another", *words[11:], "end"])
    found = find_leaks(ids, texts, parts)
    assert [(leak.first, leak.second, leak.parts) for leak in found.exact] == [("r0", "r101", (0, 1))]
    assert [(leak.first, leak.second, leak.parts) for leak in found.near] == [("r8", "r202", (3, 2))]
    assert 0.8 <= found.near[0].similarity < 1
    assert found and found.complete


def test_records_of_one_part_are_no_leak() -> None:
    assert not find_leaks(["a", "b"], ["one and the same text"] * 2, [3, 3])
    assert not find_leaks([], [], [])
    assert not find_leaks(["a", "b"], ["!!!", "..."], [0, 1])


def test_empty_texts_share_nothing() -> None:
    assert not find_leaks(["a", "b", "c"], ["", " \n", ""], [0, 1, 2])


def test_normalisation() -> None:
    assert normal_form("Caf\u00e9\u00a0 STRASSE") == normal_form("cafe\u0301 stra\u00dfe")
    found = find_leaks(
        ["a", "b"],
        [
            "\u4eca\u65e5\u306f\u3068\u3066\u3082\u5bd2\u3044\u3067\u3059\u306d",
            "\u4eca\u65e5\u306f\u3068\u3066\u3082\u6691\u3044\u3067\u3059\u306d",
        ],
        [0, 1],
    )
    assert len(found.near) == 1 and 0.8 <= found.near[0].similarity < 1


def test_clusters_in_two_parts() -> None:
    assert shared_clusters(["a", "b", "a", None, None], [0, 0, 2, 1, 2]) == (("a", (0, 2)),)
    assert find_leaks(["1", "2"], ["x", "y"], [0, 1], clusters=["c", "c"]).clusters == (("c", (0, 1)),)


def test_comparing_stops_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "MOST_COMPARED", 1000)
    monkeypatch.setattr(leaks, "_BLOCK", 100)
    texts = [f"the same words in every text but number{n}" for n in range(200)]
    found = find_leaks([str(n) for n in range(200)], texts, [n % 2 for n in range(200)], threshold=0.7)
    assert not found.complete and found.near


def test_twenty_thousand_tweets_take_seconds(shared_data: Path) -> None:
    with (shared_data / "davidson_hate_offensive" / "labeled_data.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["tweet"] for row in csv.DictReader(file)]
    parts = np.random.default_rng(0).integers(0, 5, len(texts)).tolist()
    begin = time.process_time()
    found = find_leaks([str(n) for n in range(len(texts))], texts, parts)
    assert time.process_time() - begin < 5  # measured: 0.5 s
    assert len(texts) == 20620 and found.complete
    assert (len(found.exact), len(found.near)) == (10, 305)
