"""The nearest chunks of a corpus against all cosines at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lossmith.tasks import nearest_chunks as module
from lossmith.tasks.document_vectors import embed
from lossmith.tasks.nearest_chunks import Near, nearest_chunks, nearest_rows

from .documents import Letters, write_documents


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("block", [7, 64, 10_000])
@pytest.mark.parametrize("k", [1, 5, 300])
def test_no_block_hides_what_is_nearest(block: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    draw = np.random.default_rng(0)
    stored = draw.standard_normal((400, 6)).astype(np.float32)
    places = np.sort(draw.permutation(400)[:250])
    sought = draw.standard_normal((3, 6)).astype(np.float32)
    products, numbers = nearest_rows(stored, places, sought, k)
    true = sought @ stored[places].T
    kept = min(k, 250)
    assert products.shape == numbers.shape == (3, kept)
    np.testing.assert_allclose(products, np.take_along_axis(true, numbers, axis=1), rtol=1e-5)
    np.testing.assert_allclose(-np.sort(-products, axis=1), -np.sort(-true, axis=1)[:, :kept], rtol=1e-5)


def test_a_text_counts_once_where_it_comes_first(tmp_path: Path) -> None:
    # Another split of the same store lies between.
    embed(write_documents(tmp_path / "test.parquet", [["abcd", "aaa b"]]), Letters())
    documents = [[], ["cc", "ab"], [], ["aab", "ab", "d"], ["ab", "a"], []]
    vectors = embed(write_documents(tmp_path / "train.parquet", documents), Letters())
    first, second = nearest_chunks(vectors, np.array([[5.0, 0, 0, 0], [0, 0, 0.1, 0]]), 3)
    assert [(near.row, near.chunk) for near in first] == [(4, 1), (3, 0), (1, 1)]
    assert [near.cosine for near in first] == pytest.approx([1.0, 2 / 5**0.5, 0.5**0.5], abs=1e-6)
    assert second[0] == Near(1, 0, 1.0)
    assert [near.cosine for near in nearest_chunks(vectors, np.zeros((1, 4)), 2)[0]] == [0, 0]
    assert len(nearest_chunks(vectors, np.eye(4), 100)[0]) == 5


def test_tokens_are_found_in_their_row(tmp_path: Path) -> None:
    documents = [["a b", "c"], ["d d"], ["b aab"]]
    vectors = embed(write_documents(tmp_path / "train.parquet", documents), Letters(per_token=True))
    found = nearest_chunks(vectors, np.array([[1.0, 0.9, 0, 0]]), 2)[0]
    assert [(near.row, near.chunk) for near in found] == [(2, 1), (0, 0)]


def test_a_corpus_without_chunks(tmp_path: Path) -> None:
    vectors = embed(write_documents(tmp_path / "train.parquet", [[], []]), Letters())
    assert nearest_chunks(vectors, np.eye(4), 3) == [[], [], [], []]
