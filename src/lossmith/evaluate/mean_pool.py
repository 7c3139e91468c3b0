"""The baseline that a retrieval run trains beside itself: the same classifier on the mean of all chunks."""

from __future__ import annotations

from typing import Any

from lossmith.config.load import load_config
from lossmith.config.retrieval import terms_on_queries
from lossmith.config.schema import Config
from lossmith.runs import RunFolder

MEAN_POOL = "mean_pool"
ABOUT = "the same classifier on the mean of all chunks of a document, trained alike"


def has_mean_pool(config: Config) -> bool:
    """Whether the run's chunks are read by queries that it trains, so that their mean is another classifier."""
    return config.task.kind == "retrieval" and config.task.aggregate == "queries" and config.train is not None


def mean_pool_folder(run: RunFolder) -> RunFolder:
    """Where the baseline of a run lies: a run folder inside it."""
    return RunFolder(run.path / "baselines" / MEAN_POOL, writes=run.writes)


def mean_pool_config(config: Config, run: RunFolder) -> Config:
    """The run's configuration with the mean of chunks in place of queries, and without the terms that read queries.

    It starts from nothing, as the run's queries did not come from it. Raises ConfigError where that is none, as where
    its best checkpoint is chosen by such a term.
    """
    values = config.model_dump(mode="json")
    for term in terms_on_queries(config):
        _without(values, term.where.split("."))
    folder = mean_pool_folder(run)
    values["name"], values["runs_dir"] = folder.path.name, str(folder.path.parent)
    values["task"] |= {"aggregate": "mean", "query_init": "kmeans", "query_texts": []}
    values["train"] |= {"init_from": None, "resume_from_checkpoint": None}
    values["evaluate"] |= {"baselines": "none", "require": []}
    values["tracking"] = {"report_to": []}
    return load_config(values)


def _without(values: dict[str, Any], path: list[str]) -> None:
    for key in path[:-1]:
        values = values[key]
    del values[path[-1]]
