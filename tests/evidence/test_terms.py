"""Terms of chunks, counted as words and as occurrences."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from lossmith.evidence.terms import TermCounts
from lossmith.metrics.evidence import weighted_log_odds

TEXT = "We may end it.\nYou pay at once, it's 30 DAYS. We may end the end."
CHUNKS = [(0, 14), (15, 45), (46, 65), (0, 45)]


def test_occurrences_are_those_of_the_chunks_texts():
    read = np.array([[1.0, 0.0, 0.25, 1.0], [0.0, 0.0, 1.0, 0.5]])
    counts = TermCounts(2)
    counts.add(TEXT, CHUNKS, read)
    counts.add(TEXT, CHUNKS, 1 - read)
    for query in range(2):
        inside, rest = Counter(), Counter()
        for weights in (read[query], 1 - read[query]):
            for (start, end), weight in zip(CHUNKS, weights, strict=True):
                for word in re.findall(r"[a-z](?:[\w'’-]*\w)", TEXT[start:end].lower()):
                    inside[word] += weight
                    rest[word] += 1 - weight
        names = sorted(set(inside) | set(rest))
        scores = weighted_log_odds(np.array([inside[n] for n in names]), np.array([rest[n] for n in names]))
        expected = {name: round(float(score), 2) for name, score in zip(names, scores, strict=True) if score > 0}
        assert dict(counts.top(query, 99)) == expected
        assert "it's" in names
        assert "30" not in names


def test_chunks_that_are_parts_of_words_count_whole_words():
    counts = TermCounts(1)
    counts.add("notwithstanding the law", [(0, 3), (3, 15), (16, 19), (20, 23)], np.array([[1, 1, 0, 0]]))
    assert [term for term, _ in counts.top(0, 9)] == ["notwithstanding"]


def test_a_text_without_words_and_a_document_without_chunks_count_nothing():
    counts = TermCounts(1)
    counts.add("1 2 3", [(0, 5)], np.ones((1, 1)))
    counts.add("some words", [], np.zeros((1, 0)))
    assert counts.top(0, 9) == []


def test_many_terms_are_kept():
    words = [f"w{number}x" for number in range(5000)]
    text = " ".join(words)
    half = text.index("w2500x")
    counts = TermCounts(1)
    counts.add(text, [(0, half), (half, len(text))], np.array([[1, 0]]))
    assert {term for term, _ in counts.top(0, 9999)} == set(words[:2500])
