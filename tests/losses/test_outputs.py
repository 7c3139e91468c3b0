"""What an objective over heads accepts and refuses, beside terms over tokens, by task, and its shares of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.config.load import load_config
from lossmith.config.objective import check_objective
from lossmith.errors import ConfigError, InputError
from lossmith.losses import Objective, Outputs
from lossmith.names import TaskRow, TaskWay

from .batches import make_batch
from .head_outputs import HEAD_LOSSES, make_outputs

MIXED: dict[str, Any] = {
    "cross_entropy": 0.6,
    "class_focal": {"weight": 0.3, "class_weight": [1.0, 2.0, 3.0]},
    "huber": {"weight": 0.1, "delta": 0.5},
}


def mixed_outputs(hidden: Tensor) -> Outputs:
    """A class head and a regression head on the first four hidden states."""
    draw = torch.Generator().manual_seed(3)
    weights = torch.randn(5, hidden.shape[1], generator=draw, dtype=hidden.dtype)
    pooled = hidden[:4] @ weights.t()
    return Outputs(
        logits=pooled[:, :3],
        labels=torch.tensor([0, 2, 1, 1]),
        predictions=pooled[:, 3:],
        targets=torch.ones(4, 2, dtype=torch.float64),
    )


def test_terms_over_tokens_and_over_heads_are_evaluated_apart_and_added() -> None:
    batch = make_batch(12)
    objective = Objective(MIXED)
    tokens, heads = objective.split()
    assert tokens is not None
    assert heads is not None
    assert [term.name for term in tokens.terms + heads.terms] == list(MIXED)
    value = tokens(*batch.arguments()) + heads.on_outputs(mixed_outputs(batch.hidden))
    assert set(value.parts) == set(value.sums) == set(value.counts) == set(MIXED)
    weights = {term.name: term.weight for term in objective.terms}
    assert value.total.item() == pytest.approx(sum(weights[name] * part for name, part in value.parts.items()))
    (gradient,) = torch.autograd.grad(value.total, batch.hidden)
    apart = [
        torch.autograd.grad(total, batch.hidden)[0]
        for total in (tokens(*batch.arguments()).total, heads.on_outputs(mixed_outputs(batch.hidden)).total)
    ]
    torch.testing.assert_close(gradient, apart[0] + apart[1])
    assert Objective({"cross_entropy": 1.0}).split()[1] is None
    assert Objective({"huber": 1.0}).split()[0] is None


def test_values_with_a_term_of_one_name_are_not_added() -> None:
    value = Objective({"huber": 1.0}).on_outputs(make_outputs("huber"))
    with pytest.raises(InputError, match="huber in both"):
        value + value


def test_a_term_over_heads_is_refused_by_every_call_over_tokens() -> None:
    batch = make_batch(4)
    objective = Objective(MIXED)
    calls: list[Callable[[], Any]] = [
        lambda: objective(*batch.arguments()),
        lambda: objective.dense(*batch.arguments()),
        lambda: objective.counts(batch.labels),
        lambda: objective.reads(batch.labels),
        lambda: objective.shares(*batch.arguments()),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"(?s)'class_focal' reads the outputs of a class head.*split"):
            call()


def test_a_term_over_tokens_is_refused_by_every_call_over_heads() -> None:
    objective, outputs = Objective(MIXED), make_outputs("class_focal", 4, 3)
    calls: list[Callable[[], Any]] = [
        lambda: objective.on_outputs(outputs),
        lambda: objective.counts_on_outputs(outputs),
        lambda: objective.shares_on_outputs(outputs),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"(?s)'cross_entropy' reads tokens.*split"):
            call()


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"class_focl": 1.0}, "did you mean 'class_focal'"),
        ({"class_focal": {"span": "answer"}}, "which have no spans"),
        ({"class_focal": {"class_weight": "balancd"}}, "balanced | inverse | effective_number"),
        ({"class_focal": {"class_weight": []}}, "'class_weight' of the term 'class_focal'"),
        ({"class_focal": {"class_weight": [1.0, -1.0]}}, "each of at least 0.0"),
        ({"class_focal": {"class_weight": 2.0}}, "list or none"),
        ({"class_focal": {"class_weight": [1.0, "a"]}}, "list or none"),
        ({"binary_focal": {"alpha": 1.5}}, "from 0.0 to 1.0"),
        ({"binary_focal": {"alpha": "rare"}}, "inverse | auto | prevalence"),
        ({"binary_cross_entropy": {"pos_weight": "balanced"}}, "or auto"),
        ({"multilabel_dice": {"over": "batch"}}, "labels | examples"),
        ({"query_diversity": {"threshold": 2}}, "from -1.0 to 1.0"),
        ({"huber": {"delta": 0}}, "at least 1e-06"),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_what_is_wrong_is_named(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        Objective(terms)
    assert says in str(error.value)


CLASS: dict[str, Any] = {"logits": torch.zeros(3, 2), "labels": torch.tensor([0, 1, 1])}
MANY: dict[str, Any] = {"logits": torch.zeros(3, 2), "labels": torch.ones(3, 2)}


@pytest.mark.parametrize(
    ("terms", "outputs", "says"),
    [
        ({"class_focal": 1.0}, MANY, "use binary_cross_entropy, binary_focal or multilabel_dice"),
        ({"class_cross_entropy": 1.0}, MANY, r"\(examples,\) of torch.int64"),
        ({"class_focal": 1.0}, CLASS | {"labels": torch.tensor([0, 2, 1])}, "outside the classes"),
        ({"class_focal": 1.0}, CLASS | {"labels": torch.tensor([0, -100, 1])}, "by `keep`"),
        ({"binary_focal": 1.0}, CLASS, "use class_cross_entropy or class_focal"),
        ({"binary_cross_entropy": 1.0}, {"logits": torch.zeros(3, 1), "labels": torch.ones(3)}, "as one column"),
        ({"multilabel_dice": 1.0}, MANY | {"labels": torch.full((3, 2), 2.0)}, "neither 0 nor 1"),
        ({"multilabel_dice": 1.0}, MANY | {"labels": torch.full((3, 2), torch.nan)}, "neither 0 nor 1"),
        ({"class_focal": {"class_weight": [1.0, 2.0, 3.0]}}, CLASS, "3 numbers"),
        ({"class_cross_entropy": {"class_weight": [1.0]}}, CLASS, "outside the classes"),
        ({"class_cross_entropy": {"class_weight": [1.0] * 3}}, CLASS, "class_weight does not fit"),
        ({"class_cross_entropy": {"class_weight": [1.0] * 2}}, MANY, "not one class for each example"),
        ({"class_focal": 1.0}, CLASS | {"logits": torch.zeros(3)}, "logits are no matrix"),
        ({"binary_cross_entropy": {"pos_weight": [1.0]}}, MANY, "pos_weight does not fit"),
        (
            {"binary_focal": {"alpha": "inverse"}},
            MANY,
            r"(?s)alpha: inverse of the term .* was not counted.*weighted_by",
        ),
        ({"class_cross_entropy": {"class_weight": "balanced"}}, CLASS, "not counted on the training split"),
        ({"huber": 1.0}, CLASS, r"reads predictions and targets and present|reads targets and present"),
        ({"query_diversity": 1.0}, CLASS, "reads queries"),
        ({"query_diversity": 1.0}, {"queries": torch.zeros(2, 2)}, "how many examples"),
        ({"query_diversity": 1.0}, CLASS | {"queries": torch.zeros(2)}, "queries are no matrix"),
        ({"huber": 1.0}, {"predictions": torch.zeros(3, 2), "targets": torch.zeros(3)}, "do not fit"),
        (
            {"log_quantity": 1.0},
            {"predictions": torch.zeros(3), "targets": torch.tensor([0.0, 2.0, -1.0])},
            "negative",
        ),
    ],
)
@pytest.mark.usefixtures("as_users_run_it")
def test_outputs_that_do_not_fit_are_refused(terms: dict[str, Any], outputs: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Objective(terms).on_outputs(Outputs(**outputs))


@pytest.mark.usefixtures("as_users_run_it")
def test_outputs_of_unlike_examples_and_masks_of_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="logits of 3, labels of 2"):
        Outputs(logits=torch.zeros(3, 2), labels=torch.zeros(2))
    with pytest.raises(InputError, match="task maths of 2"):
        Outputs(labels=torch.zeros(3), tasks={"maths": torch.ones(2, dtype=torch.bool)})
    # A mask of integers would be taken as an index of examples 0 and 1.
    with pytest.raises(InputError, match="'keep' is no mask"):
        Outputs(labels=torch.zeros(3), keep=torch.tensor([1, 0, 1]))


def test_a_denominator_that_cannot_be_is_refused() -> None:
    objective = Objective({"class_focal": 1.0})
    with pytest.raises(InputError, match="did you mean"):
        objective.on_outputs(Outputs(**CLASS), counts={"class_focl": 3.0})
    with pytest.raises(InputError, match="not above 0"):
        objective.on_outputs(Outputs(**CLASS), counts={"class_focal": 0.0})


def test_terms_of_a_task_read_its_examples_alone() -> None:
    outputs = make_outputs("class_focal", 6, 3)
    inside = torch.tensor([True, False, True, False, True, True])
    keep = torch.tensor([True, True, False, True, True, True])
    objective = Objective({"class_focal": 1.0, "by_task": {"hate": {"class_cross_entropy": 0.5}}})
    value = objective.on_outputs(replace(outputs, keep=keep, tasks={"hate": inside}))
    for name, loss, own in (
        ("class_focal", "class_focal", keep & ~inside),
        ("hate.class_cross_entropy", "class_cross_entropy", keep & inside),
    ):
        alone = Objective({loss: 1.0}).on_outputs(replace(outputs, keep=own))
        assert value.parts[name] == alone.parts[loss]
        assert value.counts[name] == int(own.sum())
    with pytest.raises(InputError, match=r"tasks=\{'hate': mask\}"):
        objective.on_outputs(outputs)


def test_shares_are_norms_on_the_hidden_states_and_on_queries_for_a_term_of_parameters() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 6, generator=draw, dtype=torch.float64, requires_grad=True)
    head = torch.randn(3, 6, generator=draw, dtype=torch.float64)
    queries = torch.tensor([[1.0, 0.2], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    outputs = Outputs(logits=hidden @ head.t(), labels=torch.tensor([0, 2, 1, 1, 0]), queries=queries)
    terms: dict[str, Any] = {"class_focal": 0.7, "class_cross_entropy": 0.2, "query_diversity": 0.1}
    counts = dict.fromkeys(terms, 9.0)
    norms = {}
    for name, weight in terms.items():
        total = Objective({name: weight}).on_outputs(outputs, counts={name: 9.0}).total
        on = queries if name == "query_diversity" else hidden
        norms[name] = float(torch.autograd.grad(total, on, retain_graph=True)[0].norm())
    expected = {name: norm / sum(norms.values()) for name, norm in norms.items()}
    objective = Objective(terms)
    assert objective.shares_on_outputs(outputs, hidden, counts=counts) == pytest.approx(expected)
    on_outputs = objective.shares_on_outputs(outputs, counts=counts)
    assert sum(on_outputs.values()) == pytest.approx(1.0)
    assert on_outputs["class_focal"] != pytest.approx(expected["class_focal"])
    assert hidden.grad is None
    # The graph is still there for the step itself.
    objective.on_outputs(outputs).total.backward()


def test_shares_work_under_no_grad_and_leave_out_terms_without_examples() -> None:
    outputs = replace(make_outputs("class_focal", 4, 3), tasks={"hate": torch.zeros(4, dtype=torch.bool)})
    objective = Objective({"class_focal": 1.0, "by_task": {"hate": {"class_cross_entropy": 0.5}}})
    with torch.no_grad():
        assert objective.shares_on_outputs(outputs) == {"class_focal": 1.0}


# A loss of one's own over heads


def margin(stats: Any, *, width: float = 1.0) -> Tensor:
    """Hinge on the class's lead over the best other one."""
    own = stats.logits.gather(1, stats.labels[:, None])[:, 0]
    others = stats.logits.scatter(1, stats.labels[:, None], -torch.inf).amax(1)
    return torch.relu(width - own + others)


margin.kind, margin.needs = "separable", ("logits", "labels")  # type: ignore[attr-defined]


def hardest(stats: Any) -> Tensor:
    return (stats.predictions - stats.targets).abs().amax()


hardest.kind, hardest.needs = "set", ("predictions", "targets")  # type: ignore[attr-defined]


def heavy(stats: Any) -> Tensor:
    return stats.labels * torch.nn.functional.cross_entropy(stats.logits, stats.labels, reduction="none")


heavy.kind, heavy.needs = "separable", ("logits", "labels")  # type: ignore[attr-defined]
heavy.count = lambda stats: float(stats.labels.sum())  # type: ignore[attr-defined]


def shapeless(stats: Any) -> Tensor:
    return stats.logits


shapeless.kind, shapeless.needs = "separable", ("logits",)  # type: ignore[attr-defined]


def test_losses_of_ones_own() -> None:
    outputs = make_outputs("class_focal", 6, 3)
    objective = Objective({name: {"loss": f"{__name__}:{name}"} for name in ("margin", "heavy")})
    value = objective.on_outputs(outputs)
    assert outputs.labels is not None
    assert {name: float(count) for name, count in value.counts.items()} == {
        "margin": 6.0,
        "heavy": float(outputs.labels.sum()),
    }
    assert [(term.reads, term.unit) for term in objective.terms] == [
        ("class head", "example"),
        ("class head", "weight"),
    ]
    regression = make_outputs("huber", 6, 3)
    full = replace(regression, targets=torch.zeros(6, 3, dtype=torch.float64))
    own = Objective({"hardest": {"loss": f"{__name__}:hardest"}})
    assert own.terms[0].reads == "regression head"
    assert regression.predictions is not None
    assert own.on_outputs(full).parts["hardest"] == pytest.approx(float(regression.predictions.abs().max().detach()))
    with pytest.raises(InputError, match="one value for each example"):
        Objective({"mine": {"loss": f"{__name__}:shapeless"}}).on_outputs(outputs)


# The configuration


@pytest.mark.parametrize("name", HEAD_LOSSES)
def test_the_causal_task_has_no_head_for_these_losses(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("causal", [f"objective={{cross_entropy: 1, {name}: 0.1}}"])
    assert f"objective.{name} reads the outputs of a {HEAD_LOSSES[name].reads}, which" in str(error.value)
    assert "the task 'causal' does not have" in str(error.value)
    assert "a loss that reads tokens" in str(error.value)


GIVES = ("logits", "labels", "queries")
HEADED = TaskRow(
    "headed", "a task with a class head", {"": TaskWay("some.module:TASK", losses=("class head",), gives=GIVES)}
)


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        ({"cross_entropy": 1.0}, "objective.cross_entropy reads tokens, which"),
        ({"class_focal": {"weight": 1.0, "span": "answer"}}, "have no spans"),
        ({"class_focal": {"class_weight": "balance"}}, "list or none, each of at least 0.0, or balanced | inverse"),
        ({"class_focal": {"class_weight": [1, -2]}}, "class_weight is out of range"),
        ({"class_focal": {"class_weight": [1, float("nan")]}}, "class_weight is out of range"),
        ({"binary_focal": {"alpha": [0.5, 2]}}, "each from 0.0 to 1.0, or inverse | auto | prevalence"),
        ({"huber": 1.0}, "the task 'headed' does not have"),
    ],
)
def test_the_configuration_of_a_task_with_a_head_is_judged_as_the_objective_is(
    objective: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check_objective(objective, HEADED)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "objective",
    [
        {"class_cross_entropy": {"class_weight": "balanced", "label_smoothing": 0.1}},
        {"class_focal": {"class_weight": [1, 0.5, 2]}, "query_diversity": 5.6},
        {"binary_cross_entropy": {"pos_weight": 3}},
        {"binary_focal": {"alpha": "inverse"}, "by_task": {"hate": {"binary_cross_entropy": {"pos_weight": "auto"}}}},
    ],
)
def test_what_a_task_with_a_head_may_be_trained_on_is_accepted(objective: dict[str, Any]) -> None:
    check_objective(objective, HEADED)
    assert all(term.reads == "class head" for term in Objective(objective).terms)
