"""Nested cross-validation: a search inside the training part of each outer fold, its best values measured on the fold.

runs_dir/NAME/  search-0/ (a study of its own)  fold-0/ (the run with what search-0 found)  ...

The outer folds say what searching and training together reach on new records; a search over the same folds that it is
measured on would be too good by what it fitted to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lossmith.studies.cv import carry_out_folds
from lossmith.studies.folder import StudyFolder
from lossmith.studies.folds import fold_children, fold_config
from lossmith.studies.leak_check import check_leaks
from lossmith.studies.study import Progress
from lossmith.studies.tune import Search, best_or_error, carry_out_search, without_password


def carry_out_nested(search: Search, *, progress: Progress | None = None) -> dict[str, Any]:
    """Search inside each of tune.outer folds, run what was found on the fold, and pool; returns study.json of kind cv.

    `results` are those of a cross-validation, with `searches`: the values that each fold's search found. Raises
    DataError for outer folds that share texts or clusters (unless cv.allow_leaks), LossmithError where no trial of a
    search finished.
    """
    asked = search.config.tune
    assert asked.outer is not None, "nested folds have outer ones"
    outer = asked.outer
    folds = search.config.cv.model_copy(update={"folds": outer, "repeats": 1})
    config = search.config.model_copy(update={"cv": folds})
    study = replace(search.study, kind="cv")
    with study.files.lock():
        leaks = check_leaks(fold_children(study, config), allowed=config.cv.allow_leaks)
        found = _searches(replace(search, config=config), outer, progress=progress)
        config = without_password(config)
        children = fold_children(study, config, chosen=[one["params"] for one in found])
        known = {"leaks": leaks, "searches": found, "search_metric": search.aim.metric}
        return carry_out_folds(study, config, children, progress=progress, known=known)


def _searches(search: Search, outer: int, *, progress: Progress | None) -> list[dict[str, Any]]:
    """What the search of each outer fold found."""
    config = search.config
    found = []
    for fold in range(outer):
        level = fold_config(config, fold, k=outer, all_records=config.cv.all_records)
        inner = replace(search, study=search_folder(search.study, fold), outer=(level,))
        best = best_or_error(carry_out_search(inner, progress=_part(progress, fold, outer, config.tune.trials)))
        found.append({"fold": fold, "study": inner.study.path.name, "value": best["value"], "params": best["params"]})
    return found


def search_folder(study: StudyFolder, fold: int) -> StudyFolder:
    """The folder of a fold's search; its question is its own, since one database may hold the searches of all folds."""
    return StudyFolder(study.path / f"search-{fold}", "tune", f"{study.question}-{fold}")


def _part(progress: Progress | None, fold: int, folds: int, trials: int) -> Progress | None:
    """Progress of one search among those of all folds."""
    if progress is None:
        return None
    return lambda done, _: progress(fold * trials + done, folds * trials)
