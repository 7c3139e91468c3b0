"""Vectors of documents: what they are, that none is computed twice, and what a killed process leaves."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossmith.models.encoders.encoder import Encoded
from lossmith.tasks import document_vectors
from lossmith.tasks.chunk_texts import chunk_texts
from lossmith.tasks.document_vectors import embed, store_of, text_vectors, warn_of_cut
from tests.tiny_encoder import save_tiny_encoder

from .documents import Letters, write_documents


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


DOCUMENTS = [["aab", "cd cd", "xyz"], [], ["cd cd"], ["b", "aab", "bd", "b"]]


def unit(text: str) -> np.ndarray:
    counts = Letters.count(text).astype(np.float64)
    return counts / (np.linalg.norm(counts) or 1.0)


def test_each_row_has_the_unit_vectors_of_its_chunks(tmp_path: Path) -> None:
    pairs = ["abc", None, "abc", "dd"]
    file = write_documents(tmp_path / "train.parquet", DOCUMENTS, pairs)
    found = embed(file, Letters())
    assert len(found) == 4
    assert found.lengths.tolist() == [3, 0, 1, 4]
    for row, chunks in enumerate(DOCUMENTS):
        expected = np.array([unit(chunk) for chunk in chunks]).reshape(len(chunks), 4)
        np.testing.assert_allclose(found.rows(row), expected, atol=1e-7)
        assert found.rows(row).dtype == np.float32
        text = " ".join(chunks)
        assert [text[a:b] for a, b in found.units(row).tolist()] == chunks
        pair = found.pair(row)
        assert (pair is None) == (pairs[row] is None)
        if pair is not None:
            np.testing.assert_allclose(pair, unit(str(pairs[row])), atol=1e-7)
    assert found.rows(0)[2].tolist() == [0, 0, 0, 0]


def test_a_vector_for_each_token_with_its_characters(tmp_path: Path) -> None:
    documents = [["ab c", "dd"], [], ["a  b b"], ["ab c", "   "]]
    file = write_documents(tmp_path / "train.parquet", documents, ["a b", None, None, "dd"])
    found = embed(file, Letters(per_token=True))
    words = [["ab", "c", "dd"], [], ["a", "b", "b"], ["ab", "c", "   "]]
    assert found.lengths.tolist() == [3, 0, 3, 3]
    for row, own in enumerate(words):
        text = " ".join(documents[row])
        assert [text[a:b] for a, b in found.units(row).tolist()] == own
        np.testing.assert_allclose(found.rows(row), np.array([unit(word) for word in own]).reshape(-1, 4), atol=1e-7)
    # A second text is one vector: the direction of the mean of its tokens.
    np.testing.assert_allclose(found.pair(0), [0.5**0.5, 0.5**0.5, 0, 0], atol=1e-6)


def test_no_text_is_encoded_twice(tmp_path: Path) -> None:
    encoder = Letters()
    first = write_documents(tmp_path / "train.parquet", DOCUMENTS, ["b", None, "q", "q"])
    embed(first, encoder)
    assert sorted(encoder.asked) == sorted({*(chunk for chunks in DOCUMENTS for chunk in chunks), "q"})
    # Another run, fold or split has other rows of the same texts.
    again = Letters()
    told: list[tuple[int, int | None]] = []
    second = write_documents(tmp_path / "test.parquet", [["b", "new", "aab"]])
    found = embed(second, again, progress=lambda done, total: told.append((done, total)))
    assert again.asked == ["new"]
    assert told == [(1, 1)]
    np.testing.assert_allclose(found.rows(0)[2], unit("aab"), atol=1e-7)
    other = Letters(name="another")
    embed(second, other)
    assert sorted(other.asked) == ["aab", "b", "new"]


def test_chunks_that_an_encoder_cuts_are_counted_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_documents(tmp_path / "train.parquet", [["a b c", "a"], ["a b c", "a b"]])
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="lossmith"):
            found = embed(file, Letters(longest=2))
            warn_of_cut(found, Letters(longest=2), split="train")
        assert found.cut == 2
        assert "reads 2 tokens" in caplog.text
        assert "2 of 4 chunks (train)" in caplog.text
    caplog.clear()
    warn_of_cut(embed(file, Letters(longest=3)), Letters(longest=3), split="train")
    assert "tokens" not in caplog.text


def test_texts_of_criteria_come_through_the_same_store(tmp_path: Path) -> None:
    encoder = Letters()
    found = text_vectors(encoder, ["ab", "c", "ab"])
    np.testing.assert_allclose(found, [unit("ab"), unit("c"), unit("ab")], atol=1e-7)
    assert text_vectors(encoder, ["c", ""]).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert encoder.asked == ["ab", "c", ""]
    assert text_vectors(encoder, []).shape == (0, 4)


def test_a_document_of_several_criteria_is_read_once_for_fitting(tmp_path: Path) -> None:
    file = write_documents(tmp_path / "train.parquet", [["a", "b"], ["a", "b"], [], ["c"]], ["x", "y", "x", "x"])
    assert [*chunk_texts(file)] == ["a", "b", "c"]


def test_no_document_at_all(tmp_path: Path) -> None:
    found = embed(write_documents(tmp_path / "train.parquet", []), Letters())
    assert (len(found), found.lengths.tolist(), found.cut) == (0, [], 0)
    found = embed(write_documents(tmp_path / "test.parquet", [[]]), Letters())
    assert found.rows(0).shape == (0, 4)
    assert found.units(0).shape == (0, 2)


def test_a_worker_is_sent_no_vectors(tmp_path: Path) -> None:
    chunks = [f"{'a' * (number % 50)}{'b' * (number // 50)}" for number in range(500)]
    found = embed(write_documents(tmp_path / "train.parquet", [chunks]), Letters())
    before = found.rows(0)
    sent = pickle.dumps(found)
    assert len(sent) < 500 * (8 + 4 + 4) + 4000
    np.testing.assert_array_equal(pickle.loads(sent).rows(0), before)


def test_long_work_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(document_vectors, "TOLD_SECONDS", 0)
    monkeypatch.setattr(document_vectors, "BLOCK_TEXTS", 2)
    with caplog.at_level(logging.INFO, logger="lossmith"):
        embed(write_documents(tmp_path / "train.parquet", [["a", "b", "a", "c", "d"]]), Letters())
    told = [record.getMessage() for record in caplog.records]
    assert told == ["2 of 4 texts are encoded; 0 min left", "vectors of 5 chunks (train): 4 texts encoded"]


def test_no_weights_are_loaded_where_all_vectors_are_there(tmp_path: Path) -> None:
    from lossmith.config.model import ModelConfig
    from lossmith.models.encoders.find import find_encoder
    from lossmith.models.precision import choose_precision

    documents = [["oats and rye", "rye bread"], ["a long loaf of bread"]]
    save_tiny_encoder(tmp_path / "base", [text for chunks in documents for text in chunks])

    def encoder() -> Any:
        config = ModelConfig(base=str(tmp_path / "base"), pooling="tokens")
        return find_encoder(config, precision=choose_precision(device="cpu"), training_chunks=lambda: iter(()), seed=0)

    file, first, second = write_documents(tmp_path / "train.parquet", documents, ["rye", None]), encoder(), encoder()
    one, again = embed(file, first), embed(file, second)
    assert "_model" in vars(first)
    assert not {"_model", "_tokenizer"} & vars(second).keys()
    for row in range(2):
        np.testing.assert_array_equal(one.rows(row), again.rows(row))
    np.testing.assert_allclose(np.linalg.norm(again.rows(1), axis=1), 1.0, atol=1e-6)
    assert again.units(0)[-1].tolist()[1] == len("oats and rye rye bread")


class Slow(Letters):
    """Takes its time, so that it can be killed."""

    def encode(self, texts: object) -> list[Encoded]:
        time.sleep(0.05)
        return super().encode(texts)  # type: ignore[arg-type]


def _embed(file: str, block: int, ready: object, asked: object) -> None:
    document_vectors.BLOCK_TEXTS = block
    encoder = Slow()
    ready.wait()  # type: ignore[attr-defined]
    embed(Path(file), encoder)
    asked.put(len(encoder.asked))  # type: ignore[attr-defined]


def test_a_killed_process_goes_on_and_two_share_the_work(tmp_path: Path) -> None:
    chunks = [f"{'ab' * number} {number}" for number in range(400)]
    file = write_documents(tmp_path / "train.parquet", [chunks[start : start + 40] for start in range(0, 400, 40)])
    context = multiprocessing.get_context("fork")
    ready, asked = context.Event(), context.SimpleQueue()
    ready.set()
    killed = context.Process(target=_embed, args=(str(file), 10, ready, asked))
    killed.start()
    store = store_of(Letters())
    while len(store) < 60:
        time.sleep(0.01)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join(60)
    kept = len(store)
    assert 60 <= kept < 400
    workers = [context.Process(target=_embed, args=(str(file), 10, ready, asked)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert asked.get() + asked.get() == 400 - kept
    last = Letters()
    found = embed(file, last)
    assert last.asked == []
    np.testing.assert_allclose(found.rows(3), [unit(chunk) for chunk in chunks[120:160]], atol=1e-7)
