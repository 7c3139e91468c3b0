"""Early stopping: patience, threshold, direction, and what a checkpoint keeps of it."""

from __future__ import annotations

from transformers import TrainerControl, TrainerState, TrainingArguments

from lossmith.train.stopping import EarlyStopping


def judge(stopping: EarlyStopping, values: list[float]) -> list[bool]:
    control = TrainerControl()
    stops = []
    for value in values:
        stopping.on_evaluate(None, TrainerState(), control, metrics={"eval_x": value})  # type: ignore[arg-type]
        stops.append(control.should_training_stop)
    return stops


def test_it_stops_after_patience_evaluations_without_improvement():
    stopping = EarlyStopping(2, metric="eval_x", greater_is_better=False)
    assert judge(stopping, [3.0, 2.0, 2.0, 1.9, 2.5, 1.9]) == [False, False, False, False, False, True]


def test_direction_is_the_stated_one():
    assert judge(EarlyStopping(1, metric="eval_x", greater_is_better=True), [1.0, 2.0, 3.0]) == [False] * 3
    assert judge(EarlyStopping(1, metric="eval_x", greater_is_better=False), [1.0, 2.0]) == [False, True]


def test_small_gains_do_not_count_and_do_not_move_the_mark():
    # Each step gains 0.6 %, never 1 % on the best value that counted until the third.
    relative = EarlyStopping(9, metric="eval_x", greater_is_better=True, threshold=0.01, relative=True)
    judge(relative, [100.0, 100.6, 101.2, 101.3])
    assert (relative.best, relative.misses) == (101.2, 1)
    absolute = EarlyStopping(9, metric="eval_x", greater_is_better=True, threshold=0.01)
    judge(absolute, [100.0, 100.6])
    assert (absolute.best, absolute.misses) == (100.6, 0)


def test_an_evaluation_without_a_value_is_no_improvement():
    stopping = EarlyStopping(2, metric="eval_y", greater_is_better=False)
    assert judge(stopping, [1.0, 0.5]) == [False, True]
    assert stopping.best is None


def test_state_survives_a_checkpoint():
    stopping = EarlyStopping(3, metric="eval_x", greater_is_better=False, threshold=0.1, relative=True)
    judge(stopping, [1.0, 2.0, 2.0])
    again = EarlyStopping.from_state(stopping.state())
    assert vars(again) == vars(stopping)


def test_the_arguments_that_restore_callbacks_are_there():
    assert "restore_callback_states_from_checkpoint" in TrainingArguments.__dataclass_fields__
