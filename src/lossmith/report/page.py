"""One run's report, or the comparison of several, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.errors import InputError
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.names.metrics import compares_groups
from lossmith.report import provenance, training
from lossmith.report.classification.section import section
from lossmith.report.comparison import pairs, verdict_lines
from lossmith.report.document import render
from lossmith.report.evidence.section import evidence_section
from lossmith.report.examples import Chosen, choose
from lossmith.report.failures import failures
from lossmith.report.figures import count
from lossmith.report.intervals_plot import key
from lossmith.report.measured import columns, group_tables, main_metric, metric_rows
from lossmith.report.notes import gap_notes, metric_notes
from lossmith.report.objective_words import terms
from lossmith.report.recipe_marks import Matcher
from lossmith.report.run_files import Gap, Run, read_runs
from lossmith.report.safe_text import clipped
from lossmith.report.studies.page import write_study_report
from lossmith.report.studies.study_files import is_study
from lossmith.report.verdicts import verdicts, warnings
from lossmith.runs import RunFolder, read_json, write_text

_REJECTED = 20


def write_report(
    run_folders: Sequence[Path],
    out: Path | None = None,
    *,
    comparison: Mapping[str, Any] | Path | None = None,
    matcher: Matcher | None = None,
) -> Path:
    """Write the report of a run or of a study, or the comparison of several runs; returns the file's path.

    `out` defaults to the run's report.html, or to comparison.html beside the first of several runs. `comparison` is
    what `compare_runs` returns, or a JSON file of it. `matcher` marks the ingredients of recipes; by default it is
    that of the metrics, where a run measures ingredients.

    Raises InputError where a folder is no run; a file that is missing or damaged becomes a sentence on the page.
    """
    folders = [Path(folder) for folder in run_folders]
    if len(folders) == 1 and is_study(folders[0]):
        return write_study_report(folders[0], out)
    runs = read_runs(folders)
    compared = read_json(comparison) if isinstance(comparison, Path) else comparison
    if compared is not None and not isinstance(compared, Mapping):
        raise InputError("the comparison is no mapping", got=type(compared).__name__, expected="what compare returns")
    path = out or _default_path(runs)
    write_text(path, render("report.html.j2", _content(runs, compared, matcher)))
    return path


def _default_path(runs: Sequence[Run]) -> Path:
    first = runs[0].files
    return RunFolder(first.path).report if len(runs) == 1 else first.path.resolve().parent / "comparison.html"


def _content(runs: Sequence[Run], compared: Mapping[str, Any] | None, matcher: Matcher | None) -> dict[str, Any]:
    """Everything the template shows; it decides nothing itself."""
    tables, gaps = _predictions(runs)
    failed = {label: (int(table.failed.sum()), len(table)) for label, table in tables.items()}
    held = columns(runs)
    found_pairs = pairs(compared, [run.label for run in runs]) if compared else []
    metric = main_metric(runs)
    rows = metric_rows(runs, held)
    evidence = [one for one in map(evidence_section, runs) if one is not None]
    classified = [section(run, tables.get(run.label)) for run in runs if run.classifies]
    return {
        "title": runs[0].label
        if len(runs) == 1
        else " and ".join([", ".join(r.label for r in runs[:-1]), runs[-1].label]),
        "several": len(runs) > 1,
        "pooled": False,
        "lead": provenance.lead(runs),
        "runs": [
            {"label": run.label, "key": key(index), "terms": terms(run), "trained": run.trained}
            for index, run in enumerate(runs)
        ],
        "verdicts": [*verdict_lines(found_pairs, metric), *verdicts(runs, failed)],
        "warnings": warnings(runs),
        "facts": provenance.differing([provenance.opening_facts(run) for run in runs]),
        "columns": held,
        "metrics": [row for row in rows if not (classified and compares_groups(row.name))],
        "gap_notes": gap_notes(runs),
        "gap_rows": [row for row in rows if compares_groups(row.name)],
        "metric_notes": metric_notes(runs),
        "gates": [(run.label, (run.metrics or {}).get("gates") or []) for run in runs],
        "classified": classified,
        "evidence": evidence,
        "groups": [
            (run.label, *group_tables(run)) for run in runs if (run.metrics or {}).get("groups") and not run.classifies
        ],
        "other_splits": [(run.label, sorted(run.other_metrics)) for run in runs if run.other_metrics],
        "pairs": found_pairs,
        "loss_charts": training.loss_charts(runs),
        "share_charts": training.share_charts(runs),
        "other_charts": training.other_charts(runs),
        "chosen": Chosen() if classified else _examples(runs, tables, matcher),
        "failures": [failures(label, table) for label, table in tables.items()],
        "audits": [_audit(run) for run in runs],
        "provenance": [_provenance(run) for run in runs],
        "gaps": gaps,
    }


def _predictions(runs: Sequence[Run]) -> tuple[dict[str, Predictions], dict[str, list[Gap]]]:
    """Predictions by run label, and what is missing by section."""
    gaps: dict[str, list[Gap]] = {
        "metrics": [],
        "history": [],
        "audit": [],
        "predictions": [],
        "provenance": [],
        "evidence": [],
    }
    sections = {
        "metrics.json": "metrics",
        "audit.json": "audit",
        "evidence.json": "evidence",
        "manifest.json": "provenance",
        "config.yaml": "provenance",
    }
    tables = {}
    for run in runs:
        for name, gap in run.gaps.items():
            if name in sections:
                gaps[sections[name]].append(gap)
            elif name == "history.jsonl" and run.trained:
                gaps["history"].append(gap)
        path = run.files.predictions(run.split)
        try:
            tables[run.label] = read_predictions(path)
        except InputError as error:
            command = f"lossmith predict {run.files.path} --split {run.split}"
            gaps["predictions"].append(Gap(f"{run.label}: {error.message}", command))
    return tables, gaps


def _examples(runs: Sequence[Run], tables: Mapping[str, Predictions], matcher: Matcher | None) -> Chosen:
    asked = list(dict.fromkeys(name for run in runs for name in (run.metrics or {}).get("metrics", {})))
    if matcher is None and any(name.startswith(("ingredient_", "quantity_", "recipe_")) for name in asked):
        from lossmith.metrics.ingredient_matching import matched_ingredients

        matcher = matched_ingredients
    preferred = [name for name in [main_metric(runs), *asked] if name]
    return choose(tables, list(dict.fromkeys(preferred)), matcher=matcher)


def _audit(run: Run) -> dict[str, Any]:
    """The audit as tables, empty where there is none or its shape is another."""
    from lossmith.data.audit.table import audit_table, overlap_table

    found: dict[str, Any] = {
        "label": run.label,
        "rows": [],
        "overlap": [],
        "rejected": [],
        "rejected_count": 0,
        "read": None,
    }
    if run.audit is not None:
        try:
            found["rows"], found["overlap"] = audit_table(run.audit), overlap_table(run.audit)
            found["read"] = run.audit.get("read")
        except (KeyError, TypeError) as error:
            found["unreadable"] = f"audit.json has another shape than this version writes ({error} is missing)"
    found["rejected_count"] = len(run.rejected)
    found["rejected"] = [
        (
            f"{row.get('file', '')}:{row.get('line', '')}",
            str(row.get("reason", "")),
            clipped(str(row.get("detail") or ""), 200)[0],
        )
        for row in run.rejected[:_REJECTED]
    ]
    return found


def _provenance(run: Run) -> dict[str, Any]:
    files, more = provenance.folder_files(run)
    return {
        "label": run.label,
        "commands": provenance.commands(run),
        "stages": provenance.stage_rows(run),
        "manifest": provenance.manifest_facts(run),
        "data_files": provenance.data_files(run),
        "files": files,
        "more": count(more, "file") if more else "",
        "folder": str(run.files.path),
    }
