"""Sinkhorn on spans: against geomloss at the same schedule, against POT when converged, and its own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from geomloss import SamplesLoss
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses import Objective, embedding_scale
from lossmith.losses.transport import Clouds, sinkhorn_divergence
from tests.oracles import transport as oracle

from .batches import make_batch, relative_error

SIZES = [(5, 5), (1, 1), (7, 3), (2, 9)]


def draw(points: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(points, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def pad(clouds: list[Tensor]) -> Clouds:
    longest = max(len(cloud) for cloud in clouds)
    points = torch.stack([torch.nn.functional.pad(cloud, (0, 0, 0, longest - len(cloud))) for cloud in clouds])
    present = torch.stack([torch.arange(longest) < len(cloud) for cloud in clouds])
    return Clouds(points, present)


def geomloss_value(x: Tensor, y: Tensor, *, p: int, blur: float, scaling: float) -> Tensor:
    loss = SamplesLoss("sinkhorn", p=p, blur=blur, scaling=scaling, backend="tensorized")
    return loss(x, y)


@pytest.mark.parametrize("blur", [0.05, 0.2, 1.0, 20.0])
@pytest.mark.parametrize("scaling", [0.5, 0.8])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-4), (torch.float32, 1e-3)])
def test_value_and_gradient_are_those_of_geomloss(
    blur: float, scaling: float, dtype: torch.dtype, tolerance: float
) -> None:
    if dtype == torch.float32 and blur > 1.0:
        pytest.skip("at eps = 400 the divergence is a difference of numbers that fp32 rounds at 1e-5")
    # Unlike spreads: each example has a diameter, and so a schedule, of its own.
    xs = [draw(n, 6, seed) * (0.1 * 3.0**seed) for seed, (n, _) in enumerate(SIZES)]
    ys = [draw(m, 6, seed + 50) * (0.1 * 3.0**seed) for seed, (_, m) in enumerate(SIZES)]
    leaves = [x.clone().requires_grad_() for x in xs]
    expected = [geomloss_value(x, y, p=2, blur=blur, scaling=scaling) for x, y in zip(leaves, ys, strict=True)]
    true = torch.autograd.grad(torch.stack(expected).sum(), leaves)
    ours = [x.to(dtype).requires_grad_() for x in xs]
    found, _ = sinkhorn_divergence(pad(ours), pad([y.to(dtype) for y in ys]), p=2.0, blur=blur, scaling=scaling)
    gradients = torch.autograd.grad(found.sum(), ours)
    for value, truth, gradient, true_gradient in zip(found, expected, gradients, true, strict=True):
        assert float(value.detach()) == pytest.approx(float(truth.detach()), rel=tolerance, abs=tolerance * 1e-2)
        assert relative_error(gradient, true_gradient) < tolerance


def test_value_for_distances_is_that_of_geomloss() -> None:
    x, y = draw(6, 4, 1), draw(5, 4, 2)
    found, _ = sinkhorn_divergence(pad([x]), pad([y]), p=1.0, blur=0.2, scaling=0.7)
    # geomloss floors squared distances at 1e-8, so its points lie 1e-4 from themselves.
    assert float(found) == pytest.approx(float(geomloss_value(x, y, p=1, blur=0.2, scaling=0.7)), rel=1e-3)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_with_tolerance_it_is_the_converged_divergence(p: float) -> None:
    x, y = draw(6, 3, 3) * 0.5, draw(4, 3, 4) * 0.5
    for blur in (0.5, 1.0):
        leaf = x.clone().requires_grad_()
        value, error = sinkhorn_divergence(pad([leaf]), pad([y]), p=p, blur=blur, scaling=0.5, tolerance=1e-10)
        assert float(error) < 1e-10
        true = oracle.divergence(x.numpy(), y.numpy(), p=p, blur=blur)
        assert float(value.detach()) == pytest.approx(true, rel=1e-6)
        if p == 2.0:
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
            expected = oracle.divergence_gradient(x.numpy(), y.numpy(), blur=blur)
            np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_the_default_is_four_percent_from_converged_and_small_blur_far_more() -> None:
    words = draw(500, 64, 5)
    words = words / embedding_scale(words)
    y = words[:20]
    x = torch.softmax(draw(20, 500, 6) * 2, 1) @ words
    off = {}
    for blur in (0.05, 0.2):
        gradients = []
        for tolerance in (None, 1e-6):
            leaf = x.clone().requires_grad_()
            value, _ = sinkhorn_divergence(pad([leaf]), pad([y]), p=2.0, blur=blur, scaling=0.5, tolerance=tolerance)
            gradients += torch.autograd.grad(value.sum(), leaf)
        off[blur] = relative_error(gradients[0], gradients[1])
    assert off[0.2] < 0.1
    assert off[0.05] > 0.25


def test_marginal_error_falls_with_tolerance() -> None:
    x, y = draw(8, 3, 7), draw(8, 3, 8)
    _, loose = sinkhorn_divergence(pad([x]), pad([y]), p=2.0, blur=0.1, scaling=0.5)
    _, tight = sinkhorn_divergence(pad([x]), pad([y]), p=2.0, blur=0.1, scaling=0.5, tolerance=1e-3)
    assert float(tight) <= 1e-3 < float(loose)


def test_clouds_are_solved_as_if_alone_and_padding_weighs_nothing() -> None:
    xs = [draw(n, 3, seed) for seed, (n, _) in enumerate(SIZES)]
    ys = [draw(m, 3, seed + 9) for seed, (_, m) in enumerate(SIZES)]
    for tolerance in (None, 1e-6):
        together, _ = sinkhorn_divergence(pad(xs), pad(ys), p=2.0, blur=0.2, scaling=0.5, tolerance=tolerance)
        for value, x, y in zip(together, xs, ys, strict=True):
            alone, _ = sinkhorn_divergence(pad([x]), pad([y]), p=2.0, blur=0.2, scaling=0.5, tolerance=tolerance)
            torch.testing.assert_close(value, alone[0], rtol=1e-12, atol=1e-12)


def test_equal_clouds_are_no_distance_apart_in_any_order_and_far_from_the_origin() -> None:
    x = draw(6, 4, 1, torch.float32) + 50.0
    value, _ = sinkhorn_divergence(pad([x]), pad([x.flip(0)]), p=2.0, blur=0.2, scaling=0.5)
    assert abs(float(value)) < 1e-5
    point = torch.ones(1, 4)
    leaf = point.clone().requires_grad_()
    value, _ = sinkhorn_divergence(pad([leaf]), pad([point]), p=1.0, blur=0.2, scaling=0.5)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    assert torch.isfinite(gradient).all()


# -- the term ----------------------------------------------------------------------------------------------------------


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
