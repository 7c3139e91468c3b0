"""Where lossmith writes: whether it may, and how much room there is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from lossmith.data.cache import cache_folder
from lossmith.doctor.health.finding import Finding

_AREA = "disk"
GIB = 2**30
# A checkpoint of a model of 0.6 B parameters trained whole, with Adam's moments, takes 7 GiB; an adapter's far less.
LITTLE, TOO_LITTLE = 10 * GIB, GIB // 4


def storage_findings(runs_dir: str = "runs") -> Iterator[Finding]:
    """Runs, prepared data, models of the hub, and temporary files."""
    yield _finding("runs", Path(runs_dir).expanduser(), "runs_dir=FOLDER puts runs elsewhere")
    yield _finding("cache", cache_folder(), "LOSSMITH_CACHE=FOLDER puts prepared data elsewhere")
    yield _finding("models", Path(HF_HUB_CACHE), "HF_HOME=FOLDER puts the models of the hub elsewhere")
    yield _finding("temporary", Path(tempfile.gettempdir()), "TMPDIR=FOLDER puts temporary files elsewhere")


def _finding(name: str, folder: Path, fix: str) -> Finding:
    there = nearest_existing(folder)
    where = str(folder.absolute())
    if not there.is_dir():
        return Finding(_AREA, name, "error", f"{where}: {there} is a file, no folder", fix)
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".lossmith-"):
            pass
    except OSError as error:
        said = f"{where} cannot be written: {error.strerror or error}"
        # A machine that never downloads needs no folder for downloads.
        return Finding(_AREA, name, "warning" if name == "models" else "error", said, fix)
    free = shutil.disk_usage(there).free
    facts = {"folder": where, "bytes_free": free}
    said = f"{where}: {free / GIB:.1f} GiB free"
    if free < LITTLE:
        more = "train.save_total_limit=1 keeps one checkpoint beside the best"
        return Finding(_AREA, name, "error" if free < TOO_LITTLE else "warning", said, f"{fix}; {more}", facts)
    return Finding(_AREA, name, "ok", said, facts=facts)


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())
