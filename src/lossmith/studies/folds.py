"""The folds of a cross-validation: how they are cut, and the run of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.config.data import FoldConfig
from lossmith.config.schema import Config
from lossmith.config.studies import FoldKind
from lossmith.errors import ConfigError
from lossmith.studies.children import Child, child_of
from lossmith.studies.folder import StudyFolder


def resolved_kind(config: Config) -> FoldKind:
    """The kind of folds; auto is stratified for a classification, clustered where records have clusters, or both.

    Raises ConfigError where a kind needs labels or clusters that the configuration does not name.

    >>> resolved_kind(Config())
    'k-fold'
    """
    kind = config.cv.kind
    labelled = config.classifies
    if kind == "auto":
        parts = [name for name, held in (("stratified", labelled), ("clustered", config.has_clusters)) if held]
        return {0: "k-fold", 1: parts[0] if parts else "k-fold", 2: "stratified-clustered"}[len(parts)]  # type: ignore[return-value]
    if "stratified" in kind and not labelled:
        raise ConfigError(
            f"cv.kind={kind} needs classes to stratify by",
            got=f"task.kind={config.task.kind}",
            expected="task.kind=classification or retrieval",
            fix="cv.kind=k-fold, or clustered with data.cluster",
        )
    if "clustered" in kind and not config.has_clusters:
        raise ConfigError(
            f"cv.kind={kind} needs to know which records belong together",
            got="data.cluster is null",
            expected="the column that names each record's cluster",
            fix="data.cluster=COLUMN",
        )
    return kind


def fold_children(
    study: StudyFolder, config: Config, *, chosen: Sequence[Mapping[str, Any]] | None = None
) -> list[Child]:
    """A run for each fold of each repeat: the fold is its test split, its validation split is cut from the others.

    `chosen` are values of keys (dotted key: value) that belong to each fold alone.

    So thresholds, calibration and the best checkpoint are chosen inside each training fold, by the run itself. Gates
    are the study's own question and left out of the folds. Scores of a classification are calibrated in each fold, or
    those of different models could not be pooled: temperature changes neither the class predicted at .5 nor the order
    of scores inside a fold. A JSON answer has a class and needs no score.
    """
    cv = config.cv
    shared: dict[str, Any] = {"evaluate.split": "test", "evaluate.require": []}
    if config.classifies and config.task.method != "json_answer":
        shared["evaluate.calibration"] = "temperature"
    return [
        child_of(
            study,
            config,
            name=fold_name(fold, repeat, repeats=cv.repeats),
            changes={
                **shared,
                **(chosen[fold] if chosen else {}),
                "data.split.seed": config.split_seed,
                "data.split.folds": fold_config(
                    config, fold, k=cv.folds, repeat=repeat, all_records=cv.all_records
                ).model_dump(),
            },
            varies={"fold": fold, "repeat": repeat},
        )
        for repeat in range(cv.repeats)
        for fold in range(cv.folds)
    ]


def fold_name(fold: int, repeat: int, *, repeats: int) -> str:
    """The folder of a fold's run.

    >>> fold_name(2, 0, repeats=1), fold_name(2, 1, repeats=3)
    ('fold-2', 'repeat-1-fold-2')
    """
    return f"fold-{fold}" if repeats == 1 else f"repeat-{repeat}-fold-{fold}"


def fold_config(config: Config, fold: int, *, k: int, repeat: int = 0, all_records: bool = False) -> FoldConfig:
    """One of `k` folds, cut as cv.kind says; `all_records` deals out those of the test split, too."""
    kind = resolved_kind(config)
    return FoldConfig(
        k=k,
        fold=fold,
        repeat=repeat,
        stratified="stratified" in kind,
        clustered="clustered" in kind,
        inner=config.cv.inner,
        all_records=all_records,
    )
