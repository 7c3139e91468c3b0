"""What must hold together in a configuration of a classifier that looks among the chunks of a document."""

from __future__ import annotations

from lossmith.config.documents import check_documents
from lossmith.config.objective import WrittenTerm, written_terms
from lossmith.config.schema import Config
from lossmith.errors import ConfigError
from lossmith.names import find_loss


def terms_on_queries(config: Config) -> list[WrittenTerm]:
    """The terms of the objective that read the queries of a retrieval classifier.

    >>> terms = terms_on_queries(Config(objective={"binary_focal": 1.0, "query_diversity": 5.6}))
    >>> [term.name for term in terms]
    ['query_diversity']
    """
    written = [term for term in written_terms(config.objective) if not term.is_own]
    return [term for term in written if "queries" in find_loss(term.loss).needs]


def check_retrieval(config: Config) -> None:
    """Raise ConfigError for keys of the retrieval task that contradict each other, or that another task was given."""
    task, model = config.task, config.model
    check_documents(config)
    if task.kind != "retrieval":
        if model.pooling == "tokens":
            raise ConfigError(
                "model.pooling=tokens is for a task that looks among single tokens",
                got=f"task.kind={task.kind}",
                expected="task.kind=retrieval, or model.pooling=mean, cls or last",
            )
        if model.base == "tfidf-svd":
            raise ConfigError(
                "model.base=tfidf-svd makes vectors of chunks, and no model that could be fine-tuned",
                got=f"task.kind={task.kind}",
                expected="task.kind=retrieval, or another base",
                fix="model=scratch-tiny needs no download either",
            )
        return
    _check_frozen(config)
    if task.aggregate == "mean" and (read := [term.where for term in terms_on_queries(config)]):
        raise ConfigError(
            f"{read[0]} reads queries, and task.aggregate=mean has none",
            got="task.aggregate=mean",
            expected="task.aggregate=queries, or an objective without it",
            fix=f"~{read[0]}",
        )
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


def _check_frozen(config: Config) -> None:
    """Refuse what would train the encoder: its vectors are computed once."""
    model = config.model
    if model.add_tokens:
        raise ConfigError(
            "the encoder of a retrieval classifier is frozen: it would never learn new tokens",
            got=f"model.add_tokens=[{', '.join(model.add_tokens)}]",
            expected="model.add_tokens=[]; an encoder that was fine-tuned with them is named by its folder",
        )
    if model.adapter == "lora" or model.load_in_4bit:
        raise ConfigError(
            "the encoder of a retrieval classifier is frozen: an adapter would train nothing, and 4-bit weights save "
            "nothing once its vectors are stored",
            got="model.adapter=lora" if model.adapter == "lora" else "model.load_in_4bit=true",
            expected="the encoder as it is; one that was fine-tuned is named by its folder",
            fix="model.adapter=none" if model.adapter == "lora" else "model.load_in_4bit=false",
        )
