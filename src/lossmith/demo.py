"""The main job on the embedded default: a generated kitchen corpus, one small model, two objectives, a report.

Corpus, model and number of steps were chosen on cross-entropy alone and fixed before the second objective was run;
docs/benchmarks.md has the trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.data.kitchen import write_kitchen
from lossmith.runs import RunFolder, read_json
from lossmith.stages import Progress, compare, report, run

Say = Callable[[str], None]
Bar = Callable[[], AbstractContextManager[Progress | None]]

RUNS: Mapping[str, str] = {
    "cross-entropy": "cross-entropy alone",
    "mixed": "cross-entropy .6, Sinkhorn transport on the ingredients .2, generalized Dice .2",
}


@dataclass(frozen=True)
class Size:
    """How much is made and learned: records of the corpus, and overrides of the presets."""

    records: int
    overrides: tuple[str, ...] = ()


FULL = Size(records=6000)
QUICK = Size(
    records=600,
    overrides=(
        "train.max_steps=100",
        "train.per_device_train_batch_size=4",
        "train.learning_rate=6e-3",
        "train.eval_steps=50",
        "train.max_eval_samples=16",
        "train.save_steps=50",
        "generate.max_new_tokens=192",
    ),
)


@dataclass(frozen=True)
class DemoResult:
    """The runs' folders and metrics by name, their comparison, what its test says, and the page."""

    folders: dict[str, RunFolder]
    metrics: dict[str, dict[str, Any]]
    comparison: dict[str, Any]
    verdicts: list[str]
    report: Path


def carry_out(
    out: Path, *, quick: bool = False, quiet: bool = False, say: Say = print, bar: Bar = nullcontext
) -> DemoResult:
    """Write the corpus, run both objectives, compare them on titles never seen, and write the report.

    What an earlier call finished in `out` is kept, what it left unfinished goes on. `quick` works in a folder of its
    own inside `out`, so that its hardly trained models are never taken for the full ones. `say` takes a line of text;
    `bar` opens a progress bar for the records that a run predicts.
    """
    size, place = (QUICK, out / "quick") if quick else (FULL, out)
    # Written each time: the same bytes, whatever an interrupted call or another version left there.
    corpus = write_kitchen(place / "kitchen.jsonl", records=size.records, seed=0)
    say(
        f"corpus: {size.records:,} recipes made by rule, in {corpus}; a tenth of them is the test, "
        "under titles that no training record has"
    )
    folders = {}
    for number, (name, what) in enumerate(RUNS.items(), start=1):
        say(f"\nrun {number} of {len(RUNS)}, {name}: {what}")
        overrides = [f"data.files={corpus}", f"runs_dir={place}", f"name={name}", *size.overrides]
        measured = _measured(place)
        with bar() as progress:
            folders[name] = RunFolder(run(f"demo/{name}", overrides, quiet=quiet, progress=progress))
        if _measured(place) == measured:
            say(f"kept as an earlier call trained and measured it; remove {folders[name].path} to repeat it")
    paths = [folder.path for folder in folders.values()]
    comparison = compare(paths)
    page = report(paths, out=place / "report.html", comparison=comparison)
    metrics = {name: read_json(folder.metrics()) for name, folder in folders.items()}
    return DemoResult(folders, metrics, comparison, verdicts(comparison, list(folders)), page)


def verdicts(comparison: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """What the test says of the first metric, and how the others came out, as the report puts it."""
    from lossmith.report.comparison import pairs, verdict_lines

    found = verdict_lines(pairs(comparison, names), comparison["comparisons"][0]["metric"])
    return [f"{line.statement[:1].upper()}{line.statement[1:]}.\n{line.detail}" for line in found]


def answers_to_first(folders: Mapping[str, RunFolder]) -> tuple[str, list[dict[str, str]]]:
    """Id of the first test record, and its ingredient lines row by row: as they should be, and of each run.

    A missing line is empty; an answer that does not read as a recipe is shown as its first line of text.
    """
    import pyarrow.parquet as pq

    from lossmith.metrics.recipe_text import read_recipe

    columns: dict[str, Sequence[str]] = {}
    for name, folder in folders.items():
        row = pq.read_table(folder.predictions("test")).slice(0, 1).to_pylist()[0]
        for column, text in (("should be", row["target"]), (name, row["prediction"])):
            recipe = read_recipe(text)
            columns[column] = recipe.ingredients if recipe else [f"(no recipe) {text[:40]}"]
    longest = max(map(len, columns.values()))
    rows = [{c: lines[n] if n < len(lines) else "" for c, lines in columns.items()} for n in range(longest)]
    return str(row["id"]), rows


def _measured(place: Path) -> dict[Path, int]:
    """When each run in a folder was last measured: a run that does any work ends in new metrics."""
    return {file: file.stat().st_mtime_ns for file in place.glob("*/metrics.json")}
