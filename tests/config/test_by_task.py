"""Terms by the record's task: written, edited and judged as other terms are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lossmith.config.load import as_yaml, load_config
from lossmith.config.objective import written_terms
from lossmith.errors import ConfigError

TASKS: dict[str, Any] = {
    "data": {"task": "kind"},
    "objective": {
        "cross_entropy": 1,
        "by_task": {"maths": {"cross_entropy": 0.6, "focal": {"weight": 0.4, "gamma": 1}}, "chem": {"focal": 1}},
    },
}


def test_terms_of_a_task_are_called_after_it():
    terms = written_terms(TASKS["objective"])
    assert [(t.name, t.task, t.loss, t.weight) for t in terms] == [
        ("cross_entropy", None, "cross_entropy", 1),
        ("maths.cross_entropy", "maths", "cross_entropy", 0.6),
        ("maths.focal", "maths", "focal", 0.4),
        ("chem.focal", "chem", "focal", 1),
    ]
    assert [t.where for t in terms][1:3] == ["objective.by_task.maths.cross_entropy", "objective.by_task.maths.focal"]


def test_overrides_edit_the_terms_of_a_task_as_they_edit_others(tmp_path: Path):
    given = [
        "objective.by_task.maths.cross_entropy.label_smoothing=0.1",
        "objective.by_task.maths.focal=0.2",
        "objective.by_task.maths.lovasz_softmax=0.1",
        "~objective.by_task.chem",
        "+objective.by_task.law={cross_entropy: 2}",
    ]
    config = load_config(TASKS, given)
    assert config.objective["by_task"] == {
        "maths": {
            "cross_entropy": {"weight": 0.6, "label_smoothing": 0.1},
            "focal": {"weight": 0.2, "gamma": 1},
            "lovasz_softmax": 0.1,
        },
        "law": {"cross_entropy": 2},
    }
    file = tmp_path / "again.yaml"
    file.write_text(as_yaml(config))
    assert load_config(file) == config


def test_a_task_is_named_on_the_command_line_alone():
    config = load_config("causal", ["data.task=kind", "objective.by_task.maths.cross_entropy=0.5"])
    assert config.objective == {"cross_entropy": 1.0, "by_task": {"maths": {"cross_entropy": 0.5}}}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("objective.by_task.maths.focl=1", "did you mean 'objective.by_task.maths.focal'?"),
        ("objective.by_task.maths.focal.gama=1", "did you mean 'objective.by_task.maths.focal.gamma'?"),
        ("objective.by_task.maths.focal.gamma=-1", "objective.by_task.maths.focal.gamma is out of range"),
        ("objective.by_task.maths.focal=-1", "objective.by_task.maths.focal.weight is no weight"),
        ("objective.by_task.maths.focal.loss=focl", "did you mean 'objective.by_task.maths.focal.loss=focal'?"),
        ("objective.by_task.maths.unlikelihood=1", "objective.by_task.maths.unlikelihood needs a span"),
        ("objective.by_tasks={maths: {focal: 1}}", "did you mean 'objective.by_task'?"),
        ("objective={by_task: {focal: 1}}", "'focal' is a loss: a task's name stands above it"),
        ("objective={by_task: 1}", "objective.by_task names no task"),
        ("objective.by_task.law={}", "objective.by_task.law holds no terms"),
        ("objective.by_task.chem.focal=0", "every term of the task 'chem' has weight 0"),
        ("data.task=null", "data.task=COLUMN"),
        ("train.metric_for_best_model=maths.cross_entropi", "did you mean 'maths.cross_entropy'?"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(override: str, says: str):
    with pytest.raises(ConfigError) as error:
        load_config(TASKS, [override])
    assert says in str(error.value)


def test_two_terms_of_one_name_are_refused():
    twice = {"maths.focal": {"loss": "focal"}, "by_task": {"maths": {"focal": 1}}}
    with pytest.raises(ConfigError, match=r"two terms are named 'maths\.focal'"):
        written_terms(twice)


def test_a_term_of_a_task_can_choose_the_checkpoint():
    config = load_config(TASKS, ["train.metric_for_best_model=maths.cross_entropy"])
    assert config.train is not None
    with pytest.raises(ConfigError, match="no measure of progress"):
        load_config(
            TASKS,
            ["objective.by_task.chem={self_adjusting_dice: 1}", "train.metric_for_best_model=chem.self_adjusting_dice"],
        )
