"""The `train` group: names of transformers' TrainingArguments, and a few of our own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lossmith.config.strict import Group

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Strategy = Literal["no", "steps", "epoch"]


class TrainConfig(Group):
    """How the objective is minimised."""

    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    max_steps: int = Field(-1, description="optimizer steps; -1: by epochs")
    learning_rate: Annotated[float, Field(gt=0)] = 2.0e-4
    per_device_train_batch_size: Positive = 8
    per_device_eval_batch_size: Positive = 8
    gradient_accumulation_steps: Positive = 1
    weight_decay: NotNegative = 0.0
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    adam_epsilon: NotNegative = 1e-8
    max_grad_norm: NotNegative = Field(1.0, description="0: no clipping")
    optim: str = Field("adamw_torch", description="transformers' name, or module:attr")
    optim_args: dict[str, Any] = Field(default_factory=dict)
    lr_scheduler_type: str = Field("linear", description="transformers' name, or module:attr")
    lr_scheduler_kwargs: dict[str, Any] = Field(default_factory=dict)
    warmup_steps: NotNegative = Field(0, description="steps; below 1 a share of all steps")
    gradient_checkpointing: bool = False
    logging_steps: Positive = 10
    eval_strategy: Strategy = "epoch"
    eval_steps: Positive | None = None
    save_strategy: Strategy = "epoch"
    save_steps: Positive | None = None
    save_total_limit: Positive | None = 2
    load_best_model_at_end: bool = Field(True, description="keep the best checkpoint, not the last")
    metric_for_best_model: str = "eval_loss"
    greater_is_better: bool | None = Field(
        None, description="required when the metric is not in `lossmith list metrics`"
    )
    early_stopping_patience: Annotated[int, Field(ge=0)] | None = Field(None, description="null or 0: off")
    early_stopping_threshold: NotNegative | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")] = Field(
        0.0, description='absolute, or "1%" of the best value'
    )
    max_eval_samples: Positive | None = Field(None, description="validation records, sampled by seed")
    share_steps: Positive | None = Field(
        None, description="steps between measurements of each term's share of the gradient; null: chosen"
    )
    tile_mib: Positive | None = Field(
        None, description="MiB of logits that the objective may hold at once; null: chosen from the free memory"
    )
    sampler: Literal["shuffled", "balanced", "balanced_groups", "weighted"] = Field(
        "shuffled", description="balanced: each class as often; balanced_groups: each group; weighted: by data.weight"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dataloader_num_workers: Annotated[int, Field(ge=0)] = 0
    callbacks: list[str] = Field(default_factory=list, description="module:attr of TrainerCallback classes")
    init_from: str | None = Field(None, description="run or model folder whose weights are the start")
    resume_from_checkpoint: str | None = None
    hf: dict[str, Any] = Field(default_factory=dict, description="any other TrainingArguments key")

    @model_validator(mode="before")
    @classmethod
    def _relative_threshold(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("adam_betas"), list):
            raise ValueError("give adam_beta1 and adam_beta2, not adam_betas")
        return values

    @model_validator(mode="after")
    def _agree(self) -> TrainConfig:
        for stage in ("eval", "save"):
            strategy, steps = getattr(self, f"{stage}_strategy"), getattr(self, f"{stage}_steps")
            if strategy == "steps" and steps is None:
                raise ValueError(f"{stage}_strategy steps needs {stage}_steps")
            if strategy != "steps" and steps is not None:
                raise ValueError(f"{stage}_steps is given, so {stage}_strategy must be steps, not {strategy}")
        if self.early_stopping_patience and self.eval_strategy == "no":
            raise ValueError("early stopping needs evaluations: set eval_strategy to steps or epoch")
        if self.load_best_model_at_end and self.eval_strategy == "no":
            raise ValueError(
                "load_best_model_at_end needs evaluations: set eval_strategy, or load_best_model_at_end to false"
            )
        return self
