"""What an objective accepts and how it refuses the rest."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import torch

from lossmith.errors import InputError
from lossmith.losses import LOSSES, Objective
from lossmith.losses.statistics import HEAD_STATISTICS
from lossmith.losses.terms import STATISTIC_PARAMETERS

from .batches import make_batch


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"focl": 1.0}, "did you mean 'focal'"),
        ({"generalised_dice": 1.0}, "did you mean 'generalized_dice'"),
        ({"topologcal": 1.0}, "did you mean 'topological'"),
        ({"focal": -0.1}, "weight of the term 'focal'"),
        ({"focal": float("nan")}, "weight of the term 'focal'"),
        ({"focal": True}, "weight of the term 'focal'"),
        ({"focal": "1"}, "weight of the term 'focal'"),
        ({"focal": {"weight": 1.0, "gama": 2}}, "did you mean 'gamma'"),
        ({"focal": {"wieght": 1.0}}, "did you mean 'weight'"),
        ({"focal": {"gamma": -1}}, "'gamma' of the term 'focal' is out of range"),
        ({"focal": {"gamma": "2"}}, "'gamma' of the term 'focal' is out of range"),
        ({"focal": {"gamma": True}}, "'gamma' of the term 'focal' is out of range"),
        ({"sinkhorn": {"points": "words"}}, "tokens | items"),
        ({"sinkhorn": {"top_k": 1.5}}, "'top_k' of the term 'sinkhorn'"),
        ({"sinkhorn": {"scope": "batch"}}, "unknown parameter 'scope'"),
        ({"lovasz_softmax": {"scope": "epoch"}}, "sequence | batch"),
        ({"focal": {"span": 3}}, "is no span"),
        ({"focal": {"span": []}}, "is no span"),
        ({"unlikelihood": 0.5}, "needs a span"),
        ({}, "no term of non-zero weight"),
        ({"mine": {"loss": 3}}, "is no name"),
        ({"mine": {"loss": "torch:no_such_loss"}}, "has no 'no_such_loss'"),
        ({"mine": {"loss": "no_such_module:loss"}}, "could not be imported"),
        ({"mine": {"loss": "math:sqrt"}}, "does not say what kind"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_what_is_wrong_is_named(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        Objective(terms)
    assert says in str(error.value)
    assert isinstance(error.value, ValueError)


def test_weight_zero_leaves_the_term_out_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="'focal' has weight 0 and is left out"):
        objective = Objective({"cross_entropy": 1.0, "focal": 0})
    assert [term.name for term in objective.terms] == ["cross_entropy"]
    with pytest.warns(UserWarning), pytest.raises(InputError, match="no term of non-zero weight"):
        Objective({"focal": 0.0})


def test_the_alias_keeps_the_name_it_was_given() -> None:
    (term,) = Objective({"topological": {"weight": 0.4, "span": "ingredients"}}).terms
    assert (term.name, term.loss, term.kind, term.unit) == ("topological", "sinkhorn", "set", "example")
    assert term.params["blur"] == 0.2


def test_one_loss_may_stand_in_several_terms() -> None:
    objective = Objective({"soft": {"loss": "focal", "gamma": 1}, "hard": {"loss": "focal", "gamma": 4, "span": "a"}})
    assert objective.span_names == ("a", "answer")
    assert [term.params["gamma"] for term in objective.terms] == [1, 4]


def test_a_missing_span_names_those_given() -> None:
    batch = make_batch(4)
    objective = Objective({"focal": {"span": "ingredient"}})
    with pytest.raises(ValueError, match=r"(?s)'ingredient', which is not given.*ingredients, rationale"):
        objective(*batch.arguments(), spans=batch.keywords["spans"])


@pytest.mark.usefixtures("as_users_run_it")
def test_what_does_not_fit_is_refused() -> None:
    batch = make_batch(4)
    objective = Objective({"cross_entropy": 1.0})
    hidden, head, labels = batch.arguments()
    for arguments, says in (
        ((hidden, head, labels[:3]), "hidden states and labels"),
        ((hidden[:, :5], head, labels), "hidden states and head"),
        ((hidden, head, labels + 30), "outside the vocabulary"),
        ((hidden, head, labels - 20), "outside the vocabulary"),
    ):
        with pytest.raises(InputError, match=says):
            objective(*arguments)
    with pytest.raises(InputError, match="another shape"):
        Objective({"focal": {"span": "s"}})(*batch.arguments(), spans={"s": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(InputError, match="examples and labels"):
        objective(*batch.arguments(), examples=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="need embeddings"):
        Objective({"sinkhorn": 1.0})(*batch.arguments())
    with pytest.raises(InputError, match="different vocabularies"):
        Objective({"sinkhorn": 1.0})(*batch.arguments(), embeddings=torch.zeros(30, 2, dtype=torch.float64))


def poly1(stats: Any, *, epsilon: float = 1.0) -> torch.Tensor:
    return -stats.label_log_prob + epsilon * (1 - stats.label_log_prob.exp())


poly1.kind, poly1.needs = "separable", ("label_log_prob",)  # type: ignore[attr-defined]


def z_loss(stats: Any) -> torch.Tensor:
    return stats.log_normalizer.square()


z_loss.kind, z_loss.needs = "separable", ("log_normalizer",)  # type: ignore[attr-defined]


def worst_position(stats: Any, power: float = 1.0) -> torch.Tensor:
    worst = stats.label_log_prob.new_full((stats.examples,), -torch.inf)
    return worst.scatter_reduce(0, stats.example, -stats.label_log_prob, "amax").pow(power)


worst_position.kind, worst_position.needs = "set", ("label_log_prob",)  # type: ignore[attr-defined]


def drift(stats: Any) -> torch.Tensor:
    """Squared distance of the expected embedding from the label's, added up over an example."""
    distance = (stats.expected_embedding - stats.label_embedding).square().sum(1)
    return distance.new_zeros(stats.examples).index_add(0, stats.example, distance)


drift.kind, drift.needs = "set", ("expected_embedding",)  # type: ignore[attr-defined]


def forgetful(stats: Any) -> torch.Tensor:
    return stats.mean_log_prob


forgetful.kind, forgetful.needs = "separable", ("label_log_prob",)  # type: ignore[attr-defined]


def shapeless(stats: Any) -> torch.Tensor:
    return stats.label_log_prob.sum()


shapeless.kind, shapeless.needs = "separable", ("label_log_prob",)  # type: ignore[attr-defined]


def misspelt(stats: Any) -> torch.Tensor:
    return stats.label_log_probs


misspelt.kind, misspelt.needs = "separable", ("label_log_probs",)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("small_tiles")
def test_losses_of_ones_own() -> None:
    batch = make_batch(24, dtype=torch.float64)
    terms: dict[str, Any] = {
        "poly": {"loss": f"{__name__}:poly1", "weight": 0.5, "epsilon": 2.0},
        "z": {"loss": f"{__name__}:z_loss", "weight": 0.1},
        "worst": {"loss": f"{__name__}:worst_position", "weight": 0.3, "power": 2.0},
        "drift": {"loss": f"{__name__}:drift", "weight": 0.3, "span": "rationale"},
        "few": {"loss": f"{__name__}:drift", "weight": 0.3, "top_k": 3, "scope": "batch"},
    }
    objective = Objective(terms)
    tiled, dense = (call(*batch.arguments(), **batch.keywords) for call in (objective, objective.dense))
    assert tiled.parts == pytest.approx(dense.parts, rel=1e-10)
    for one, other in zip(*(torch.autograd.grad(v.total, batch.leaves) for v in (tiled, dense)), strict=True):
        torch.testing.assert_close(one, other)
    log_p = torch.log_softmax(batch.hidden @ batch.weight.t(), 1)[torch.arange(24), batch.labels]
    assert tiled.parts["poly"] == pytest.approx(float((-log_p + 2 * (1 - log_p.exp())).mean().detach()))
    assert {t.name: t.unit for t in objective.terms}["few"] == "set"
    assert objective.terms[0].params == {"epsilon": 2.0}


@pytest.mark.parametrize(
    ("term", "says"),
    [
        ({"loss": f"{__name__}:poly1", "epsylon": 1}, "did you mean 'epsilon'"),
        ({"loss": f"{__name__}:poly1", "scope": "batch"}, "unknown parameter 'scope'"),
        ({"loss": f"{__name__}:poly"}, "did you mean"),
        ({"loss": f"{__name__}:misspelt"}, "did you mean 'label_log_prob'"),
        ({"loss": f"{__name__}:worst_position", "scope": "window"}, "sequence | batch"),
    ],
)
def test_a_loss_of_ones_own_is_checked_when_it_is_read(term: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        Objective({"mine": term})
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("loss", "says"), [("forgetful", "without asking for it"), ("shapeless", "one value for each position")]
)
def test_a_loss_of_ones_own_is_checked_when_it_is_called(loss: str, says: str) -> None:
    batch = make_batch(4)
    with pytest.raises(InputError, match=says):
        Objective({"mine": {"loss": f"{__name__}:{loss}"}})(*batch.arguments())


def test_rows_and_functions_say_the_same() -> None:
    shaping = {parameter.name for parameter in STATISTIC_PARAMETERS}
    seen = set()
    for name, row in LOSSES.items():
        function = row.load()
        first, *rest = inspect.signature(function).parameters.values()
        assert first.name == "stats"
        taken = {parameter.name: parameter.default for parameter in rest}
        told = {parameter.name: parameter.default for parameter in row.parameters if parameter.name not in shaping}
        assert taken == told, name
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in rest), name
        assert function.kind == row.kind, name
        (term,) = Objective({name: {"span": "answer"} if row.reads == "tokens" else 1.0}).terms
        assert set(term.needs) <= set(row.needs), name
        if row.reads == "tokens":
            assert row.unit == ("token" if row.kind == "separable" else "example"), name
        else:
            assert set(row.needs) <= HEAD_STATISTICS[row.reads].keys(), name
            assert hasattr(function, "count") == (row.unit in ("weight", "value")), name
        assert function.__doc__ is not None
        assert ">>>" in function.__doc__, name
        assert "Returns " in function.__doc__, name
        seen.add((name, row.reads))
    assert Counter(reads for _, reads in seen) == {"tokens": 9, "class head": 6, "regression head": 3}


def test_importing_the_losses_loads_torch_alone() -> None:
    heavy = ("transformers", "peft", "pyarrow", "pydantic")
    code = f"import sys, lossmith.losses; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
