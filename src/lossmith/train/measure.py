"""Text metrics on the validation rows while training, for a best checkpoint that is chosen by one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from lossmith.config.schema import Config
from lossmith.evaluate.measures import find_measures
from lossmith.evaluate.predictions import Predictions
from lossmith.models.precision import Precision
from lossmith.tasks.predict import as_table, decode_rows
from lossmith.tasks.rows import Rows


def measure_text(
    config: Config, rows: Rows, tokenizer: Any, *, end_ids: Sequence[int], precision: Precision
) -> Callable[[nn.Module], dict[str, float]]:
    """A function from the model to the value of `metric_for_best_model` on the generated answers to `rows`.

    They are generated in the number format of the training steps. A value that is undefined is left out; such an
    evaluation chooses no checkpoint.
    """
    assert config.train is not None
    name = config.train.metric_for_best_model.removeprefix("eval_")
    measures = find_measures([name])

    def measure(model: nn.Module) -> dict[str, float]:
        with precision.autocast():
            outputs = decode_rows(
                model,
                tokenizer,
                rows,
                how=config.generate,
                end_ids=end_ids,
                seed=config.seed,
            )
            predictions = Predictions(as_table(rows, outputs), "the validation answers")
        values = {key: one.score(predictions).value() for key, one in measures.items()}
        return {key: float(value) for key, value in values.items() if value is not None}

    return measure
