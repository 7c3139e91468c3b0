"""The shared cache of prepared data: one folder a fingerprint, whole or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lossmith.errors import LossmithError

_UNFINISHED = ".tmp-"


def cache_folder() -> Path:
    """`$LOSSMITH_CACHE`, or ~/.cache/lossmith."""
    named = os.environ.get("LOSSMITH_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "lossmith"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the right to build `folder`; a second process waits here until the first has built it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_file(folder))
        lock.acquire()
    except OSError as error:
        raise LossmithError(
            f"the cache cannot be written: {error.strerror or error}",
            got=folder.parent,
            expected="a folder that can be written",
            fix="set LOSSMITH_CACHE to one",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def built_whole(folder: Path) -> Iterator[Path]:
    """A temporary sibling to build in; it becomes `folder` at the end, and is removed on failure.

    To be called under `locked(folder)`.
    """
    remove_unfinished(folder.parent, held=folder.name)
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}{_UNFINISHED}", dir=folder.parent))
    try:
        building.chmod(0o755)
        yield building
        for path in (*(p for p in building.rglob("*") if p.is_file()), building):
            _sync(path)
        if folder.exists():
            folder.rename(building.with_name(f"{building.name}-old"))
        building.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(building.with_name(f"{building.name}-old"), ignore_errors=True)


def remove_unfinished(parent: Path, *, held: str | None = None) -> None:
    """Remove what killed processes left; what a living one builds is known by its lock.

    `held` names the folder whose lock the caller holds itself.
    """
    for left in sorted(parent.glob(f"*{_UNFINISHED}*")):
        name = left.name.partition(_UNFINISHED)[0]
        if name == held:
            shutil.rmtree(left, ignore_errors=True)
            continue
        try:
            with FileLock(_lock_file(parent / name), timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except Timeout:
            continue


def _lock_file(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
