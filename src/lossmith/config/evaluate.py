"""The groups `generate`, `evaluate` and `tracking`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lossmith.config.strict import Group

Tracker = Literal["tensorboard", "wandb", "comet_ml", "mlflow"]
Positive = Annotated[int, Field(gt=0)]


class GenerateConfig(Group):
    """How text is generated; names of transformers' GenerationConfig. A key not given is not passed on."""

    max_new_tokens: Positive = 256
    min_new_tokens: Annotated[int, Field(ge=0)] | None = None
    do_sample: bool = False
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    num_beams: Positive | None = None
    early_stopping: bool | Literal["never"] | None = None
    length_penalty: float | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None
    batch_size: Positive = Field(16, description="prompts decoded together; ours, not GenerationConfig's")

    def settings(self) -> dict[str, Any]:
        """The keys for GenerationConfig, without those that were not given."""
        return self.model_dump(exclude={"batch_size"}, exclude_none=True)


class EvaluateConfig(Group):
    """What is measured, on which split, against what."""

    metrics: list[str] = Field(default_factory=lambda: ["exact_match", "rouge1", "rougeL", "chrf"])
    split: Literal["train", "validation", "test"] = "test"
    limit: Positive | None = Field(None, description="records of the split that are predicted, sampled by seed")
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
