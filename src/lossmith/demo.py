"""The main job on the embedded default: a generated kitchen corpus, one scratch model, two objectives, a report.

Corpus, model and number of steps were chosen on cross-entropy alone and fixed before the second objective was run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.data.kitchen import write_kitchen
from lossmith.runs import read_json
from lossmith.stages import compare, report, run

logger = logging.getLogger("lossmith")

PRESETS = {"cross-entropy": "demo/cross-entropy", "mixed": "demo/mixed"}


@dataclass(frozen=True)
class DemoResult:
    """The runs' metrics by objective, their comparison, and the page."""

    metrics: dict[str, dict[str, Any]]
    comparison: dict[str, Any]
    report: Path


def carry_out(out: Path, *, quick: bool = False, quiet: bool = False) -> DemoResult:
    """Write the corpus, run both objectives, compare them on titles never seen, and write the report."""
    corpus = out / "kitchen.jsonl"
    if not corpus.exists():
        write_kitchen(corpus, records=QUICK_RECORDS if quick else RECORDS, seed=0)
    overrides = [f"data.files={corpus}", f"runs_dir={out}", *(QUICK if quick else ())]
    folders = [run(preset, [*overrides, f"name={name}"], quiet=quiet) for name, preset in PRESETS.items()]
    comparison = compare(folders)
    page = report(folders, out=out / "report.html", comparison=comparison)
    metrics = {folder.name: read_json(folder / "metrics.json") for folder in folders}
    return DemoResult(metrics, comparison, page)


RECORDS, QUICK_RECORDS = 6000, 600
QUICK = ("train.max_steps=40", "evaluate.limit=40", "generate.max_new_tokens=200")
