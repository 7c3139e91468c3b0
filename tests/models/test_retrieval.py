"""The laws of reading a document by queries: order, padding, too few chunks and too many, criteria, gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lossmith.errors import InputError
from lossmith.losses import Objective, Outputs
from lossmith.models.leave_one_out import leave_one_out
from lossmith.models.query_init import Question, direction_of, first_queries
from lossmith.models.retrieval import RetrievalClassifier, RetrievalShape
from tests.evidence.plain_reader import one_after_another

WIDTH = 16
SHAPE = RetrievalShape(WIDTH, ("a", "b", "c"), "softmax", queries=4, k=3)
SHAPES = {
    "queries": SHAPE,
    "mlp": replace(SHAPE, classifier="mlp", classifier_hidden_size=8),
    "mean": replace(SHAPE, aggregate="mean"),
    "criteria": replace(SHAPE, criterion="text"),
    "mean under criteria": replace(SHAPE, criterion="text", aggregate="mean"),
    "heads": replace(SHAPE, criterion="heads", criteria=("one", "two")),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def vectors_of(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed)), dim=-1)


def model_of(shape: RetrievalShape) -> RetrievalClassifier:
    criteria = vectors_of(2, seed=9) if shape.criterion == "heads" else None
    return RetrievalClassifier(shape, criteria=criteria, seed=1).eval()


def pairs_of(shape: RetrievalShape, documents: int) -> Tensor | None:
    """A criterion for each document, known to the model."""
    return None if shape.criterion is None else vectors_of(2, seed=9)[torch.arange(documents) % 2]


def whole(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bool)


@every_shape
def test_the_order_of_chunks_changes_nothing(shape: RetrievalShape):
    model, chunks, pair = model_of(shape), vectors_of(3, 11), pairs_of(shape, 3)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(2))
    first, second = model(chunks, whole(3, 11), pair), model(chunks[:, order], whole(3, 11), pair)
    torch.testing.assert_close(second.logits, first.logits, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(second.weights, first.weights[..., order], rtol=1e-5, atol=1e-6)


@every_shape
def test_padding_changes_nothing(shape: RetrievalShape):
    model, chunks, pair = model_of(shape), vectors_of(2, 5), pairs_of(shape, 2)
    alone = model(chunks, whole(2, 5), pair)
    # What is behind the mask would be nearer to a query than any chunk.
    padded = torch.cat(
        [chunks, model.queries.detach()[:1].expand(2, 6, -1) if len(model.queries) else chunks[:, :3]], 1
    )
    mask = torch.arange(padded.shape[1])[None] < torch.tensor([5, 5])[:, None]
    found = model(padded, mask, pair)
    torch.testing.assert_close(found.logits, alone.logits, rtol=1e-6, atol=1e-6)
    assert not found.weights[..., 5:].any()
    assert not found.chosen[..., 5:].any()


@every_shape
def test_a_document_without_chunks_has_a_finite_score_and_gradient(shape: RetrievalShape):
    model, pair = model_of(shape), pairs_of(shape, 2)
    mask = torch.tensor([[True] * 4, [False] * 4])
    found = model(vectors_of(2, 4), mask, pair)
    assert bool(found.logits.isfinite().all())
    assert not found.weights[1].any()
    torch.testing.assert_close(found.weights[0].sum(-1), torch.ones(found.weights.shape[1]))
    nothing = model(torch.zeros(2, 0, WIDTH), whole(2, 0), pair)
    torch.testing.assert_close(nothing.logits[1], found.logits[1])
    found.logits.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_each_query_reads_its_nearest_chunks_by_the_softmax_of_their_cosines():
    model, chunks = model_of(SHAPE), 5 * vectors_of(1, 9)
    with torch.no_grad():
        model.queries *= torch.tensor([0.1, 1.0, 7.0, 100.0])[:, None]
    unit = normalize(chunks, dim=-1)
    found = model(unit, whole(1, 9))
    cosines = normalize(model.queries, dim=1) @ unit[0].T
    for query in range(4):
        places = cosines[query].argsort(descending=True)[:3]
        expected = torch.zeros(9)
        expected[places] = torch.softmax(cosines[query, places] / 0.1, 0)
        torch.testing.assert_close(found.weights[0, query], expected)
        assert set(found.chosen[0, query].nonzero()[:, 0].tolist()) == set(places.tolist())
    torch.testing.assert_close(found.cosines[0], cosines)


def test_fewer_chunks_than_k_are_all_read():
    found = model_of(SHAPE)(vectors_of(1, 2), whole(1, 2))
    assert bool(found.chosen.all())
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(1, 4))


@every_shape
@torch.no_grad()
def test_two_documents_under_one_criterion_score_differently(shape: RetrievalShape):
    pair = pairs_of(shape, 1)
    same = None if pair is None else pair.expand(2, -1)
    logits = model_of(shape)(vectors_of(2, 6), whole(2, 6), same).logits
    assert float((logits[0] - logits[1]).abs().max()) > 1e-3


@torch.no_grad()
def test_one_document_under_two_criteria_scores_differently_and_is_read_differently():
    model, chunks = model_of(SHAPES["criteria"]), vectors_of(1, 6).expand(2, -1, -1)
    found = model(chunks, whole(2, 6), vectors_of(2, seed=5))
    assert float((found.logits[0] - found.logits[1]).abs().max()) > 1e-3
    assert float((found.weights[0] - found.weights[1]).abs().max()) > 1e-3


def test_a_criterion_without_a_classifier_of_its_own_has_no_logits():
    model = model_of(SHAPES["heads"])
    known = vectors_of(2, seed=9)[:1]
    logits = model(vectors_of(2, 6), whole(2, 6), torch.cat([known, vectors_of(1, seed=77)])).logits
    assert bool(logits[0].isfinite().all())
    assert bool(logits[1].isnan().all())


def test_a_criterion_that_is_missing_or_not_asked_for_is_refused():
    with pytest.raises(InputError, match="by a criterion"):
        model_of(SHAPES["criteria"])(vectors_of(1, 3), whole(1, 3))
    with pytest.raises(InputError, match="documents alone"):
        model_of(SHAPE)(vectors_of(1, 3), whole(1, 3), vectors_of(1))


def test_the_gradient_of_the_penalty_reaches_the_queries_and_makes_them_less_alike():
    begin = normalize(vectors_of(1) + 0.3 * vectors_of(4, seed=3), dim=1)
    model = RetrievalClassifier(SHAPE, queries=begin)
    objective = Objective({"class_cross_entropy": 1.0, "query_diversity": 5.6})

    def penalty() -> float:
        labels = torch.tensor([0, 2])
        logits = model(vectors_of(2, 5), whole(2, 5)).logits
        value = objective.on_outputs(Outputs(logits=logits, labels=labels, queries=model.queries))
        value.total.backward()
        return value.parts["query_diversity"]

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        values.append(penalty())
        assert model.queries.grad is not None
        assert bool((model.queries.grad.norm(dim=1) > 0).all())
        optimizer.step()
    assert values[-1] < 0.5 * values[0]


@every_shape
def test_what_is_left_of_a_document_is_what_the_model_says_without_the_chunk(shape: RetrievalShape):
    model, chunks, pair = model_of(shape), vectors_of(8), pairs_of(shape, 1)
    left = leave_one_out(model, chunks, one_after_another(8), None if pair is None else pair[0])
    np.testing.assert_allclose(left.apart, np.tile(left.whole, (8, 1)))
    for chunk in range(8):
        others = torch.cat([chunks[:chunk], chunks[chunk + 1 :]])[None]
        expected = model(others, whole(1, 7), pair).logits[0].double().detach()
        np.testing.assert_allclose(left.without[chunk], expected, rtol=1e-5, atol=1e-6)


def planted(documents: int, chunks: int, *, seed: int = 0) -> Question:
    """Random directions, of which one in each second document is near to a direction that all of these share."""
    draw = np.random.default_rng(seed)
    found = draw.normal(size=(documents, chunks, 64))
    found[::2, 0] += 12 * np.eye(64)[0]
    found /= np.linalg.norm(found, axis=2, keepdims=True)
    until = np.arange(documents + 1) * chunks
    return Question(found.reshape(-1, 64), until, np.arange(documents) % 2 == 0)


def test_a_direction_is_found_that_one_chunk_in_sixty_has():
    question = planted(100, 60)
    nearest = (question.chunks @ direction_of(question)).reshape(100, 60).argmax(axis=1)
    assert (nearest[::2] == 0).mean() == 1.0
    begun = first_queries([question], 8, width=64, seed=0)
    assert begun.queries.shape == (8, 64)
    np.testing.assert_allclose(np.linalg.norm(begun.queries, axis=1), 1, rtol=1e-5)
    assert begun.kinds == ("directions that tell classes apart (1)", "centres of the chunks found so (3)", "noise (4)")
    np.testing.assert_array_equal(first_queries([question], 8, width=64, seed=0).queries, begun.queries)


def test_a_question_that_nothing_tells_leaves_noise():
    question = planted(6, 3)
    alike = replace(question, truth=np.ones(6, dtype=bool))
    begun = first_queries([alike], 4, width=64, seed=0)
    assert begun.kinds == ("noise (4)",)
    assert len(begun.queries) == 4


def test_more_questions_than_queries_leave_the_clearest():
    clear, unclear = planted(40, 10), planted(40, 10, seed=1)
    mixed = replace(unclear, truth=np.random.default_rng(3).permutation(unclear.truth))
    begun = first_queries([mixed, clear], 1, width=64, seed=0)
    np.testing.assert_allclose(begun.queries[0], direction_of(clear), rtol=1e-6)


@torch.no_grad()
def test_temperature_and_k_decide_how_much_is_read():
    chunks, mask = vectors_of(1, 12), whole(1, 12)
    sharp = model_of(replace(SHAPE, temperature=1e-3))(chunks, mask).weights
    flat = model_of(replace(SHAPE, temperature=1e3, k=12))(chunks, mask).weights
    assert float(sharp.max(-1).values.min()) > 0.9
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / 12), rtol=1e-2, atol=1e-3)
    assert math.isclose(float(flat.sum()), 4, rel_tol=1e-5)
