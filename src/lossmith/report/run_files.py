"""What a run folder holds, read once, with a sentence for each thing that is not there."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lossmith.errors import InputError, LossmithError
from lossmith.names import TASKS
from lossmith.report.safe_text import plain
from lossmith.runs import RunFolder, read_json, read_jsonl


@dataclass(frozen=True)
class Gap:
    """Something a section needs and does not have: what, why it matters, and the command that makes it."""

    sentence: str
    command: str | None = None


@dataclass(frozen=True)
class Run:
    """One run as the report reads it; what is missing or damaged is None or empty, with a `Gap` under its file name."""

    label: str
    files: RunFolder
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    audit: Mapping[str, Any] | None
    history: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any] | None
    other_metrics: Mapping[str, Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    evidence: Mapping[str, Any] | None = None
    gaps: Mapping[str, Gap] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The split that the metrics speak of."""
        if self.metrics is not None:
            return str(self.metrics.get("split", "test"))
        return str(self.setting("evaluate", "split") or "test")

    @property
    def trained(self) -> bool:
        """Whether the configuration trains at all; `train: null` measures the base model as it is."""
        return not ("train" in self.config and self.config["train"] is None)

    @property
    def classifies(self) -> bool:
        """Whether its records have labels and its predictions are classes."""
        kind = self.setting("task", "kind")
        return kind in TASKS and TASKS[kind].classifies

    @property
    def retrieves(self) -> bool:
        """Whether its predictions are made from chunks of a document, and can be explained by them."""
        return self.setting("task", "kind") == "retrieval"

    def setting(self, *path: str) -> Any:
        """A value of the configuration by its path, None where there is none."""
        here: Any = self.config
        for part in path:
            here = here.get(part) if isinstance(here, Mapping) else None
        return here

    def written(self) -> str:
        """When the run was made, in UTC: from the manifest, or else the newest of its result files."""
        stated = self.manifest.get("finished") or self.manifest.get("started")
        if stated:
            try:
                return _date(datetime.fromisoformat(str(stated)))
            except ValueError:
                return str(stated)
        candidates = (self.files.metrics(), self.files.history, self.files.manifest_file, self.files.config)
        times = [path.stat().st_mtime for path in candidates if path.exists()]
        return _date(datetime.fromtimestamp(max(times), UTC)) if times else ""


def _date(moment: datetime) -> str:
    """A moment as a reader writes it, in UTC; one without a zone is taken to be in it.

    >>> _date(datetime(2026, 7, 1, 9, 5, 42, tzinfo=UTC))
    '1 July 2026, 09:05 UTC'
    """
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment.day} {calendar.month_name[moment.month]} {moment:%Y, %H:%M} UTC"


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in the order given, each with a label of its own.

    Raises InputError where there is none, where a folder is named twice, or where a folder is no run.
    """
    if not folders:
        raise InputError("no run was given", got="nothing", expected="one run folder or more")
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise InputError(f"{folder} was given twice", got=folder, expected="different run folders")
        seen.add(folder.resolve())
    return [read_run(folder, label) for folder, label in zip(folders, labels(folders), strict=True)]


def labels(folders: Sequence[Path]) -> list[str]:
    """Short names that differ: the folder's own, with its parent's where two are the same.

    >>> labels([Path("runs/a"), Path("runs/b")])
    ['a', 'b']
    >>> labels([Path("old/a"), Path("new/a")])
    ['old/a', 'new/a']
    """
    whole = [folder.resolve().parts for folder in folders]
    depth = 1
    while len({parts[-depth:] for parts in whole}) < len(set(whole)):
        depth += 1
    return [plain("/".join(parts[-depth:])) for parts in whole]


def read_run(folder: Path, label: str) -> Run:
    """Read every file that is there.

    Raises InputError where the folder holds no file of a run.
    """
    files = RunFolder(folder)
    expected = (files.config, files.manifest_file, files.metrics(), files.history, files.audit)
    if not any(path.exists() for path in expected):
        raise InputError(
            f"{folder} is not a run folder",
            got=folder,
            expected="a folder that holds config.yaml, manifest.json, metrics.json, history.jsonl or audit.json",
            fix="lossmith run CONFIG makes one",
        )
    gaps: dict[str, Gap] = {}

    def read(path: Path, reader: Callable[[Path], Any], command: str, *, empty: Any = None) -> Any:
        try:
            if path.exists():
                return reader(path)
            gaps[path.name] = Gap(f"{path.name} is missing from {label}", command)
        except LossmithError as error:
            gaps[path.name] = Gap(f"{path.name} of {label} cannot be read: {error.message}", command)
        return empty

    again = f"lossmith run {files.config}"
    metrics = read(files.metrics(), _mapping, f"lossmith evaluate {folder}")
    others = {}
    for path in sorted(folder.glob("metrics.*.json")):
        found = read(path, _mapping, f"lossmith evaluate {folder} --split {path.name.split('.')[1]}")
        if found is not None:
            others[path.name.removeprefix("metrics.").removesuffix(".json")] = found
    config = read(files.config, _yaml, again, empty={})
    task = config.get("task")
    explained = files.evidence().exists() or (isinstance(task, Mapping) and task.get("kind") == "retrieval")
    return Run(
        label=label,
        files=files,
        config=config,
        manifest=read(files.manifest_file, _mapping, again, empty={}),
        audit=read(files.audit, _mapping, f"lossmith prepare {files.config}"),
        history=read(files.history, read_jsonl, f"lossmith train {files.config}", empty=[]),
        metrics=metrics,
        other_metrics=others,
        rejected=read(files.rejected, read_jsonl, f"lossmith prepare {files.config}", empty=[]),
        evidence=read(files.evidence(), _mapping, f"lossmith explain {folder}") if explained else None,
        gaps=gaps,
    )


def _mapping(path: Path) -> Mapping[str, Any]:
    found = read_json(path)
    if not isinstance(found, Mapping):
        raise LossmithError(f"{path} is damaged: it holds no mapping", got=type(found).__name__, expected="a mapping")
    return found


def _yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LossmithError(f"{path} is damaged: {error}", got=path) from error
    if not isinstance(found, Mapping):
        raise LossmithError(f"{path} is damaged: it holds no mapping", got=type(found).__name__, expected="a mapping")
    return found
