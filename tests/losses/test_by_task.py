"""Terms by task: each is the loss on the positions of its task alone, counted there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lossmith.losses import Objective, Value

from .batches import ALL_TERMS, Batch, make_batch

# Every loss in a task, beside one that reads the same span of the others.
TERMS: dict[str, Any] = {
    "lovasz_softmax": 0.5,
    "dice": {"loss": "generalized_dice", "weight": 0.2, "span": "rationale"},
    "by_task": {"maths": ALL_TERMS, "chem": {"lovasz_softmax": 0.3}},
}
MEMBERS = {"maths": 0, "chem": 1, None: 2}


@pytest.fixture
def batch() -> Batch:
    """48 positions of 3 examples, of which two are of a task each."""
    batch = make_batch(48)
    kind = torch.unique(batch.keywords["examples"], return_inverse=True)[1]
    spans = batch.keywords["spans"]
    # A mask and item numbers tell the same.
    spans["task:maths"] = kind == MEMBERS["maths"]
    spans["task:chem"] = torch.where(kind == MEMBERS["chem"], 0, -1)
    return batch


def of_task(batch: Batch, task: str | None) -> tuple[Tensor, Batch]:
    kind = torch.unique(batch.keywords["examples"], return_inverse=True)[1]
    index = (kind == MEMBERS[task]).nonzero()[:, 0]
    return index, batch.take(index)


def gradients(value: Value, batch: Batch) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value.total, batch.leaves, retain_graph=True)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dense", [False, True])
def test_the_objective_is_the_sum_of_each_tasks_own(batch: Batch, dense: bool) -> None:
    objective = Objective(TERMS)
    value = (objective.dense if dense else objective)(*batch.arguments(), **batch.keywords)
    hidden, weight = gradients(value, batch)
    beside = {name: body for name, body in TERMS.items() if name != "by_task"}
    own_terms = {"maths": TERMS["by_task"]["maths"], "chem": TERMS["by_task"]["chem"], None: beside}
    total, by_weight = torch.zeros_like(value.total), torch.zeros_like(weight)
    seen = 0
    for task, terms in own_terms.items():
        index, part = of_task(batch, task)
        alone = Objective(terms)(*part.arguments(), **part.keywords)
        for name, expected in alone.parts.items():
            called = name if task is None else f"{task}.{name}"
            assert value.parts[called] == pytest.approx(expected, rel=1e-10), called
            assert value.counts[called] == alone.counts[name], called
            seen += 1
        own_hidden, own_weight = gradients(alone, part)
        torch.testing.assert_close(hidden[index], own_hidden)
        total, by_weight = total + alone.total.detach(), by_weight + own_weight
    assert seen == len(objective.terms) == len(ALL_TERMS) + 3
    torch.testing.assert_close(value.total.detach(), total.detach())
    torch.testing.assert_close(weight, by_weight)


def test_positions_of_a_task_without_terms_leave_before_anything_is_computed(batch: Batch) -> None:
    objective = Objective({"by_task": {"maths": {"cross_entropy": 1.0}}})
    spans = {"task:maths": batch.keywords["spans"]["task:maths"]}
    inside = spans["task:maths"]
    assert torch.equal(objective.reads(batch.labels, spans), inside)
    batch.labels = batch.labels.masked_fill(~inside, -100)
    with torch.no_grad():
        batch.hidden[~inside] = torch.nan
    value = objective(*batch.arguments(), spans=spans)
    _, part = of_task(batch, "maths")
    expected = Objective({"cross_entropy": 1.0})(*part.arguments())
    assert value.total == expected.total
    (gradient,) = torch.autograd.grad(value.total, [batch.hidden])
    assert not gradient[~inside].any()
    assert gradient[inside].any(1).all()


def test_counts_and_shares_are_by_task(batch: Batch) -> None:
    objective = Objective(TERMS)
    spans, examples = batch.keywords["spans"], batch.keywords["examples"]
    counts = objective.counts(batch.labels, spans, examples)
    assert counts["maths.cross_entropy"] == int(spans["task:maths"].sum())
    assert counts["maths.lovasz_softmax"] == counts["chem.lovasz_softmax"] == counts["lovasz_softmax"] == 1
    nobody = {**spans, "task:chem": torch.full_like(spans["task:chem"], -1)}
    assert objective.counts(batch.labels, nobody, examples)["chem.lovasz_softmax"] == 0
    shares = objective.shares(*batch.arguments(), **batch.keywords)
    assert set(shares) == {term.name for term in objective.terms}
    assert sum(shares.values()) == pytest.approx(1.0)
    alone = objective.shares(*batch.arguments(), **{**batch.keywords, "spans": nobody})
    assert "chem.lovasz_softmax" not in alone


def test_a_term_says_whose_it_is() -> None:
    objective = Objective(TERMS)
    assert objective.tasks == ("maths", "chem")
    assert objective.span_names == ("answer", "ingredients", "rationale")
    told = {term.name: (term.task, term.other_than) for term in objective.terms}
    assert told["maths.likely"] == ("maths", ())
    assert told["dice"] == (None, ("maths", "chem"))
    (plain,) = Objective({"cross_entropy": 1.0}).terms
    assert (plain.task, plain.other_than, Objective({"cross_entropy": 1.0}).tasks) == (None, (), ())


def test_a_task_that_the_call_does_not_tell_is_an_error(batch: Batch) -> None:
    spans = {name: span for name, span in batch.keywords["spans"].items() if name != "task:chem"}
    with pytest.raises(ValueError, match="'task:chem', which is not given"):
        Objective(TERMS)(*batch.arguments(), **{**batch.keywords, "spans": spans})


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"by_task": {"maths": {"focl": 1}}}, "did you mean 'focal'"),
        ({"by_task": {"maths": {"focal": -1}}}, "weight of the term 'maths.focal'"),
        ({"by_task": {"maths": {"focal": {"gama": 1}}}}, "did you mean 'gamma'"),
        ({"by_task": {"maths": 1}}, "objective.by_task.maths holds no terms"),
        ({"by_task": {}}, "names no task"),
    ],
)
def test_what_is_wrong_is_named(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        Objective(terms)
