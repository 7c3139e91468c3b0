"""What must hold together in a configuration where documents are cut to chunks, assembled, or paired with criteria."""

from __future__ import annotations

from lossmith.config.schema import Config
from lossmith.errors import ConfigError


def check_retrieval(config: Config) -> None:
    """Raise ConfigError for keys of the retrieval task that contradict each other, or that another task was given."""
    task, model, data = config.task, config.model, config.data
    if task.kind != "retrieval":
        if model.pooling == "tokens":
            raise ConfigError(
                "model.pooling=tokens is for a task that looks among single tokens",
                got=f"task.kind={task.kind}",
                expected="task.kind=retrieval, or model.pooling=mean, cls or last",
            )
        return
    if task.query_texts and task.query_init != "texts":
        raise ConfigError(
            "task.query_texts are what queries begin as, and task.query_init says otherwise",
            got=f"task.query_init={task.query_init}",
            expected="task.query_init=texts",
        )
    if task.query_init == "texts" and not 0 < len(task.query_texts) <= task.queries:
        raise ConfigError(
            "task.query_init=texts needs texts, at most one for each query",
            got=f"{len(task.query_texts)} texts, task.queries={task.queries}",
            expected="task.query_texts=[...]; queries beyond them begin at centres of training chunks",
        )
    if data.pairs and data.label:
        raise ConfigError(
            "data.pairs and data.label both say what the label is",
            got=f"data.label={data.label}",
            expected="data.pairs alone: each of its columns is the label of its criterion",
            fix="data.label=null",
        )
