"""A split under several generation presets, side by side, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.evaluate.predictions import read_predictions
from lossmith.report.comparison import pairs, verdict_lines
from lossmith.report.document import render
from lossmith.report.examples import Chosen, choose
from lossmith.report.failures import failures
from lossmith.report.figures import count
from lossmith.report.intervals_plot import key
from lossmith.report.measured import columns, metric_rows
from lossmith.report.notes import metric_notes
from lossmith.report.run_files import Run, read_run
from lossmith.runs import RunFolder, read_json, write_text

_NOT_SHOWN = "Texts of a classification are not shown here; the files of predictions hold them."


def write_sweep_page(folder: Path, split: str, out: Path | None = None) -> Path:
    """Write the page of `sweep.<split>.json`; returns its path, by default beside that file."""
    files = RunFolder(folder)
    sweep = read_json(files.sweep(split))
    path = out or files.sweep(split).with_suffix(".html")
    write_text(path, render("sweep.html.j2", _content(folder, sweep)))
    return path


def _content(folder: Path, sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template shows; a preset stands where the report of several runs has a run."""
    run = read_run(folder, folder.resolve().name)
    presets: Sequence[Mapping[str, Any]] = sweep["presets"]
    runs = [_as_run(run, preset) for preset in presets]
    tables = {preset["name"]: read_predictions(folder / preset["predictions"]) for preset in presets}
    asked = list(presets[0]["metrics"])
    compared = pairs(sweep["comparison"], [one.label for one in runs]) if sweep["comparison"] else []
    return {
        "title": f"{run.label}, {sweep['split']}",
        "lead": f"{count(sweep['n'], 'record')} of {sweep['split']} under {count(len(presets), 'generation preset')}: "
        "the same model and the same prompts, decoded in different ways.",
        "runs": [{"label": one.label, "key": key(place)} for place, one in enumerate(runs)],
        "several": True,
        "verdicts": verdict_lines(compared, asked[0] if asked else None),
        "warnings": (),
        "pairs": compared,
        "pooled": False,
        "settings": _settings(presets),
        "columns": columns(runs),
        "metrics": metric_rows(runs, columns(runs)),
        "metric_notes": metric_notes(runs),
        "groups": [],
        "other_splits": [],
        # What records of a classification hold is nobody's to read who opens a page of figures.
        "chosen": Chosen(how=_NOT_SHOWN) if run.classifies else choose(tables, asked),
        "failures": [failures(name, table) for name, table in tables.items()],
        "gaps": {"metrics": [], "predictions": []},
    }


def _as_run(run: Run, preset: Mapping[str, Any]) -> Run:
    held = {"metrics": preset["metrics"], "n": preset["n"]}
    return Run(preset["name"], run.files, run.config, run.manifest, None, (), held, {}, ())


def _settings(presets: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], bool]]:
    """Rows of the table of settings: name, a value each ("" where not set), whether they differ; then the time."""
    names = dict.fromkeys(name for preset in presets for name in preset["settings"])
    rows = []
    for name in names:
        values = [_shown(preset["settings"].get(name)) for preset in presets]
        rows.append((name, values, len(set(values)) > 1))
    each = [f"{preset['seconds']:,.1f} s ({preset['seconds'] / preset['n']:.2f} a record)" for preset in presets]
    return [*rows, ("time", each, False)]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
