"""Deletion and sufficiency curves of a score that is known for every part of a document."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lossmith.evidence.faithfulness import DRAWS, Faithfulness


def share_of_the_decisive(vectors, mask, pair):
    """A model whose one logit is how many decisive chunks there are; a chunk's first number says how decisive it is."""
    return SimpleNamespace(logits=(vectors[..., 0] * mask).sum(1, keepdim=True))


def as_they_are(logits: np.ndarray) -> np.ndarray:
    return logits[:, 0]


def tried(decisive: list[float], *, order: list[int], seed: int = 0) -> Faithfulness:
    found = Faithfulness(seed)
    vectors = torch.tensor(decisive)[:, None]
    found.add(share_of_the_decisive, vectors, None, order=np.array(order), score=as_they_are, cluster=None)
    return found


def test_deletion_takes_the_first_out_and_sufficiency_leaves_them_alone():
    found = tried([0.0, 3.0, 0.0, 1.0], order=[1, 3, 0, 2]).as_json(resamples=1000)
    assert found["chunks"] == [1, 2, 3]
    assert [point["value"] for point in found["deletion"]["evidence"]] == [3, 4, 4]
    assert [point["value"] for point in found["sufficiency"]["evidence"]] == [1, 0, 0]


def test_random_chunks_fall_by_their_share_on_average():
    found = Faithfulness(0)
    vectors = torch.tensor([[0.0], [4.0], [0.0], [0.0]])
    for number in range(200):
        order = np.array([1, 0, 2, 3])
        found.add(share_of_the_decisive, vectors, None, order=order, score=as_they_are, cluster=number)
    told = found.as_json(resamples=1000)
    assert told["n"] == 200
    assert told["deletion"]["random"][0]["value"] == pytest.approx(1.0, abs=4 * 4 * 0.44 / np.sqrt(200 * DRAWS))
    assert told["deletion"]["random"][1]["value"] == pytest.approx(2.0, abs=0.2)
    assert told["summary"]["deletion"]["low"] > 1
    assert told["summary"]["sufficiency"]["high"] < -1


def test_a_document_has_points_for_fewer_chunks_than_it_has():
    found = tried([1.0, 0.0], order=[0, 1])
    vectors = torch.ones(9, 1)
    found.add(share_of_the_decisive, vectors, None, order=np.arange(9), score=as_they_are, cluster=None)
    found.add(share_of_the_decisive, torch.ones(1, 1), None, order=np.arange(1), score=as_they_are, cluster=None)
    told = found.as_json(resamples=1000)
    assert told["n"] == 2
    assert told["chunks"] == [1, 2, 3, 5, 8]
    assert [point["n"] for point in told["deletion"]["evidence"]] == [2, 1, 1, 1, 1]


def test_nothing_to_choose_from_is_told_as_nothing():
    told = tried([1.0], order=[0]).as_json(resamples=1000)
    assert told == {"chunks": [], "deletion": None, "sufficiency": None, "summary": None, "n": 0}


def test_the_same_documents_give_the_same_curves():
    one, two, other = (tried([0.0, 3.0, 0.0, 1.0, 2.0], order=[1, 4, 3, 0, 2], seed=seed) for seed in (1, 1, 2))
    assert one.as_json(resamples=1000) == two.as_json(resamples=1000)
    assert one.as_json(resamples=1000) != other.as_json(resamples=1000)
