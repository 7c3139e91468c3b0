"""Metrics on the validation rows while training, for a best checkpoint that is chosen by one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import nn

from lossmith.evaluate.measures import find_measures
from lossmith.evaluate.predictions import Predictions
from lossmith.models.load import Loaded
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Task
from lossmith.train.decision import decision_while_training
from lossmith.train.trainer import Measure


def measure_answers(task: Task, rows: Rows, loaded: Loaded, given: Given) -> Measure:
    """A function from the model to the value of `metric_for_best_model` on its answers to `rows`.

    They are made in the number format of the training steps, or of the logits that the evaluation has seen. A value
    that is undefined is left out; such an evaluation chooses no checkpoint.
    """
    train = given.config.train
    assert train is not None
    measures = find_measures([train.metric_for_best_model.removeprefix("eval_")])
    decision = decision_while_training(given)

    def measure(model: nn.Module, logits: Mapping[int, np.ndarray]) -> dict[str, float]:
        with given.precision.autocast():
            if task.scored is not None:
                answers = task.scored(logits, given)
            else:
                answers = task.answers(replace(loaded, model=model), rows, given, None)
            table = task.table(rows, answers, given, decision)
        smallest = given.config.evaluate.smallest_group
        predictions = Predictions(table, "the validation answers", smallest_group=smallest)
        values = {key: one.score(predictions).value() for key, one in measures.items()}
        return {key: float(value) for key, value in values.items() if value is not None}

    return measure
