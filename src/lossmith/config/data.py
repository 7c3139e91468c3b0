"""The `data` group: where records come from, how they are split and rendered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lossmith.config.strict import Group

Truncation = Literal["drop", "cut_prompt", "cut_answer", "error"]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class WeightedFile(Group):
    """A file whose training records are repeated or sampled."""

    path: str
    weight: Annotated[float, Field(gt=0)] = 1.0


FileList = str | list[str | WeightedFile]


class SplitFiles(Group):
    """Files named by split; what has no file is cut from `train` by fraction."""

    train: FileList | None = None
    validation: FileList | None = None
    test: FileList | None = None


class FoldConfig(Group):
    """One fold of a cross-validation, cut from the records of train and validation by the run's seed.

    The records of fold number `fold` are the test split, a share `inner` of the others is validation. With
    `all_records` those of test are dealt out too; otherwise they are left out.
    """

    k: Annotated[int, Field(ge=2)]
    fold: Annotated[int, Field(ge=0)] = 0
    repeat: Annotated[int, Field(ge=0)] = 0
    stratified: bool = False
    clustered: bool = False
    inner: Annotated[float, Field(gt=0, lt=1)] = 0.15
    all_records: bool = False


class SplitConfig(Group):
    """How records without a split of their own are divided."""

    validation: Fraction = Field(0.1, description="fraction of the records, chosen by seed")
    test: Fraction = Field(0.1, description="fraction of the records, chosen by seed")
    column: str | None = Field(None, description="column whose value names the split")
    map: dict[str, Literal["train", "validation", "test"]] = Field(
        default_factory=dict, description="value of the column: split"
    )
    stratified: bool = Field(False, description="each split has its share of every class")
    seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="of split, limit and samples of records; null: the run's seed"
    )
    folds: FoldConfig | list[FoldConfig] | None = Field(
        None, description="a fold in place of the splits; a list: folds inside the training part of folds"
    )

    @model_validator(mode="after")
    def _leaves_training_records(self) -> SplitConfig:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave no training records")
        return self


class FieldOffsets(Group):
    """A span that the source gives: character offsets into a field, or a column of tokens that stand there in order."""

    field: str
    offsets: str | None = Field(None, description="column of [start, end] pairs, or of character numbers")
    tokens: str | None = Field(None, description="column of tokens, found one after another in the field")

    @model_validator(mode="after")
    def _one_of_both(self) -> FieldOffsets:
        if (self.offsets is None) == (self.tokens is None):
            raise ValueError("a span of data.spans has either offsets or tokens")
        return self


class ChunkConfig(Group):
    """How a document of the retrieval task is cut: windows of `size` units, of which neighbours share `overlap`."""

    by: Literal["sentences", "lines", "words", "tokens"] = "sentences"
    size: Annotated[int, Field(ge=1)] = 3
    overlap: Annotated[int, Field(ge=0)] = 1
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,8})?$")] = Field(
        "en", description="of the sentences, by its code of two or three letters"
    )

    @model_validator(mode="after")
    def _moves_on(self) -> ChunkConfig:
        if self.overlap >= self.size:
            raise ValueError(f"overlap {self.overlap} leaves nothing new in a chunk of {self.size}")
        return self


class AssembleConfig(Group):
    """Rows put together to documents: those of one value of `by`, in the order of `order`, `window` rows at a time.

    A document's text has each row's `text` on a line of its own; a 0/1 label column is 1 where it is in any row.
    """

    by: str
    order: str
    text: str
    window: Annotated[int, Field(ge=1)] | None = Field(60, description="rows of a document; null: all of them")


class DataConfig(Group):
    """Sources, columns, splits, template and limits."""

    files: SplitFiles | FileList | None = Field(
        None, description="one file, a list, {train, validation, test}, or [{path, weight}, ...]"
    )
    source: str | None = Field(None, description="module:function that yields one dict a record")
    source_options: dict[str, Any] = Field(default_factory=dict, description="keywords of that function")
    sample_by: Literal["line", "paragraph", "document"] = Field(
        "line", description="what one record of a plain text file is"
    )
    fields: dict[str, str] = Field(
        default_factory=dict, description="name in the template: column (dotted path); empty: every column"
    )
    parse: dict[str, Literal["json", "literal", "list"]] = Field(
        default_factory=dict, description="column: how a cell that holds a list is read"
    )
    messages: str | None = Field(None, description="column that already holds messages")
    id: str | None = Field(None, description="column; default file and line")
    group: str | list[str] | None = Field(None, description="column(s) a figure is reported for")
    cluster: str | list[str] | None = Field(
        None, description="column(s): never crosses splits, unit of resampling; seq2seq: those of the source"
    )
    label: str | list[str] | None = Field(None, description="column, or 0/1 columns for multi-label")
    pairs: dict[str, str] = Field(
        default_factory=dict,
        description="0/1 column: text of the criterion that it answers; a record becomes a pair with each of them",
    )
    assemble: AssembleConfig | None = Field(None, description="rows put together to documents")
    chunks: ChunkConfig = Field(default_factory=ChunkConfig)
    task: str | None = Field(None, description="column that names the record's task")
    weight: str | None = Field(None, description="column of numbers that train.sampler=weighted draws by")
    keep: list[str] = Field(default_factory=list, description="source columns copied into predictions")
    split: SplitConfig = Field(default_factory=SplitConfig)
    limit: Annotated[int, Field(gt=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")] | None = Field(
        None, description='records, or "10%", sampled by seed'
    )
    normalize: list[str] = Field(default_factory=list, description="named text steps, in order")
    max_rejected: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="share of rejected records at which the run stops"
    )
    max_length: Annotated[int, Field(gt=1)] = Field(1024, description="tokens of a record")
    max_source_length: Annotated[int, Field(gt=1)] | None = Field(
        None, description="seq2seq: tokens of a source; not given: max_length"
    )
    max_target_length: Annotated[int, Field(gt=1)] | None = Field(
        None, description="seq2seq: tokens of a target; not given: max_length"
    )
    truncation: Truncation = "drop"
    end_of_cut_answer: Literal["drop", "keep"] = Field(
        "drop", description="whether an answer that is cut still ends with the end token, and learns to end there"
    )
    spans: dict[str, FieldOffsets] = Field(
        default_factory=dict, description="name: {field, offsets}: character offsets into a field"
    )
    template: dict[str, Any] | str | None = Field(
        None, description="{prompt, answer}, {messages: [...]}, {text}, or a file"
    )
    answer_schema: dict[str, Any] | None = Field(
        None,
        description="JSON schema that answers keep to: a file, module:name of a pydantic class, or the schema itself",
    )
    template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="arguments of the chat template, enable_thinking among them"
    )
    template_date: str = Field("2026-01-01", description="the day that a chat template prints as today")
    turns: Literal["all", "last"] = Field("all", description="which assistant turns are answers")
    special_tokens_in_text: Literal["reject", "keep"] = "reject"

    @property
    def cluster_columns(self) -> list[str]:
        """The columns whose values together name a cluster."""
        return [self.cluster] if isinstance(self.cluster, str) else self.cluster or []

    @property
    def has_clusters(self) -> bool:
        """Whether records have clusters: by a column, or since documents were put together or paired with criteria."""
        return self.cluster is not None or self.assemble is not None or bool(self.pairs)

    @property
    def prompt_length(self) -> int:
        """Tokens at which a prompt is too long: with the answer, or where sources have a limit of their own, alone."""
        return self.max_source_length or self.max_length

    @property
    def limits(self) -> str:
        """The keys that bound a record, as they are written."""
        if self.max_source_length is None and self.max_target_length is None:
            return f"data.max_length={self.max_length}"
        return " and ".join(
            f"data.{name}={getattr(self, name)}"
            for name in ("max_source_length", "max_target_length")
            if getattr(self, name) is not None
        )
