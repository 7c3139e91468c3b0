"""Terms by the record's task: what covers no record or every record is told before the first step, and counted by task."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lossmith.errors import DataError
from lossmith.losses import Objective
from lossmith.tasks.token_parts import TokenParts

from .building import PLAIN, Built, Windows, relative, row

BY_TASK = (
    "objective={focal: 0.5, by_task: {maths: {cross_entropy: 0.6, lovasz_softmax: 0.4},"
    " chem: {generalized_dice: {weight: 0.5, span: items}, cross_entropy: 0.5}}}"
)
KINDS = ("maths", "chem", "law", "maths", None, "chem", "maths", "maths")


def rows_of(kinds: Sequence[str | None]) -> list[dict[str, Any]]:
    """Rows of very unequal lengths, each of a task."""
    lengths = [3, 40, 1, 9, 17, 2, 30, 5]
    return [
        {**row(n, prompt=2, answer=lengths[n % 8], items=min(3, lengths[n % 8])), "task": kind}
        for n, kind in enumerate(kinds)
    ]


@pytest.fixture
def of_kinds(tmp_path: Path) -> Callable[..., list[str]]:
    """Overrides that read records of these tasks, and one of each for validation where nothing else is said."""

    def write(kinds: Sequence[str | None], validation: Sequence[str | None] | None = None) -> list[str]:
        file, draw = tmp_path / "kinds.jsonl", random.Random(0)
        splits = {"train": kinds, "validation": list(dict.fromkeys(kinds)) if validation is None else validation}
        with file.open("w") as out:
            for number, (split, kind) in enumerate((split, kind) for split, own in splits.items() for kind in own):
                text = "".join(draw.choices("ABCD", k=draw.randint(2, 30)))
                out.write(json.dumps({"p": f"q{number}", "a": text, "b": ".", "kind": kind, "split": split}) + "\n")
        return [f"data.files={file}", "data.task=kind"]

    return write


def test_the_batch_says_whose_each_position_is(build: Callable[..., Built], of_kinds: Callable[..., list[str]]):
    work = build("batch", BY_TASK, *of_kinds(KINDS), **PLAIN).trainer.work
    batch = work.collate([work.train[n] for n in range(len(KINDS))])
    for task in ("maths", "chem"):
        own = torch.tensor([kind == task for kind in KINDS])
        assert torch.equal(batch["spans"][f"task:{task}"] >= 0, own[batch["examples"]])
    read = work.objective.reads(batch["labels"], batch["spans"])
    assert read.all()


@pytest.mark.parametrize("cut", [(4, 2), (2, 4), (1, 8)])
def test_a_window_of_several_tasks_cut_anyhow_has_one_gradient(
    build: Callable[..., Built], of_kinds: Callable[..., list[str]], cut: tuple[int, int]
):
    found = []
    for size, accumulation in ((8, 1), cut):
        given = PLAIN | {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        built = build(f"cut-{size}", BY_TASK, *of_kinds(KINDS), rows=rows_of(KINDS), **given)
        windows = Windows(built.trainer, built.loaded.model)
        history = built.fit()
        assert len(windows.gradients) == len(history) == 1
        found.append((windows.gradients[0], history[0]))
    (true, first), (other, second) = found
    assert relative(other, true) < 2e-6
    assert list(first["terms"]) == [
        "focal", "maths.cross_entropy", "maths.lovasz_softmax", "chem.generalized_dice", "chem.cross_entropy",
    ]  # fmt: skip
    for name, term in first["terms"].items():
        assert second["terms"][name]["value"] == pytest.approx(term["value"], rel=1e-5), name
        assert term["share"] > 0
    assert first["loss"] == pytest.approx(sum(t["weight"] * t["value"] for t in first["terms"].values()))


@pytest.mark.parametrize("size", [1, 3, 8])
def test_evaluation_is_exact_by_task_whatever_the_batch(
    build: Callable[..., Built], of_kinds: Callable[..., list[str]], size: int
):
    given = PLAIN | {"eval_strategy": "epoch", "learning_rate": 1e-30, "per_device_eval_batch_size": size}
    built = build("eval", BY_TASK, *of_kinds(KINDS), rows=rows_of(KINDS), validation=rows_of(KINDS), **given)
    work, model = built.trainer.work, built.loaded.model
    assert work.validation is not None
    expected = {}
    model.eval()
    plain = {"maths": {"cross_entropy": 1, "lovasz_softmax": 1}, "chem": {"cross_entropy": 1}, None: {"focal": 1}}
    for task, terms in plain.items():
        rows = [work.validation[n] for n, kind in enumerate(KINDS) if (kind if kind in plain else None) == task]
        with torch.no_grad():
            parts: TokenParts = work.forward(model, work.collate(rows))
        positional, named = parts.arguments()
        for name, value in Objective(terms)(*positional, **named).parts.items():
            expected[f"eval_{name}" if task is None else f"eval_{task}.{name}"] = value
    line = next(line for line in built.fit() if "eval_loss" in line)
    assert {name: line[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    weights = {"focal": 0.5, "maths.cross_entropy": 0.6, "maths.lovasz_softmax": 0.4,
               "chem.generalized_dice": 0.5, "chem.cross_entropy": 0.5}  # fmt: skip
    assert line["eval_loss"] == pytest.approx(sum(w * line[f"eval_{n}"] for n, w in weights.items()))


def test_records_of_a_task_without_terms_are_refused_with_their_counts(
    build: Callable[..., Built], of_kinds: Callable[..., list[str]]
):
    objective = "objective={by_task: {maths: {cross_entropy: 1}}}"
    with pytest.raises(DataError, match="4 train records are of a task that no term is for") as caught:
        build("uncovered", objective, *of_kinds(KINDS), **PLAIN)
    assert caught.value.got == "chem (2), without a task (1), law (1)"
    assert "objective.by_task.chem.cross_entropy=1" in str(caught.value.fix)
    with pytest.raises(DataError, match="1 validation records"):
        build("late", objective, *of_kinds(["maths"] * 4, ["maths", "law"]), **PLAIN)


def test_a_task_that_no_record_has_is_named_with_those_there_are(
    build: Callable[..., Built], of_kinds: Callable[..., list[str]]
):
    with pytest.raises(DataError, match="no training record is of the task 'math'") as caught:
        build("misspelt", "objective={focal: 1, by_task: {math: {cross_entropy: 1}}}", *of_kinds(KINDS), **PLAIN)
    assert caught.value.expected == "maths (4), chem (2), without a task (1), law (1)"
    assert caught.value.fix == "did you mean 'maths'?"


def test_terms_beside_by_task_that_are_for_no_record_are_told(
    build: Callable[..., Built], of_kinds: Callable[..., list[str]]
):
    given = "objective={focal: 1, by_task: {maths: {cross_entropy: 1}, chem: {cross_entropy: 1}}}"
    built = build("idle", given, *of_kinds(["maths", "chem"]), **PLAIN)
    assert [w for w in built.warnings if w.startswith("focal: for records of other tasks than maths, chem")]


def test_a_span_absent_from_the_records_of_its_task_is_refused(
    build: Callable[..., Built], of_kinds: Callable[..., list[str]]
):
    rows = [{**each, "spans": each["spans"] if each["task"] == "chem" else []} for each in rows_of(KINDS)]
    for task, refused in (("maths", True), ("chem", False)):
        objective = f"objective={{cross_entropy: 1, by_task: {{{task}: {{focal: {{span: items}}}}}}}}"
        if not refused:
            build(f"span-{task}", objective, *of_kinds(KINDS), rows=rows, **PLAIN)
            continue
        with pytest.raises(DataError, match=rf"'{task}\.focal' is absent from .* the task '{task}'"):
            build(f"span-{task}", objective, *of_kinds(KINDS), rows=rows, **PLAIN)
