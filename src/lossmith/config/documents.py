"""What must hold together where rows are put together to documents, cut to chunks, or paired with criteria."""

from __future__ import annotations

from lossmith.config.data import AssembleConfig, ChunkConfig, DataConfig
from lossmith.config.schema import Config
from lossmith.errors import ConfigError
from lossmith.labels import CRITERION


def check_documents(config: Config) -> None:
    """Raise ConfigError for keys of data.assemble, data.chunks and data.pairs that contradict others."""
    data = config.data
    if data.assemble is not None:
        _check_assemble(data.assemble, data)
    if data.pairs:
        _check_pairs(config)
    if config.task.kind != "retrieval" and data.chunks != ChunkConfig():
        raise ConfigError(
            "data.chunks is for a task that looks among chunks of a document",
            got=f"task.kind={config.task.kind}",
            expected="task.kind=retrieval, or no data.chunks",
        )
    has_tokens = not (config.model.base == "tfidf-svd" or config.model.is_scratch)
    if config.task.kind == "retrieval" and data.chunks.by == "tokens" and not has_tokens:
        raise ConfigError(
            "data.chunks.by=tokens counts the tokens of the encoder, and this one has none",
            got=f"model.base={config.model.base}",
            expected="sentences, lines or words, or an encoder with a tokenizer",
            fix="data.chunks.by=words",
        )


def _check_assemble(config: AssembleConfig, data: DataConfig) -> None:
    named = [config.by, config.order, config.text]
    if twice := next((column for column in named if named.count(column) > 1), None):
        raise ConfigError(
            "data.assemble names one column twice",
            got=twice,
            expected="whose row it is (by), its place there (order) and its text: three columns",
        )
    for key, held in (("data.id", data.id), ("data.messages", data.messages)):
        if held is not None:
            raise ConfigError(
                f"{key} is about single rows, which data.assemble puts together",
                got=f"{key}={held}",
                expected="documents named by their value of data.assemble.by and their number",
                fix=f"{key}=null",
            )
    if data.spans:
        raise ConfigError(
            "data.spans counts in the text of a single row, which data.assemble puts together with others",
            got=f"data.spans: {', '.join(data.spans)}",
            expected="no data.spans beside data.assemble",
        )
    if data.fields and config.text not in data.fields.values():
        raise ConfigError(
            "no field reads the text that data.assemble puts together",
            got=f"data.fields: {', '.join(data.fields.values())}",
            expected=f"a field of the column {config.text}, which holds the whole document",
            fix=f"data.fields.document={config.text}",
        )


def _check_pairs(config: Config) -> None:
    data = config.data
    if not config.classifies:
        raise ConfigError(
            "data.pairs makes labels, and this task has none",
            got=f"task.kind={config.task.kind}",
            expected="task.kind=retrieval or classification",
        )
    if data.label:
        raise ConfigError(
            "data.pairs and data.label both say what the label is",
            got=f"data.label={data.label}",
            expected="data.pairs alone: each of its columns is the label of its criterion",
            fix="data.label=null",
        )
    if config.task.classes is not None and sorted(config.task.classes) != ["0", "1"]:
        raise ConfigError(
            "the label of a pair is 0 or 1: whether its criterion holds",
            got=f"task.classes: {', '.join(config.task.classes)}",
            expected="no task.classes",
            fix="task.classes=null",
        )
    texts = list(data.pairs.values())
    for column, text in data.pairs.items():
        if not text.strip():
            raise ConfigError(f"data.pairs.{column} is empty", got=repr(text), expected="the text of a criterion")
        if texts.count(text) > 1:
            raise ConfigError("two columns of data.pairs have the same criterion", got=text, expected="one of each")
    for key, names in (("data.fields", list(data.fields)), ("data.keep", data.keep)):
        if CRITERION in names:
            raise ConfigError(
                f"'{CRITERION}' is what data.pairs calls the criterion of a record",
                got=f"{CRITERION} in {key}",
                expected=f"another name in {key}; the criterion is kept by itself",
            )
