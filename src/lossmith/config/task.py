"""The `task` group: what is predicted and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lossmith.config.strict import Group

Method = Literal["head", "label_words", "json_answer"]


class TaskConfig(Group):
    """What is predicted and how."""

    kind: str = Field("causal", description="a task of `lossmith list tasks`")
    method: Method = Field(
        "head",
        description="classification by a head, by the likelihood of each label's words, or by a JSON answer",
    )
    classes: list[str] | None = Field(None, description="names in order; not given: those found in the data, sorted")
    positive: str | None = Field(
        None, description="class that binary figures are about; not given: true, 1, yes, positive, or the rarer"
    )
    label_words: dict[str, str] = Field(
        default_factory=dict, description="class: the words that answer it; not given: its name"
    )
    answer: dict[str, str] = Field(
        default_factory=dict,
        description="json_answer: further key of the answer: field of the data, {reasoning: rationale}",
    )
    prompts: str | None = Field(None, description="prompt set: a file of named strategies, or one of the package")
    strategy: str | None = Field(None, description="strategy of the prompt set; not given: its first")
