"""The tiled engine: seams, heads, dtypes, memory, and what it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lossmith.errors import LossmithError
from lossmith.losses import Objective, head, tiles

from .batches import ALL_TERMS, FOLDED_TERMS, Batch, make_batch, relative_error

HEADS = [
    {"bias": bias, "scale": scale, "softcap": softcap, "trainable": trainable}
    for bias, scale, softcap, trainable in itertools.product((False, True), (1.0, 0.4), (None, 3.0), (False, True))
]


def gradients(value: Any, batch: Batch) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value.total, batch.leaves)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: " ".join(k for k, v in head.items() if v))
@pytest.mark.parametrize("terms", [ALL_TERMS, FOLDED_TERMS], ids=["all", "folded"])
@pytest.mark.usefixtures("small_tiles")
def test_all_terms_together_equal_dense(terms: dict[str, Any], head: dict[str, Any]) -> None:
    batch = make_batch(**head)
    objective = Objective(terms)
    tiled, dense = (call(*batch.arguments(), **batch.keywords) for call in (objective, objective.dense))
    assert tiled.parts == pytest.approx(dense.parts, rel=1e-10)
    torch.testing.assert_close(tiled.total, dense.total)
    for found, expected in zip(gradients(tiled, batch), gradients(dense, batch), strict=True):
        assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("terms", range(1, 6))
@pytest.mark.usefixtures("small_tiles")
def test_one_to_five_terms_add_up(terms: int, trainable: bool) -> None:
    batch = make_batch(bias=True, softcap=4.0, trainable=trainable)
    names = list(ALL_TERMS)
    for start in range(len(names) - terms + 1):
        chosen = {name: ALL_TERMS[name] for name in names[start : start + terms]}
        together = Objective(chosen)(*batch.arguments(), **batch.keywords)
        alone = [Objective({name: t})(*batch.arguments(), **batch.keywords) for name, t in chosen.items()]
        torch.testing.assert_close(together.total, torch.stack([value.total for value in alone]).sum())
        summed = [sum(each) for each in zip(*(gradients(value, batch) for value in alone), strict=True)]
        for found, expected in zip(gradients(together, batch), summed, strict=True):
            assert relative_error(found, expected) < 1e-12


@pytest.mark.usefixtures("small_tiles")
def test_gradcheck_of_the_whole_objective() -> None:
    batch = make_batch(positions=9, vocab=8, width=3, bias=True, scale=0.8, softcap=4.0, trainable=False)
    # A held factor is no function of the inputs, and sinkhorn's gradient is that at the final potentials.
    terms = {name: t for name, t in ALL_TERMS.items() if name not in ("sinkhorn", "likely")}
    terms["self_adjusting_dice"] = {"weight": 0.2, "detach": False}
    objective = Objective(terms)

    def total(hidden: Tensor) -> Tensor:
        return objective(hidden, batch.head, batch.labels, **batch.keywords).total

    assert torch.autograd.gradcheck(total, batch.leaves)


def test_gradcheck_of_converged_sinkhorn() -> None:
    batch = make_batch(positions=8, vocab=7, width=3, trainable=False)
    term = {"weight": 1.0, "span": "ingredients", "blur": 0.5, "tolerance": 1e-11}
    objective = Objective({"sinkhorn": term, "few": {"loss": "sinkhorn", "top_k": 3, **term}})

    def total(hidden: Tensor) -> Tensor:
        return objective(hidden, batch.head, batch.labels, **batch.keywords).total

    assert torch.autograd.gradcheck(total, batch.leaves, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize(
    "terms",
    [{"cross_entropy": 1.0}, {"focal": 1.0}, {"generalized_dice": 1.0, "cross_entropy": 0.5}, ALL_TERMS, FOLDED_TERMS],
    ids=["cross_entropy", "focal", "dice", "all", "folded"],
)
@pytest.mark.parametrize("wide", [True, False], ids=["fp32 products", "bf16 products"])
@pytest.mark.usefixtures("small_tiles")
def test_bf16_is_no_worse_than_dense_bf16(
    terms: dict[str, Any], trainable: bool, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Off the CPU products stay in 16 bits.
    monkeypatch.setattr(head, "WIDE_PRODUCTS", ("cpu",) if wide else ())
    worst: list[tuple[float, float]] = []
    for seed in range(3):
        # Half of the positions are confident, where 1 - p is small beside its rounding.
        half = make_batch(40, 64, 32, dtype=torch.bfloat16, trainable=trainable, seed=seed, spread=0.3)
        confident = half.weight.detach()[half.labels] * 1.5
        mixed = torch.where(torch.arange(40)[:, None] % 2 == 0, confident, half.hidden.detach())
        half.hidden = mixed.to(torch.bfloat16).requires_grad_()
        exact = Batch(
            half.hidden.detach().double().requires_grad_(),
            half.weight.detach().double().requires_grad_(trainable),
            half.labels,
            keywords={**half.keywords, "embeddings": (half.keywords["embeddings"][0].double(), 2.0)},
        )
        objective = Objective(terms)
        truth = gradients(objective.dense(*exact.arguments(), **exact.keywords), exact)
        tiled = gradients(objective(*half.arguments(), **half.keywords), half)
        dense = gradients(objective.dense(*half.arguments(), **half.keywords), half)
        worst += [
            (relative_error(t, true), relative_error(d, true)) for t, d, true in zip(tiled, dense, truth, strict=True)
        ]
    for ours, theirs in worst:
        assert ours < (1.1 * theirs if wide else 1.25 * theirs + 2.0**-9), (ours, theirs)


def test_statistics_are_fp32_for_bf16_heads() -> None:
    batch = make_batch(dtype=torch.bfloat16)
    value = Objective({"cross_entropy": 1.0})(*batch.arguments())
    assert value.total.dtype == torch.float32
    assert [g.dtype for g in gradients(value, batch)] == [torch.bfloat16, torch.bfloat16]


def test_autocast_hidden_with_a_trained_fp32_head() -> None:
    batch = make_batch(dtype=torch.float32)
    half = batch.hidden.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = Objective({"cross_entropy": 1.0})(half, batch.head, batch.labels)
    hidden, weight = torch.autograd.grad(value.total, [half, batch.weight])
    assert (hidden.dtype, weight.dtype) == (torch.bfloat16, torch.float32)
    exact = torch.nn.functional.cross_entropy(half.double() @ batch.weight.double().t(), batch.labels)
    assert relative_error(weight, torch.autograd.grad(exact, batch.weight)[0]) < 2e-2


def test_sixteen_bit_gradients_survive_a_tiny_denominator() -> None:
    batch = make_batch(dtype=torch.float16)
    objective = Objective({"cross_entropy": 1.0})
    one = objective(*batch.arguments(), counts={"cross_entropy": 1.0})
    # A loss scaler multiplies what the window divided; made in fp16 the quotient alone would be 0.
    many = objective(*batch.arguments(), counts={"cross_entropy": 1e9})
    (plain,) = torch.autograd.grad(one.total, batch.hidden)
    (scaled,) = torch.autograd.grad(many.total * 1e9, batch.hidden)
    assert relative_error(scaled, plain) < 1e-3


class LargestTensor(TorchDispatchMode):
    """The most numbers that any result of an operation holds of its own."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.numbers = max(self.numbers, result.untyped_storage().nbytes() // result.element_size())
        return result


@pytest.mark.parametrize("learning", [False, True])
def test_nothing_of_positions_times_vocabulary_is_ever_held(learning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_ROWS", 16)
    monkeypatch.setattr(tiles, "SWEEP_BYTES", {"cpu": 2**17})
    batch = make_batch(400, 2000, 4, dtype=torch.float32, trainable=False)
    batch.labels = batch.labels % 7
    with LargestTensor() as seen, torch.set_grad_enabled(learning):
        value = Objective(ALL_TERMS)(*batch.arguments(), **batch.keywords)
        if learning:
            value.total.backward()
    assert seen.numbers <= 400 * 2000 / 8
    assert value.total.requires_grad is learning


def test_without_gradient_values_are_the_same() -> None:
    batch = make_batch()
    objective = Objective(ALL_TERMS)
    learning = objective(*batch.arguments(), **batch.keywords)
    with torch.no_grad():
        evaluated = objective(*batch.arguments(), **batch.keywords)
    assert evaluated.parts == learning.parts
    assert evaluated.total == learning.total


def test_positions_that_no_term_reads_never_meet_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    logits: list[int] = []
    product = tiles.Workspace.product

    def counted(space: tiles.Workspace, matrix: Tensor, rows: Tensor, **keywords: Any) -> Tensor:
        logits.append(len(matrix) * len(rows))
        return product(space, matrix, rows, **keywords)

    monkeypatch.setattr(tiles.Workspace, "product", counted)
    batch = make_batch(30)
    mask = torch.arange(30) % 3 == 0
    Objective({"focal": {"span": "few"}})(*batch.arguments(), spans={"few": mask})
    assert sum(logits) == 10 * 31


def test_second_differentiation_is_refused() -> None:
    batch = make_batch()
    objective = Objective({"cross_entropy": 1.0})
    with pytest.raises(LossmithError, match="cannot be differentiated twice"):
        torch.autograd.grad(objective(*batch.arguments()).total, batch.hidden, create_graph=True)
    (first,) = torch.autograd.grad(objective.dense(*batch.arguments()).total, batch.hidden, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), batch.hidden)[0].abs().sum() > 0


def test_the_gradient_of_a_trained_head_is_given_once() -> None:
    batch = make_batch()
    value = Objective({"cross_entropy": 1.0})(*batch.arguments())
    value.total.backward(retain_graph=True)
    with pytest.raises(LossmithError, match="already given away"):
        value.total.backward()
    frozen = make_batch(trainable=False)
    value = Objective({"cross_entropy": 1.0})(*frozen.arguments())
    first, again = (torch.autograd.grad(value.total, frozen.hidden, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)


def test_backward_multiplies_by_what_follows() -> None:
    batch = make_batch()
    objective = Objective(ALL_TERMS)
    plain = gradients(objective(*batch.arguments(), **batch.keywords), batch)
    value = objective(*batch.arguments(), **batch.keywords)
    tripled = torch.autograd.grad(value.total * 3.0, batch.leaves)
    for one, three in zip(plain, tripled, strict=True):
        torch.testing.assert_close(three, one * 3.0)


def test_a_frozen_model_with_a_trained_head_and_the_reverse() -> None:
    batch = make_batch(bias=True)
    both = gradients(Objective(ALL_TERMS)(*batch.arguments(), **batch.keywords), batch)
    batch.hidden = batch.hidden.detach()
    head = gradients(Objective(ALL_TERMS)(*batch.arguments(), **batch.keywords), batch)
    for found, expected in zip(head, both[1:], strict=True):
        torch.testing.assert_close(found, expected)


def test_words_ruled_out_by_the_head_have_no_part() -> None:
    batch = make_batch(bias=True, trainable=False)
    assert batch.bias is not None
    batch.bias[20:] = -torch.inf
    for terms in ({"cross_entropy": 1.0, "entropy_penalty": 0.5}, {"generalized_dice": 1.0, "sinkhorn": 1.0}):
        tiled, dense = (
            call(*batch.arguments(), **batch.keywords) for call in (Objective(terms), Objective(terms).dense)
        )
        torch.testing.assert_close(tiled.total, dense.total)
        found, expected = gradients(tiled, batch)[0], gradients(dense, batch)[0]
        assert torch.isfinite(found).all()
        if torch.isfinite(expected).all():
            torch.testing.assert_close(found, expected)


def test_any_function_of_hidden_states_is_a_head_of_dense() -> None:
    batch = make_batch()
    layer = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 31)).double()
    value = Objective({"cross_entropy": 1.0}).dense(batch.hidden, layer, batch.labels)
    expected = torch.nn.functional.cross_entropy(layer(batch.hidden), batch.labels)
    torch.testing.assert_close(value.total, expected)
