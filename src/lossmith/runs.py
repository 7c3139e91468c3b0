"""The run folder: where each file lies, and how it is written so that a half-written one is never read."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.errors import InputError, LossmithError
from lossmith.names import import_from

# What a folder of runs holds that belong to one question; no run takes such a folder as its own.
STUDY_FILE = "study.json"
# Beside a model: the hash of its template, its classes, how scores become decisions, what it was merged from.
FACTS_FILE = "lossmith.json"
_OF_DAMAGED = "put a whole copy in its place, or remove it and run the stage that writes it again"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; renamed into place at the end, removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON as a whole or not at all; NaN and infinity are refused, since no reader agrees on them."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder.

    Raises LossmithError where it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LossmithError(f"{path} is missing", got=path, expected="a file that an earlier stage writes") from None
    except ValueError as error:
        raise LossmithError(f"{path} is damaged: {error}", got=path, fix=_OF_DAMAGED) from error


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """Add one line; a line is one write, so that a killed process leaves at most one partial last line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(line)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a partial last line, left by a killed process, is passed over."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                if number == len(lines):
                    break
                raise LossmithError(f"{path} line {number} is damaged: {error}") from error
    return rows


def dead_terms(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The terms that the last line of training calls dead; lines of an evaluation tell nothing of it.

    >>> dead_terms([{"terms": {}, "dead": ["focal"]}, {"eval_loss": 1.0}])
    ('focal',)
    """
    return next((tuple(line.get("dead") or ()) for line in reversed(history) if "terms" in line), ())


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; nothing is created until it is written.

    Of the processes of a distributed run only the first `writes`; in the others writing does nothing.
    """

    path: Path
    writes: bool = True

    config = property(lambda self: self.path / "config.yaml")
    manifest_file = property(lambda self: self.path / "manifest.json")
    log = property(lambda self: self.path / "train.log")
    history = property(lambda self: self.path / "history.jsonl")
    audit = property(lambda self: self.path / "audit.json")
    rejected = property(lambda self: self.path / "rejected.jsonl")
    tensorboard = property(lambda self: self.path / "tensorboard")
    checkpoints = property(lambda self: self.path / "checkpoints")
    model = property(lambda self: self.path / "model")
    merged = property(lambda self: self.path / "merged")
    report = property(lambda self: self.path / "report.html")

    def predictions(self, split: str) -> Path:
        """The predictions of a split."""
        return self.path / "predictions" / f"{split}.parquet"

    def metrics(self, split: str | None = None) -> Path:
        """The metrics of the evaluated split (None), or of another one."""
        return self.path / ("metrics.json" if split is None else f"metrics.{split}.json")

    def evidence(self, split: str | None = None) -> Path:
        """What predictions of the evaluated split (None) rest on, or of another one."""
        return self.path / ("evidence.json" if split is None else f"evidence.{split}.json")

    def sweep(self, split: str) -> Path:
        """What a split came to under several generation presets; its page lies beside it."""
        return self.path / f"sweep.{split}.json"

    def manifest(self) -> dict[str, Any]:
        """The manifest, empty before the first stage."""
        return dict(read_json(self.manifest_file)) if self.manifest_file.exists() else {}

    def update_manifest(self, **entries: Any) -> None:
        """Set top-level entries; mappings are merged one level deep."""
        if not self.writes:
            return
        manifest = self.manifest()
        for key, value in entries.items():
            old = manifest.get(key)
            manifest[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        write_json(self.manifest_file, manifest)

    def add_warning(self, sentence: str) -> None:
        """Keep a warning for the report, once."""
        warnings = self.manifest().get("warnings", [])
        if sentence not in warnings:
            self.update_manifest(warnings=[*warnings, sentence])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder: two processes writing one run would interleave their files."""
        from filelock import FileLock, Timeout

        if not self.writes:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise LossmithError(
                f"another process is working in {self.path}",
                got="a held lock",
                expected="one process a run folder",
                fix="wait for it, or give this run another name=...",
            ) from None
        try:
            yield
        finally:
            lock.release()


def open_run(path: str | Path) -> RunFolder:
    """The run at `path`; functions of the user's own are then found where they lay when it was trained.

    Raises InputError where the folder is no run, with the runs that lie beside it.
    """
    folder = RunFolder(Path(path))
    if folder.config.exists():
        # Whoever needs a damaged manifest says that it is damaged.
        with suppress(LossmithError):
            for place in folder.manifest().get("code", []):
                import_from(Path(place))
        return folder
    parent = folder.path.parent
    beside = sorted(p.parent.name for p in parent.glob("*/config.yaml")) if parent.is_dir() else []
    raise InputError(
        f"{path} is not a run folder",
        got=path,
        expected="a folder that holds config.yaml" + (f"; beside it: {', '.join(beside[:8])}" if beside else ""),
        fix="lossmith train CONFIG makes one",
    )
