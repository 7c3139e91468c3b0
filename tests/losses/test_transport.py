"""The divergence of pairs of clouds: against geomloss at the same schedule, against POT when converged, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from geomloss import SamplesLoss
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses import annealing, embedding_scale
from lossmith.losses.annealing import Clouds
from lossmith.losses.transport import SHORTEST, sinkhorn_divergence
from tests.oracles import transport as oracle

from .batches import relative_error

SIZES = [(5, 5), (1, 1), (7, 3), (2, 9)]


def draw(points: int, width: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(points, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def pack(clouds: list[Tensor]) -> Clouds:
    size = torch.tensor([len(cloud) for cloud in clouds])
    return Clouds(torch.cat(clouds), torch.arange(len(clouds)).repeat_interleave(size))


def solve(xs: list[Tensor], ys: list[Tensor], *, p: float = 2.0, blur: float = 0.2, scaling: float = 0.5,
          tolerance: float | None = None) -> tuple[Tensor, list[Tensor], Tensor]:  # fmt: skip
    """Values, the gradient by each cloud of xs, marginal errors."""
    leaves = [x.clone().requires_grad_() for x in xs]
    value, error = sinkhorn_divergence(pack(leaves), pack(ys), p=p, blur=blur, scaling=scaling, tolerance=tolerance)
    return value.detach(), list(torch.autograd.grad(value.sum(), leaves)), error


def by_geomloss(x: Tensor, y: Tensor, *, p: int, blur: float, scaling: float) -> tuple[float, Tensor]:
    leaf = x.double().clone().requires_grad_()
    loss = SamplesLoss("sinkhorn", p=p, blur=blur, scaling=scaling, backend="tensorized")
    value = loss(leaf, y.double())
    return float(value.detach()), torch.autograd.grad(value, leaf)[0]


# -- agreement -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=5),
    width=st.sampled_from([1, 3, 16]),
    seed=st.integers(0, 10**6),
    p=st.sampled_from([1, 2]),
    blur=st.sampled_from([0.05, 0.2, 1.0]),
    scaling=st.sampled_from([0.3, 0.5, 0.8]),
    exact=st.booleans(),
)
def test_value_and_gradient_are_those_of_geomloss(
    sizes: list[tuple[int, int]], width: int, seed: int, p: int, blur: float, scaling: float, exact: bool
) -> None:
    dtype, tolerance = (torch.float64, 1e-4) if exact else (torch.float32, 1e-3)
    # Unlike spreads: each pair has a diameter, and so a schedule, of its own.
    spread = [0.1 * 3.0 ** ((seed + number) % 4) for number in range(len(sizes))]
    xs = [draw(n, width, seed + i, dtype) * spread[i] for i, (n, _) in enumerate(sizes)]
    ys = [draw(m, width, seed + i + 50, dtype) * spread[i] + 0.1 for i, (_, m) in enumerate(sizes)]
    values, gradients, _ = solve(xs, ys, p=p, blur=blur, scaling=scaling)
    assert values.dtype == dtype
    for x, y, value, gradient in zip(xs, ys, values, gradients, strict=True):
        true, true_gradient = by_geomloss(x, y, p=p, blur=blur, scaling=scaling)
        # Both are differences of numbers as large as the costs and their slopes, known to their last digits.
        largest = float(torch.cdist(torch.cat([x, y]).double(), y.double()).max())
        small = 1e-4 * tolerance * max(largest, blur) ** p
        assert float(value) == pytest.approx(true, rel=tolerance, abs=small)
        assert float((gradient - true_gradient).norm()) < tolerance * float(true_gradient.norm()) + small / largest


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_with_tolerance_it_is_the_converged_divergence(p: float) -> None:
    x, y = draw(6, 3, 3) * 0.5, draw(4, 3, 4) * 0.5
    for blur in (0.5, 1.0):
        value, (gradient,), error = solve([x], [y], p=p, blur=blur, tolerance=1e-10)
        assert float(error) < 1e-10
        true = oracle.divergence(x.numpy(), y.numpy(), p=p, blur=blur)
        # A point lies SHORTEST from itself where p is not 2, which moves the divergence by as much at p = 1.
        assert float(value) == pytest.approx(true, rel=1e-6, abs=0.0 if p == 2.0 else 2 * SHORTEST**p)
        expected = oracle.divergence_gradient(x.numpy(), y.numpy(), p=p, blur=blur)
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6 if p == 2.0 else 1e-3, atol=1e-9)


def test_the_default_is_four_percent_from_converged_and_small_blur_far_more() -> None:
    words = draw(500, 64, 5)
    words = words / embedding_scale(words)
    y = words[:20]
    x = torch.softmax(draw(20, 500, 6) * 2, 1) @ words
    off = {}
    for blur in (0.05, 0.2):
        gradients = [solve([x], [y], blur=blur, tolerance=tolerance)[1][0] for tolerance in (None, 1e-6)]
        off[blur] = relative_error(*gradients)
    assert off[0.2] < 0.1
    assert off[0.05] > 0.25


def test_marginal_error_falls_with_tolerance() -> None:
    x, y = draw(8, 3, 7), draw(8, 3, 8)
    loose = float(solve([x], [y], blur=0.1)[2])
    assert float(solve([x], [y], blur=0.1, tolerance=1e-3)[2]) <= 1e-3 < loose


# -- one pair does not know of the others ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("tolerance", [None, 1e-3])
def test_a_far_larger_pair_changes_nothing(dtype: torch.dtype, p: float, tolerance: float | None) -> None:
    sizes = [(12, 12), (12, 12), (3, 5), (1, 1), (20, 20)]
    xs = [draw(n, 8, seed, dtype) for seed, (n, _) in enumerate(sizes)]
    ys = [draw(m, 8, seed + 9, dtype) for seed, (_, m) in enumerate(sizes)]
    value, gradients, error = solve(xs, ys, p=p, tolerance=tolerance)
    # Many points, far apart, and first: another length, another schedule, other places in the batch.
    large_x, large_y = draw(120, 8, 20, dtype) * 100, draw(110, 8, 21, dtype) * 100
    with_large, more, more_error = solve([large_x, *xs], [large_y, *ys], p=p, tolerance=tolerance)
    torch.testing.assert_close(with_large[1:], value, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(more_error[1:], error, rtol=1e-4, atol=1e-6)
    for one, other in zip(more[1:], gradients, strict=True):
        assert relative_error(one, other) < 1e-6
    for number, (x, y) in enumerate(zip(xs, ys, strict=True)):
        alone, (gradient,), _ = solve([x], [y], p=p, tolerance=tolerance)
        torch.testing.assert_close(value[number], alone[0], rtol=1e-6, atol=0.0)
        assert relative_error(gradients[number], gradient) < 1e-6


def test_groups_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    xs = [draw(n, 3, seed) for seed, (n, _) in enumerate(SIZES * 3)]
    ys = [draw(m, 3, seed + 9) for seed, (_, m) in enumerate(SIZES * 3)]
    together = solve(xs, ys)
    monkeypatch.setattr(annealing, "GROUP_NUMBERS", {"cpu": 1})
    one_by_one = solve(xs, ys)
    torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-12)


def test_points_and_clouds_may_come_in_any_order() -> None:
    xs, ys = [draw(n, 3, n) for n, _ in SIZES], [draw(m, 3, m + 9) for _, m in SIZES]
    value, _, _ = solve(xs, ys)
    a, b = pack(xs), pack(ys)
    order = torch.randperm(len(a.points), generator=torch.Generator().manual_seed(1))
    names = torch.tensor([2, 0, 3, 1])
    shuffled, _ = sinkhorn_divergence(
        Clouds(a.points[order], names[a.cloud[order]]),
        Clouds(b.points.flip(0), names[b.cloud.flip(0)]),
        p=2.0, blur=0.2, scaling=0.5,
    )  # fmt: skip
    torch.testing.assert_close(shuffled[names], value, rtol=1e-10, atol=1e-12)


def test_a_cloud_of_no_numbers_spoils_itself_alone() -> None:
    xs, ys = [draw(4, 3, seed) for seed in range(4)], [draw(4, 3, seed + 9) for seed in range(4)]
    whole, gradients, _ = solve(xs, ys)
    xs[1], xs[2] = xs[1].clone().fill_(torch.nan), xs[2].clone().fill_(torch.inf)
    value, spoilt, _ = solve(xs, ys)
    assert value.isnan().tolist() == [False, True, True, False]
    torch.testing.assert_close(value[[0, 3]], whole[[0, 3]], rtol=1e-12, atol=0.0)
    torch.testing.assert_close(spoilt[3], gradients[3], rtol=1e-12, atol=0.0)


# -- degenerate clouds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_of_one_point_each_it_is_the_cost(dtype: torch.dtype) -> None:
    x, y = draw(1, 5, 1, dtype), draw(1, 5, 2, dtype)
    distance = float((x - y).double().norm())
    value, (gradient,), error = solve([x], [y])
    assert float(value) == pytest.approx(distance**2 / 2, rel=1e-5)
    assert float(error) == pytest.approx(0.0, abs=1e-4)
    torch.testing.assert_close(gradient, x - y, rtol=1e-5, atol=1e-6)
    value, (gradient,), _ = solve([x], [y], p=1.0)
    assert float(value) == pytest.approx(distance - SHORTEST, rel=1e-6)
    torch.testing.assert_close(gradient, (x - y) / distance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_points_given_twice_share_the_weight_of_one(p: float) -> None:
    x, y = draw(5, 4, 1), draw(7, 4, 2)
    value, (gradient,), _ = solve([x], [y], p=p)
    doubled, (halves,), _ = solve([x.repeat(2, 1)], [y.repeat(2, 1)], p=p)
    torch.testing.assert_close(doubled, value, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(halves, gradient.repeat(2, 1) / 2, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("blur", [0.05, 0.2, 1.0])
def test_equal_clouds_are_no_distance_apart_in_any_order_and_far_from_the_origin(
    dtype: torch.dtype, p: float, blur: float
) -> None:
    x = draw(9, 4, 1, dtype) + 50
    value, gradients, _ = solve([x, x[:1]], [x.flip(0), x[:1]], p=p, blur=blur)
    assert float(value.abs().max()) < 1e-4
    assert all(float(gradient.double().norm()) < 1e-3 for gradient in gradients)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_points_that_lie_on_each_other_have_a_finite_slope(p: float) -> None:
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    y = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    _, (gradient,), _ = solve([x], [y], p=p)
    assert torch.isfinite(gradient).all()
    # The surplus at 0 is drawn towards 1.
    assert (gradient[:2, 0] < 0).all()


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("apart", [1e-6, 1e2, 1e4])
def test_clouds_may_lie_very_near_and_very_far(p: float, apart: float) -> None:
    x = draw(6, 3, 1, torch.float32) * min(1.0, apart)
    y = draw(5, 3, 2, torch.float32) * min(1.0, apart) + apart
    value, (gradient,), _ = solve([x], [y], p=p)
    exact, (slope,), _ = solve([x.double()], [y.double()], p=p)
    assert float(value) == pytest.approx(float(exact), rel=1e-3, abs=1e-6)
    assert torch.isfinite(gradient).all()
    assert float((gradient.double() - slope).norm()) < 1e-3 * float(slope.norm()) + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_points_are_worked_on_in_fp32(dtype: torch.dtype) -> None:
    x, y = draw(9, 8, 1, dtype), draw(9, 8, 2, dtype)
    value, (gradient,), _ = solve([x], [y])
    exact, (slope,), _ = solve([x.float()], [y.float()])
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert torch.equal(value, exact)
    assert torch.equal(gradient, slope.to(dtype))


def test_autocast_does_not_choose_the_numbers_of_the_costs() -> None:
    x, y = draw(9, 8, 1, torch.float32), draw(9, 8, 2, torch.float32)
    value, (gradient,), _ = solve([x], [y])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, (slope,), _ = solve([x], [y])
    assert torch.equal(cast, value)
    assert torch.equal(slope, gradient)


def test_clouds_come_in_pairs() -> None:
    one, two = draw(3, 2, 1), draw(3, 2, 2)
    with pytest.raises(InputError, match="clouds come in pairs"):
        sinkhorn_divergence(pack([one, two]), pack([one]), p=2.0, blur=0.2, scaling=0.5)
    with pytest.raises(InputError, match="clouds come in pairs"):
        sinkhorn_divergence(pack([one, one[:0], two]), pack([one, two, two]), p=2.0, blur=0.2, scaling=0.5)


def test_no_clouds_are_no_values() -> None:
    none = Clouds(torch.empty(0, 3, requires_grad=True), torch.empty(0, dtype=torch.int64))
    value, error = sinkhorn_divergence(none, none, p=2.0, blur=0.2, scaling=0.5)
    assert value.shape == error.shape == (0,)
    value.sum().backward()
    assert none.points.grad is not None


def test_it_is_differentiated_once() -> None:
    x = draw(3, 2, 1).requires_grad_()
    value, _ = sinkhorn_divergence(pack([x]), pack([draw(3, 2, 2)]), p=2.0, blur=0.2, scaling=0.5)
    (gradient,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        gradient.sum().backward()
