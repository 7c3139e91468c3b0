"""What a search makes large or small: a metric on validation records, its direction, and when it is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.config.objective import written_terms
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, LossmithError, nearest
from lossmith.names import METRICS
from lossmith.runs import RunFolder, read_json, read_jsonl

Direction = Literal["up", "down"]
_WAYS: Mapping[str, Direction] = {"up": "up", "down": "down"}


@dataclass(frozen=True)
class Aim:
    """A metric and its direction.

    `while_training`: every evaluation of the training tells it, so that a trial may be pruned; else it is measured on
    predictions afterwards. `split` is where: validation, or with folds the records of each fold, which there are the
    run's test split.
    """

    metric: str
    direction: Direction
    while_training: bool
    split: Literal["validation", "test"]

    @property
    def name(self) -> str:
        """The metric that evaluate.metrics names: of `fpr.women` it is fpr, of one's own all of it."""
        return self.metric if self.metric in METRICS or ":" in self.metric else self.metric.partition(".")[0]

    def better(self, one: float, other: float) -> bool:
        """Whether a value beats another."""
        return one > other if self.direction == "up" else one < other


def aim_of(config: Config) -> Aim:
    """The aim of a configuration: tune.metric, or the metric that chooses its checkpoints.

    With folds, or without training, only metrics on predictions can be measured: the first of evaluate.metrics is
    taken where none is named. Raises ConfigError for a metric that is not there or has no direction.
    """
    train, asked = config.train, config.tune.metric
    folded = config.tune.folds is not None or config.tune.inner is not None
    watched = {"loss", *(term.name for term in written_terms(config.objective))}
    chosen = train.metric_for_best_model.removeprefix("eval_") if train is not None else None
    metric = (asked or chosen or config.evaluate.metrics[0]).removeprefix("eval_")
    if asked is None and (folded or train is None) and metric not in METRICS:
        metric = config.evaluate.metrics[0]
    while_training = not folded and train is not None and (metric in watched or metric == chosen)
    if not while_training and metric in watched:
        raise ConfigError(
            f"tune.metric={metric} is not measured on predictions",
            got=metric,
            expected="a metric of `lossmith list metrics`: with folds, or without training, predictions are scored",
            fix=f"tune.metric={config.evaluate.metrics[0]}",
        )
    if while_training and train is not None and train.eval_strategy == "no":
        raise ConfigError(
            f"{metric} is measured at evaluations, and there are none",
            got="train.eval_strategy=no",
            fix="train.eval_strategy=epoch, or tune.metric names one that is measured on predictions",
        )
    return Aim(metric, _direction(config, metric, watched, chosen), while_training, "test" if folded else "validation")


def _direction(config: Config, metric: str, watched: set[str], chosen: str | None) -> Direction:
    if config.tune.direction is not None:
        return config.tune.direction
    if metric in watched:
        return "down"
    name = metric if metric in METRICS else metric.partition(".")[0]
    if name in METRICS and METRICS[name].direction in _WAYS:
        return _WAYS[METRICS[name].direction]
    if metric == chosen and config.train is not None and config.train.greater_is_better is not None:
        return "up" if config.train.greater_is_better else "down"
    near = nearest(metric, [*METRICS, *watched])
    raise ConfigError(
        f"nobody says which way '{metric}' improves",
        got=f"tune.metric={metric}",
        expected="a metric of `lossmith list metrics` that rises or falls, or tune.direction=up or down beside it",
        fix=f"did you mean '{near}'?" if near and near != metric else "tune.direction=up",
    )


def evaluations(run: RunFolder, aim: Aim) -> list[tuple[int, float]]:
    """Step and value of every evaluation that has one, in order."""
    lines = [line for line in read_jsonl(run.history) if "eval_loss" in line]
    key = f"eval_{aim.metric}"
    return [(line["step"], line[key]) for line in lines if line.get(key) is not None]


def measured(run: RunFolder, config: Config, aim: Aim) -> float:
    """The value of a finished run: of the model that it leaves, or of its predictions.

    Raises LossmithError where it is undefined.
    """
    value: float | None
    if not aim.while_training:
        value, reason = _of_predictions(read_json(run.metrics()), aim.metric)
    else:
        found = [value for _, value in evaluations(run, aim)]
        reason = "no evaluation has a value"
        kept = run.manifest().get("best") if config.train and config.train.load_best_model_at_end else None
        named = kept is not None and kept["metric"].removeprefix("eval_") == aim.metric
        if kept is not None and not named:
            at = [value for step, value in evaluations(run, aim) if step == kept["step"]]
            found = at or found
        value = kept["value"] if kept is not None and named else found[-1] if found else None
    if value is None or not math.isfinite(value):
        raise LossmithError(f"{aim.metric} has no value", got=value, expected="a number", fix=reason)
    return float(value)


def _of_predictions(metrics: Mapping[str, Any], metric: str) -> tuple[float | None, str | None]:
    """The value of a metric of metrics.json, or of a group's: `f1`, `fpr.women`."""
    if metric in metrics["metrics"]:
        entry = metrics["metrics"][metric]
    else:
        name, _, group = metric.partition(".")
        entry = metrics.get("groups", {}).get(group, {}).get(name)
    return (entry["value"], entry.get("reason")) if entry else (None, f"metrics.json has no {metric}")
