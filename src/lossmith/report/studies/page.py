"""One study's page: its runs, what was found over all of them, and, where predictions are pooled, their report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lossmith.errors import LossmithError
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.names.metrics import compares_groups
from lossmith.report.classification.section import section
from lossmith.report.document import render
from lossmith.report.failures import failures
from lossmith.report.measured import columns, group_tables, metric_rows
from lossmith.report.notes import gap_notes, metric_notes
from lossmith.report.run_files import Gap, Run, read_run
from lossmith.report.standing import Verdict
from lossmith.report.studies.ablation import ablation, ablation_verdicts
from lossmith.report.studies.over_folds import folds, leak_verdict
from lossmith.report.studies.search import search, search_verdicts
from lossmith.report.studies.study_files import WORDS, Study, read_study
from lossmith.report.verdicts import verdicts
from lossmith.runs import RunFolder, write_text


def write_study_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a study; returns its path, by default report.html in the study's folder.

    Raises InputError where the folder is no study; what is missing becomes a sentence on the page.
    """
    study = read_study(folder)
    path = out or RunFolder(folder).report
    write_text(path, render("study.html.j2", _content(study)))
    return path


def _content(study: Study) -> dict[str, Any]:
    """Everything the template shows; what a kind of study does not have is None."""
    over_folds = folds(study) if study.kind == "cv" else None
    objectives = ablation(study) if study.kind == "ablate" else None
    searched = search(study) if study.kind == "tune" else None
    pooled = _pooled(study) if study.kind == "cv" and study.results else None
    found = _found(study)
    if over_folds is not None:
        found += leak_verdict(study)
    if objectives is not None:
        found += ablation_verdicts(objectives)
    if searched is not None:
        found += search_verdicts(study)
    content = {
        "title": study.name,
        "kind": WORDS[study.kind],
        "lead": _lead(study, next((one.about for one in (over_folds, objectives, searched) if one is not None), "")),
        "children": study.children(),
        "states": study.states(),
        "folds": over_folds,
        "ablation": objectives,
        "search": searched,
        "pooled": pooled is not None,
        "warnings": [],
        "several": False,
        "gates": [],
        "classified": [],
        **(pooled or {}),
    }
    content["verdicts"] = [*found, *content.get("verdicts", [])]
    return content


def _found(study: Study) -> list[Verdict]:
    failed = [child for child in study.children() if child.state == "failed"]
    lacking = [child for child in study.children() if child.state not in ("done", "failed", "pruned")]
    found = []
    if failed:
        told = "; ".join(f"{child.name}: {child.error}" for child in failed[:5])
        found.append(Verdict("bad", f"{len(failed)} of {len(study.rows)} runs failed", f"{told}."))
    if lacking:
        again = "The same command goes on with them."
        found.append(Verdict("caution", f"{len(lacking)} of {len(study.rows)} runs are missing", again))
    return found


def _lead(study: Study, about: str) -> str:
    base = study.setting("model", "base") or "a model"
    return f"{base}, task {study.setting('task', 'kind')}{f': {about}' if about else ''}."


def _pooled(study: Study) -> dict[str, Any]:
    """The pooled predictions, reported as those of one run."""
    run = read_run(study.path, "pooled")
    predictions, gap = _predictions(run)
    held = columns([run])
    rows = metric_rows([run], held)
    failed = {run.label: (int(predictions.failed.sum()), len(predictions))} if predictions is not None else {}
    classified = [section(run, predictions)] if run.classifies else []
    return {
        "verdicts": verdicts([run], failed),
        "gates": [("pooled", (run.metrics or {}).get("gates") or [])],
        "columns": held,
        "metrics": [row for row in rows if not (classified and compares_groups(row.name))],
        "gap_notes": gap_notes([run]),
        "gap_rows": [row for row in rows if compares_groups(row.name)],
        "metric_notes": metric_notes([run]),
        "groups": [] if classified else [("pooled", *group_tables(run))] if (run.metrics or {}).get("groups") else [],
        "other_splits": [],
        "classified": classified,
        "failures": [failures(run.label, predictions)] if predictions is not None else [],
        "gaps": {"metrics": [run.gaps["metrics.json"]] if "metrics.json" in run.gaps else [], "predictions": gap},
    }


def _predictions(run: Run) -> tuple[Predictions | None, list[Gap]]:
    try:
        return read_predictions(run.files.predictions(run.split)), []
    except LossmithError as error:
        return None, [Gap(error.message, f"lossmith cv {run.files.config}")]
