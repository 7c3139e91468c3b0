"""The whole configuration as one typed object."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from lossmith.config.data import DataConfig, SplitFiles
from lossmith.config.evaluate import EvaluateConfig, TrackingConfig
from lossmith.config.generate import GenerateConfig
from lossmith.config.model import ModelConfig
from lossmith.config.strict import Group
from lossmith.config.studies import AblateConfig, CvConfig, TuneConfig
from lossmith.config.task import TaskConfig
from lossmith.config.train import TrainConfig
from lossmith.names import TASKS


class Config(Group):
    """One run."""

    name: str = Field("run", description="folder runs/NAME")
    seed: Annotated[int, Field(ge=0)] = 0
    task: TaskConfig = Field(default_factory=TaskConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    objective: dict[str, Any] = Field(
        default_factory=lambda: {"cross_entropy": 1.0},
        description="term: weight, or {weight, span, ...}; by_task: terms",
    )
    train: TrainConfig | None = Field(default_factory=TrainConfig, description="null: the base as it is")
    generate: GenerateConfig = Field(default_factory=GenerateConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    cv: CvConfig = Field(default_factory=CvConfig)
    ablate: AblateConfig = Field(default_factory=AblateConfig)
    tune: TuneConfig = Field(default_factory=TuneConfig)
    runs_dir: str = "runs"

    @property
    def classifies(self) -> bool:
        """Whether records have labels and predictions are classes."""
        return self.task.kind in TASKS and TASKS[self.task.kind].classifies

    @property
    def reads_texts(self) -> bool:
        """Whether what a record is predicted from is a text or a pair of texts as they are, with no words around."""
        return self.task.kind == "retrieval" or (self.task.kind, self.task.method) == ("classification", "head")

    @property
    def has_clusters(self) -> bool:
        """Whether records have clusters: those of `data`, or in a text-to-text task whose splits are not given, the
        records of one source.
        """
        data = self.data
        given = data.split.column is not None or (
            isinstance(data.files, SplitFiles) and (data.files.validation or data.files.test) is not None
        )
        return data.has_clusters or (self.task.kind == "seq2seq" and data.messages is None and not given)

    @property
    def split_seed(self) -> int:
        """The seed of every choice of records; runs of several seeds share it where they share their data."""
        return self.seed if self.data.split.seed is None else self.data.split.seed

    @field_validator("name")
    @classmethod
    def _names_one_folder(cls, name: str) -> str:
        if not name.strip() or set(name) == {"."} or set(name) & set("/\\\0"):
            raise ValueError(f"'{name}' is no name of a folder in runs_dir; runs_dir says where runs lie")
        return name
