"""Baselines of pooled predictions: each fold's, which know its training split alone, below one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from lossmith.config.schema import Config
from lossmith.evaluate.baselines import Baseline, Baselines, check_baselines, find_baselines
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.runs import RunFolder


def pooled_baselines(config: Config, folds: Mapping[int, RunFolder], study: RunFolder, *, split: str) -> Baselines:
    """What the baselines say of a study's pooled records (`split`), which lie in the order of the folds.

    A run among them is a study of the same folds, whose own pooled predictions it is.
    """
    whole = read_predictions(study.predictions(split), smallest_group=config.evaluate.smallest_group)
    names = check_baselines(config, classifies=whole.classes is not None)
    named = _asking(config, [name for name in names if "/" in name])
    own = _asking(config, [name for name in names if "/" not in name])
    found = find_baselines(named, whole, study, split=split, prepared=None)
    by_fold = {fold: _of_fold(own, run) for fold, run in folds.items()}
    for name in own.evaluate.baselines:
        reasons = [f"fold {fold}: {one.absent[name]}" for fold, one in by_fold.items() if name in one.absent]
        if reasons:
            found.absent[name] = "; ".join(reasons)
        else:
            found.given[name] = _joined(whole, [one.given[name] for one in by_fold.values()])
    found.notes.extend(f"fold {fold}: {note}" for fold, one in by_fold.items() for note in one.notes)
    return found


def _asking(config: Config, names: list[str]) -> Config:
    return config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"baselines": names})})


def _of_fold(config: Config, run: RunFolder) -> Baselines:
    predictions = read_predictions(run.predictions("test"), smallest_group=config.evaluate.smallest_group)
    prepared = Path(run.manifest()["data"]["folder"])
    return find_baselines(config, predictions, run, split="test", prepared=prepared)


def _joined(whole: Predictions, parts: list[Baseline]) -> Baseline:
    first = parts[0]
    if first.own == "texts":
        texts = [text for part in parts for text in part.predictions.column("prediction")]
        return replace(first, predictions=whole.answering(texts))
    held = [part.predictions.outcomes for part in parts]
    joined = replace(
        whole.outcomes,
        said=np.concatenate([one.said for one in held]),
        failed=np.concatenate([one.failed for one in held]),
        scores=np.concatenate([one.scores for one in held]),
    )
    if first.own == "outcomes":
        return replace(first, predictions=whole.deciding(joined))
    tables = [part.predictions.table.replace_schema_metadata(None) for part in parts]
    table = pa.concat_tables(tables, promote_options="permissive").replace_schema_metadata(whole.table.schema.metadata)
    return replace(first, predictions=replace(whole, table=table, given=joined))
