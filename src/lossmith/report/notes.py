"""What has to be known beside the values of metrics and baselines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lossmith.names.metrics import compares_groups
from lossmith.report.figures import count
from lossmith.report.run_files import Run


def metric_notes(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """(run, metrics or baseline, note) for what has to be known beside the values, gaps between groups left out."""
    return _together((label, name, note) for label, name, note in _notes(runs) if not compares_groups(name))


def gap_notes(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """The same of the metrics that compare groups."""
    return _together((label, name, note) for label, name, note in _notes(runs) if compares_groups(name))


def _together(notes: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    held: dict[tuple[str, str], list[str]] = {}
    for label, name, note in notes:
        held.setdefault((label, note), []).append(name)
    return [(label, ", ".join(names), note) for (label, note), names in held.items()]


def _notes(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    told = []
    for run in runs:
        metrics = run.metrics or {}
        for name, facts in metrics.get("metrics", {}).items():
            told += [(run.label, name, str(note)) for note in facts.get("notes") or ()]
            if undefined := facts.get("undefined_resamples"):
                resamples = count(undefined, "resample")
                told.append((run.label, name, f"{resamples} without a value are left out of the interval"))
        absent = (metrics.get("baselines_absent") or {}).items()
        told += [(run.label, name, f"this baseline could not be given: {reason}") for name, reason in absent]
    return told
