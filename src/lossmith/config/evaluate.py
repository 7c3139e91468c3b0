"""The groups `evaluate` and `tracking`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lossmith.config.strict import Group

Tracker = Literal["tensorboard", "wandb", "comet_ml", "mlflow"]
Positive = Annotated[int, Field(gt=0)]


class EvaluateConfig(Group):
    """What is measured, on which split, against what."""

    metrics: list[str] = Field(default_factory=lambda: ["exact_match", "rouge1", "rougeL", "chrf"])
    split: Literal["train", "validation", "test"] = "test"
    limit: Positive | None = Field(None, description="records of the split that are predicted, sampled by seed")
    references: Literal["own", "source"] = Field(
        "own", description="source: records of one source are one, which may equal the target of any of them"
    )
    baselines: Literal["auto", "none"] | list[str] = "auto"
    threshold: float | dict[str, str] = Field(
        0.5, description='positive from this score on, or an aim on validation: {max: f1}, {recall: ">= 0.95"}'
    )
    calibration: Literal["none", "temperature"] = Field("none", description="fitted on validation")
    smallest_group: Positive = Field(10, description="records under which a group is too small to judge")
    require: list[str] = Field(default_factory=list, description='gates, as "rouge1 >= 0.3"')
    resamples: Annotated[int, Field(ge=1000)] = 1000
    evidence_documents: Positive = Field(
        1000, description="retrieval: records that evidence.json is about, sampled by seed where there are more"
    )


class TrackingConfig(Group):
    """Where the curves go beside the run folder."""

    report_to: list[Tracker] = Field(default_factory=lambda: list[Tracker](["tensorboard"]))
