"""The `task` group: what is predicted and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lossmith.config.strict import Group

Method = Literal["head", "label_words", "json_answer"]
Positive = Annotated[int, Field(gt=0)]


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
    queries: Positive = Field(8, description="retrieval: learnt queries, of which each looks for chunks of its own")
    k: Positive = Field(12, description="retrieval: chunks of a document that a query reads")
    temperature: Annotated[float, Field(gt=0)] = Field(
        0.1, description="retrieval: of the softmax over the cosines of a query and its chunks"
    )
    query_init: Literal["kmeans", "random", "texts"] = Field(
        "kmeans",
        description="retrieval: what queries begin as: directions and centres of training chunks that tell the classes "
        "apart, noise, or query_texts",
    )
    query_texts: list[str] = Field(
        default_factory=list, description="retrieval, query_init=texts: a text for each of the first queries"
    )
    aggregate: Literal["queries", "mean"] = Field(
        "queries", description="retrieval: what the classifier reads: what the queries found, or the mean of all chunks"
    )
    classifier: Literal["linear", "mlp"] = Field("linear", description="retrieval: what decides on it")
    classifier_hidden_size: Positive = Field(256, description="retrieval, classifier=mlp: width of its layer")
    classifier_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="retrieval: of what the classifier reads, while it trains"
    )
    criterion: Literal["text", "heads"] = Field(
        "text",
        description="retrieval of pairs: a criterion's text steers queries and classifier, so that new ones can be "
        "judged; or each criterion of the training split has a classifier of its own",
    )
