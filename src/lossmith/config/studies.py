"""The groups `cv`, `ablate` and `tune`: studies made of many runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lossmith.config.strict import Group

Positive = Annotated[int, Field(gt=0)]
FoldKind = Literal["auto", "k-fold", "stratified", "clustered", "stratified-clustered"]


class CvConfig(Group):
    """Cross-validation."""

    folds: Annotated[int, Field(ge=2)] = 5
    repeats: Positive = 1
    kind: FoldKind = Field("auto", description="auto: stratified where there are labels, clustered where data.cluster")
    inner: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="share of each training fold that is its validation split"
    )
    all_records: bool = Field(False, description="deal out the records of the test split, too")
    allow_leaks: bool = Field(False, description="go on where texts or clusters stand in two folds")
    processes: Positive | None = Field(None, description="runs at once; null: chosen by the cores")


class AblateConfig(Group):
    """Objectives x seeds (x models) on the same data."""

    objectives: dict[str, dict[str, Any]] = Field(default_factory=dict, description="name: objective")
    models: dict[str, list[str]] = Field(default_factory=dict, description="name: overrides")
    seeds: Positive | list[int] = Field(8, description="how many, or which")
    baseline: str | None = Field(None, description="objective that the others are compared with; null: the first")
    processes: Positive | None = Field(None, description="runs at once; null: chosen by the cores")


class TuneConfig(Group):
    """A search over keys of the configuration."""

    space: dict[str, dict[str, Any] | list[Any]] = Field(
        default_factory=dict, description="key: {low, high, log, step} or a list of choices"
    )
    trials: Positive = 20
    metric: str | None = Field(None, description="null: train.metric_for_best_model, on validation")
    direction: Literal["up", "down"] | None = Field(None, description="null: as the metric says")
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "none"] = "median"
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps before pruning")
    startup_trials: Positive = Field(5, description="whole trials before pruning")
    storage: str | None = Field(None, description="database URL; null: sqlite in the study's folder")
    folds: Annotated[int, Field(ge=2)] | None = Field(None, description="value = mean over so many folds")
    outer: Annotated[int, Field(ge=2)] | None = None
    inner: Annotated[int, Field(ge=2)] | None = None
    timeout: Annotated[float, Field(gt=0)] | None = Field(None, description="seconds")
    processes: Positive | None = Field(None, description="trials at once; null: one")
