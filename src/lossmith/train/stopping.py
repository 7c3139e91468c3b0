"""Early stopping with patience, an absolute or relative threshold, and a stated direction."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class EarlyStopping(TrainerCallback, ExportableState):
    """Stop when the metric has not improved on its best value for `patience` evaluations running.

    The best value here moves only by improvements larger than the threshold, and is kept apart from the best
    checkpoint, which any improvement moves. State is saved with each checkpoint.
    """

    def __init__(
        self,
        patience: int,
        *,
        metric: str,
        greater_is_better: bool,
        threshold: float = 0.0,
        relative: bool = False,
    ) -> None:
        self.patience, self.metric, self.greater_is_better = patience, metric, greater_is_better
        self.threshold, self.relative = threshold, relative
        self.best: float | None = None
        self.misses = 0

    def improves(self, value: float) -> bool:
        """Whether a value beats the best one by more than the threshold."""
        if self.best is None:
            return True
        gain = value - self.best if self.greater_is_better else self.best - value
        return gain > self.threshold * (abs(self.best) if self.relative else 1.0)

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.misses >= self.patience

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Have the steps so far logged before an evaluation that may end training: no later line would hold them."""
        if control.should_evaluate and self.misses + 1 >= self.patience:
            control.should_log = True

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """The same where evaluations fall on the ends of epochs."""
        self.on_step_end(args, state, control)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **more: Any,
    ) -> None:
        """Judge an evaluation, whose `metrics` are among the keywords; one without a value is no improvement."""
        value = more["metrics"].get(self.metric)
        if value is not None and self.improves(value):
            self.best, self.misses = value, 0
        else:
            self.misses += 1
        if self.exhausted:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        args = {
            "patience": self.patience,
            "metric": self.metric,
            "greater_is_better": self.greater_is_better,
            "threshold": self.threshold,
            "relative": self.relative,
        }
        return {"args": args, "attributes": {"best": self.best, "misses": self.misses}}
