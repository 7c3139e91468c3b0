"""The Sinkhorn term on spans: against geomloss on points made by hand, and its own laws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from geomloss import SamplesLoss
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses import Objective, embedding_scale

from .batches import make_batch, relative_error


def draw(points: int, width: int, seed: int) -> Tensor:
    return torch.randn(points, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def geomloss_value(x: Tensor, y: Tensor, *, p: int, blur: float, scaling: float) -> Tensor:
    loss = SamplesLoss("sinkhorn", p=p, blur=blur, scaling=scaling, backend="tensorized")
    return loss(x, y)


def term_value(batch: Any, **parameters: Any) -> Any:
    return Objective({"sinkhorn": {"span": "ingredients", **parameters}})(*batch.arguments(), **batch.keywords)


@pytest.mark.parametrize("points", ["tokens", "items"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("top_k", [None, 3])
@pytest.mark.usefixtures("small_tiles")
def test_term_is_the_mean_over_examples_of_geomloss(points: str, normalize: bool, top_k: int | None) -> None:
    batch = make_batch(40)
    matrix, scale = batch.keywords["embeddings"]
    p = torch.softmax(batch.hidden @ batch.weight.t(), 1)
    if top_k is not None:
        keep = torch.zeros_like(p).scatter(1, p.topk(top_k, 1).indices, 1.0)
        p = p * keep / (p * keep).sum(1, keepdim=True)
    predicted, gold = p @ matrix, matrix[batch.labels]
    item, example = batch.keywords["spans"]["ingredients"], batch.keywords["examples"]
    values = []
    for one in example[item >= 0].unique():
        inside = (example == one) & (item >= 0)
        x, y = predicted[inside], gold[inside]
        if points == "items":
            each = [inside & (item == number) for number in item[inside].unique()]
            x = torch.stack([predicted[mask].mean(0) for mask in each])
            y = torch.stack([gold[mask].mean(0) for mask in each])
        unit = scale if normalize else 1.0
        values.append(geomloss_value(x / unit, y / unit, p=2, blur=0.2, scaling=0.5))
    expected = torch.stack(values).mean()
    value = term_value(batch, points=points, normalize=normalize, top_k=top_k)
    assert value.parts["sinkhorn"] == pytest.approx(float(expected.detach()), rel=1e-6)
    for found, true in zip(*(torch.autograd.grad(v, batch.leaves) for v in (value.total, expected)), strict=True):
        assert relative_error(found, true) < 1e-4


def test_top_k_of_the_whole_vocabulary_is_the_plain_expectation() -> None:
    batch = make_batch(20)
    plain, all_words = term_value(batch), term_value(batch, top_k=1000)
    assert all_words.parts["sinkhorn"] == pytest.approx(plain.parts["sinkhorn"], rel=1e-9)
    for one, other in zip(*(torch.autograd.grad(v.total, batch.leaves) for v in (plain, all_words)), strict=True):
        assert relative_error(one, other) < 1e-9


def test_embeddings_are_constants_of_the_step() -> None:
    batch = make_batch(20, dtype=torch.float64)
    # Tied: the head's matrix is the embedding too, and learns as the head alone.
    tied = batch.weight.detach().clone().requires_grad_()
    batch.keywords["embeddings"] = (tied, 1.5)
    value = term_value(batch)
    assert torch.autograd.grad(value.total, tied, allow_unused=True)[0] is None


def test_normalize_makes_blur_mean_the_same_for_every_size_of_embedding() -> None:
    batch = make_batch(20)
    matrix, _ = batch.keywords["embeddings"]
    values = []
    for factor in (1.0, 100.0):
        batch.keywords["embeddings"] = matrix * factor
        values.append(term_value(batch).parts["sinkhorn"])
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    batch.keywords["embeddings"] = (matrix, embedding_scale(matrix))
    assert term_value(batch).parts["sinkhorn"] == pytest.approx(values[0], rel=1e-9)


def test_embedding_scale_is_the_root_of_the_mean_squared_distance() -> None:
    matrix = draw(50, 130, 1)
    expected = ((matrix - matrix.mean(0)) ** 2).sum(1).mean().sqrt()
    torch.testing.assert_close(embedding_scale(matrix), expected)
    assert embedding_scale(matrix.bfloat16()).dtype == torch.float32


def test_items_need_numbers() -> None:
    batch = make_batch(20)
    objective = Objective({"sinkhorn": {"span": "rationale", "points": "items"}})
    with pytest.raises(InputError, match="needs item numbers"):
        objective(*batch.arguments(), **batch.keywords)


def test_items_of_a_union_of_spans_stay_apart() -> None:
    batch = make_batch(6)
    numbers = torch.tensor([0, 0, 1, -1, -1, -1])
    batch.keywords["examples"] = torch.zeros(6, dtype=torch.int64)
    batch.keywords["spans"] = {"a": numbers, "b": numbers.flip(0), "both": torch.tensor([0, 0, 1, 2, 3, 3])}
    two = Objective({"sinkhorn": {"span": ["a", "b"], "points": "items"}})(*batch.arguments(), **batch.keywords)
    one = Objective({"sinkhorn": {"span": "both", "points": "items"}})(*batch.arguments(), **batch.keywords)
    assert two.parts["sinkhorn"] == pytest.approx(one.parts["sinkhorn"], rel=1e-12)


def test_the_marginal_error_is_noted_for_the_manifest() -> None:
    batch = make_batch(20)
    loose, tight = (term_value(batch, tolerance=tolerance).notes["sinkhorn"] for tolerance in (None, 1e-8))
    assert 0 <= float(tight["marginal_error"]) <= 1e-8 < float(loose["marginal_error"])


def test_order_within_the_span_does_not_matter() -> None:
    batch = make_batch(6, trainable=False)
    batch.keywords["examples"] = torch.zeros(6, dtype=torch.int64)
    batch.keywords["spans"] = {"ingredients": torch.arange(6)}
    before = term_value(batch).parts["sinkhorn"]
    batch.labels = batch.labels.flip(0)
    assert term_value(batch).parts["sinkhorn"] == pytest.approx(before, rel=1e-9)
