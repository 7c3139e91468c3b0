"""The files of an encoder's base: where they lie, and what names their content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lossmith.models.source import find_source, not_found

MODULES = "modules.json"
# Sentence encoders that are named without an owner belong to this one.
_OWNER = "sentence-transformers"
_READ = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.py", "*.safetensors")
_OLDER_WEIGHTS = "*.bin"
# The same weights for other libraries, and what training leaves beside them.
_UNREAD = (
    "onnx/*",
    "openvino/*",
    "*checkpoint-*",
    "training_args.bin",
    "optimizer.bin",
    "trainer_state.json",
    "README*",
)
# The hub's cache names large files by the sha256 of their content.
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class BaseFiles:
    """A base as files: its hub name or absolute folder, the revision of the former, and the folder that holds them."""

    name: str
    revision: str | None
    folder: Path

    @cached_property
    def modules(self) -> list[dict[str, Any]] | None:
        """The modules of a sentence encoder, in order: type, and path in the folder. None for another model."""
        file = self.folder / MODULES
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def settings(self, *path: str) -> dict[str, Any]:
        """A JSON file of the base, empty where there is none."""
        file = self.folder.joinpath(*path)
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    @cached_property
    def digest(self) -> str:
        """sha256 of the names and contents of all files that the base's vectors depend on."""
        folders = {self.folder, *(self.folder / module["path"] for module in self.modules or ())}
        found = hashlib.sha256()
        for file in sorted(file for folder in folders for file in _read_files(folder)):
            found.update(f"{file.relative_to(self.folder)} {_digest_of(file)}\n".encode())
        return found.hexdigest()


def find_base(name: str, *, revision: str | None) -> BaseFiles:
    """The files of a folder, or of a hub name, which are fetched where they are not in the hub's cache.

    Raises InputError where there is no such model.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / MODULES).is_file():
            find_source(name)
        return BaseFiles(str(folder.absolute()), None, folder.absolute())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise not_found(name)
    error: Exception | None = None
    for candidate in (name,) if "/" in name else (name, f"{_OWNER}/{name}"):
        try:
            found = _snapshot(candidate, revision)
        except (OSError, ValueError) as failed:
            error = failed
        else:
            return BaseFiles(candidate, found.name, found)
    raise not_found(name, error) from error


def _snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    def fetched(*patterns: str) -> Path:
        # The revision is the user's to name.
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=[*patterns], ignore_patterns=[*_UNREAD])  # nosec B615
        )

    folder = fetched(*_READ)
    if not any(folder.rglob("*.safetensors")):
        folder = fetched(*_READ, _OLDER_WEIGHTS)
    return folder


def _read_files(folder: Path) -> Iterator[Path]:
    has_weights = any(folder.glob("*.safetensors"))
    patterns = _READ if has_weights else (*_READ, _OLDER_WEIGHTS)
    for file in folder.iterdir() if folder.is_dir() else ():
        is_read = any(file.match(pattern) for pattern in patterns)
        if is_read and not any(file.match(pattern) for pattern in _UNREAD) and file.is_file():
            yield file


def _digest_of(file: Path) -> str:
    real = file.resolve()
    if _HASH.fullmatch(real.name) and real.parent.name == "blobs":
        return real.name
    state = real.stat()
    return _sha256(real, state.st_size, state.st_mtime_ns)


@cache
def _sha256(file: Path, _size: int, _changed_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
