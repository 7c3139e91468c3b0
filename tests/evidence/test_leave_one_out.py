"""What is left of a document without each chunk, against asking for it chunk by chunk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lossmith.models import leave_one_out as module
from lossmith.models.leave_one_out import leave_one_out, logits_of_parts
from tests.evidence.plain_reader import PlainReader, one_after_another, unit_vectors


@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 25])
def test_what_is_left_is_what_the_document_without_the_chunk_gives(chunks: int):
    reader, vectors = PlainReader.of(), unit_vectors(chunks)
    left = leave_one_out(reader, vectors, one_after_another(chunks))
    for gone in range(chunks):
        rest = torch.cat([vectors[:gone], vectors[gone + 1 :]])
        expected = reader(rest[None], torch.ones(1, chunks - 1, dtype=torch.bool)).logits[0]
        np.testing.assert_allclose(left.without[gone], expected, atol=1e-5)
    whole = reader(vectors[None], torch.ones(1, chunks, dtype=torch.bool))
    np.testing.assert_allclose(left.whole, whole.logits[0], atol=1e-6)
    np.testing.assert_allclose(left.weights, whole.weights[0], atol=1e-6)
    assert left.read.sum() <= reader.k * len(reader.queries)
    assert left.read.tolist() == (whole.weights[0] > 0).any(0).tolist()


@pytest.mark.parametrize(("chunks", "shared"), [(1, 4), (2, 4), (7, 4), (25, 4), (25, 7)])
def test_of_chunks_that_share_text_each_is_left_out_where_the_others_are_not(chunks: int, shared: int):
    reader, vectors, units = PlainReader.of(), unit_vectors(chunks), one_after_another(chunks, shared=shared)
    left = leave_one_out(reader, vectors, units)

    def logits(gone: list[int]) -> torch.Tensor:
        rest = [chunk for chunk in range(chunks) if chunk not in gone]
        return reader(vectors[None, rest], torch.ones(1, len(rest), dtype=torch.bool)).logits[0]

    reach = 1 if shared == 4 else 3
    for own in np.flatnonzero(left.read):
        others = [chunk for chunk in range(chunks) if 0 < abs(chunk - own) <= reach]
        np.testing.assert_allclose(left.apart[own], logits(others), atol=1e-5)
        np.testing.assert_allclose(left.without[own], logits([*others, own]), atol=1e-5)


def test_what_stands_in_two_chunks_that_share_it_is_missed_with_either():
    needle = torch.tensor([1.0, 0.0, 0.0])
    others = torch.nn.functional.normalize(torch.tensor([[0.0, 1.0, 0.2]]).expand(6, -1), dim=1)
    vectors = torch.cat([others[:2], needle.expand(2, -1), others[2:]])
    reader = PlainReader(queries=needle[None], output=needle[None], k=2)
    left = leave_one_out(reader, vectors, one_after_another(8, shared=3))
    falls = (left.apart - left.without)[:, 0]
    np.testing.assert_allclose(falls[2:4], 1.0, atol=1e-3)
    np.testing.assert_allclose(np.delete(falls, [2, 3]), 0.0, atol=1e-3)


def test_a_document_without_chunks_has_logits_and_nothing_to_leave_out():
    left = leave_one_out(PlainReader.of(), torch.zeros(0, 6), one_after_another(0))
    assert left.whole.tolist() == [0, 0]
    assert left.without.shape == (0, 2)
    assert left.read.shape == (0,)


def test_of_a_long_document_only_what_could_be_read_is_tried():
    reader, vectors = PlainReader.of(), unit_vectors(4000)
    asked = []

    def watching(vectors, mask, pair):
        asked.append(tuple(mask.shape))
        return reader(vectors, mask, pair)

    left = leave_one_out(watching, vectors, one_after_another(4000))
    assert asked[0] == (1, 4000)
    most = reader.k * len(reader.queries)
    assert all(parts <= most and chunks <= most + len(reader.queries) for parts, chunks in asked[1:])
    gone = int(left.read.nonzero()[0][0])
    rest = torch.cat([vectors[:gone], vectors[gone + 1 :]])
    expected = reader(rest[None], torch.ones(1, 3999, dtype=torch.bool)).logits[0]
    np.testing.assert_allclose(left.without[gone], expected, atol=1e-5)


def test_parts_in_blocks_are_those_of_one_block(monkeypatch: pytest.MonkeyPatch):
    reader, vectors = PlainReader.of(), unit_vectors(10)
    kept = torch.rand(23, 10, generator=torch.Generator().manual_seed(3)) > 0.5
    whole = logits_of_parts(reader, vectors, kept)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 4 * vectors.numel())
    np.testing.assert_allclose(logits_of_parts(reader, vectors, kept), whole, atol=1e-6)
