"""What was run and from what: the facts at the top, the manifest, the files, and how to do it again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.report.evidence.method import chunk_words, encoder_words, reading_words
from lossmith.report.figures import count, duration, number, percent, size
from lossmith.report.objective_words import formula
from lossmith.report.run_files import Run

Facts = list[tuple[str, str]]
_LISTED = 60


def opening_facts(run: Run) -> Facts:
    """What was run, in plain words."""
    base = str(run.setting("model", "base") or _first(run.manifest.get("model"), "base", "name") or "")
    counts = (run.manifest.get("data") or {}).get("counts") or {}
    device = " · ".join(str(run.manifest[key]) for key in ("device", "dtype") if run.manifest.get(key))
    measured = (run.metrics or {}).get("n")
    facts = [
        ("Task", str(run.setting("task", "kind") or "")),
        *_model(run, base),
        ("Objective", formula(run)),
        ("Records", ", ".join(f"{name} {held:,}" for name, held in counts.items() if isinstance(held, int))),
        ("Training", _schedule(run)),
        ("Checkpoint kept", _checkpoint(run)),
        ("Measured on", f"{run.split} split, {count(measured, 'record')}" if measured else ""),
        ("Seed", str(run.manifest.get("seed", run.setting("seed") if run.config else "")) or ""),
        ("Device", device),
        ("Time", duration(_total(run, "seconds")) if run.manifest.get("stages") else ""),
        ("Written", run.written()),
    ]
    return [(name, value) for name, value in facts if value]


def lead(runs: Sequence[Run]) -> str:
    """What was done, in a sentence or two."""
    run = runs[0]
    task = str(run.setting("task", "kind") or "")
    counts = (run.manifest.get("data") or {}).get("counts") or {}
    trained = f" on {count(counts['train'], 'record')}" if isinstance(counts.get("train"), int) else ""
    measured = (run.metrics or {}).get("n")
    scored = f" and measured on {count(measured, 'record')} of the {run.split} split" if measured else ""
    base = run.setting("model", "base") or "a model"
    if len(runs) == 1:
        done = f"trained with the objective {formula(run)}{trained}" if run.trained else "taken as it is"
        return f"{base}, task {task or 'not stated'}, {done}{scored}."
    objectives = {formula(one) for one in runs}
    what = f"{len(runs)} runs" if len(objectives) == 1 else f"{len(objectives)} objectives in {len(runs)} runs"
    bases = ", ".join(dict.fromkeys(str(one.setting("model", "base") or "a model") for one in runs))
    return f"{what} of {bases}, task {task or 'not stated'}, trained{trained}{scored}."


def stage_rows(run: Run) -> list[tuple[str, str, str]]:
    """Stage, wall time, peak memory."""
    stages = run.manifest.get("stages") or {}
    return [
        (str(name), duration(facts.get("seconds")), size(facts.get("peak_memory_bytes")))
        for name, facts in stages.items()
        if isinstance(facts, Mapping)
    ]


def manifest_facts(run: Run) -> Facts:
    """Every entry of the manifest that no other section shows, flattened."""
    shown = {"stages", "warnings", "objective", "command", "versions", "data", "set_terms"}
    facts = [
        ("versions", ", ".join(f"{name} {held}" for name, held in (run.manifest.get("versions") or {}).items() if held))
    ]
    data = run.manifest.get("data") or {}
    facts += [(f"data {key}", str(data[key])) for key in ("fingerprint", "folder") if data.get(key)]
    set_terms = run.manifest.get("set_terms")
    if set_terms:
        facts.append(("terms over many positions", ", ".join(str(_first(term, "name") or term) for term in set_terms)))
    for key, value in run.manifest.items():
        if key not in shown:
            facts.extend(_flat(key, value))
    return [(name, value) for name, value in facts if value]


def data_files(run: Run) -> list[tuple[str, str, str]]:
    """Path, size and SHA-256 of the files the data came from."""
    files = (run.manifest.get("data") or {}).get("files") or []
    return [
        (str(facts.get("path")), size(facts.get("bytes")), str(facts.get("sha256") or ""))
        for facts in files
        if isinstance(facts, Mapping)
    ]


def folder_files(run: Run) -> tuple[list[tuple[str, str]], int]:
    """The files of the run folder with their sizes, and how many more there are.

    Folders below the second level are summed up.
    """
    rows: list[tuple[str, str]] = []
    root = run.files.path
    for path in sorted(root.iterdir() if root.is_dir() else []):
        if path.name.startswith(".") or path.name == "report.html":
            continue
        if path.is_dir():
            rows.extend(_inside(path))
        elif path.is_file():
            rows.append((path.name, size(path.stat().st_size)))
    return rows[:_LISTED], max(0, len(rows) - _LISTED)


def commands(run: Run) -> list[tuple[str, str]]:
    """How to do it again: the command that was given, and the same from the resolved configuration."""
    given = run.manifest.get("command")
    found = []
    if isinstance(given, Sequence) and not isinstance(given, str) and given:
        words = [Path(str(given[0])).name, *(str(word) for word in given[1:])]
        found.append(("As it was started", shlex.join(words)))
    elif given:
        found.append(("As it was started", str(given)))
    if run.config:
        again = shlex.join(["lossmith", "run", str(run.files.config), "name=again"])
        found.append(("From the resolved configuration, in a folder of its own", again))
    return found


def _inside(folder: Path) -> list[tuple[str, str]]:
    rows = []
    for path in sorted(folder.iterdir()):
        if path.is_file():
            rows.append((f"{folder.name}/{path.name}", size(path.stat().st_size)))
        elif path.is_dir():
            total, files = 0, 0
            for parent, _, names in os.walk(path):
                files += len(names)
                total += sum((Path(parent) / name).stat().st_size for name in names if (Path(parent) / name).exists())
            rows.append((f"{folder.name}/{path.name}/ ({count(files, 'file')})", size(total)))
    return rows


def _model(run: Run, base: str) -> Facts:
    if run.retrieves:
        return [("Encoder", encoder_words(run)), ("Chunks", chunk_words(run)), ("Reads", reading_words(run))]
    return [("Base model", f"{base}, {_adapter(run)}" if base and run.trained else base)]


def _adapter(run: Run) -> str:
    adapter = run.setting("model", "adapter")
    scratch = str(run.setting("model", "base") or "").startswith("scratch-")
    if adapter == "lora" or (adapter is None and not scratch):
        rank = run.setting("model", "lora_r")
        bits = " on a 4-bit base" if run.setting("model", "load_in_4bit") else ""
        return f"LoRA of rank {rank}{bits}" if rank else f"LoRA{bits}"
    return "random weights, all trained" if scratch else "all weights trained"


def _checkpoint(run: Run) -> str:
    """Which checkpoint the model is; not its loss, which beside that of another objective would invite comparison."""
    best, last = (run.manifest.get("best") or {}).get("step"), run.manifest.get("steps")
    if best is not None and run.setting("train", "load_best_model_at_end") is not False:
        return f"step {number(best)}, best by {run.setting('train', 'metric_for_best_model') or 'eval_loss'}"
    return f"step {number(last)}, the last" if last is not None else ""


def _schedule(run: Run) -> str:
    train = run.setting("train")
    if not isinstance(train, Mapping):
        return "" if run.trained else "none"
    steps = train.get("max_steps")
    length = (
        count(steps, "step")
        if isinstance(steps, int) and steps > 0
        else f"{number(train.get('num_train_epochs'))} epochs"
    )
    batch = (train.get("per_device_train_batch_size") or 1) * (train.get("gradient_accumulation_steps") or 1)
    rate = train.get("learning_rate")
    return f"{length}, {batch} records a step" + (f", learning rate {rate:g}" if isinstance(rate, int | float) else "")


def _total(run: Run, key: str) -> float:
    stages = (run.manifest.get("stages") or {}).values()
    return sum(facts.get(key) or 0.0 for facts in stages if isinstance(facts, Mapping))


def _first(facts: Any, *keys: str) -> Any:
    return next((facts[key] for key in keys if facts.get(key)), None) if isinstance(facts, Mapping) else None


def _flat(name: str, value: Any) -> Facts:
    if isinstance(value, Mapping):
        return [fact for key, held in value.items() for fact in _flat(f"{name} {key}", held)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, ", ".join(str(entry) for entry in value))]
    return [(name, "" if value is None else str(value))]


def differing(tables: Sequence[Facts]) -> list[tuple[str, list[str], bool]]:
    """Facts of several runs side by side: name, a value each, and whether they differ.

    >>> differing([[("Seed", "0"), ("Task", "causal")], [("Seed", "1"), ("Task", "causal")]])
    [('Seed', ['0', '1'], True), ('Task', ['causal', 'causal'], False)]
    """
    names = dict.fromkeys(name for table in tables for name, _ in table)
    rows = [(name, [dict(table).get(name, "") for table in tables]) for name in names]
    return [(name, values, len(set(values)) > 1) for name, values in rows]


def share_of(part: int, whole: int) -> str:
    """A part of a whole as per cent, empty where there is no whole.

    >>> share_of(3, 12)
    '25.0 %'
    """
    return percent(part / whole) if whole else ""
