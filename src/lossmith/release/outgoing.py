"""The files that are to be given away: what each is called there, what it holds, and that it holds no secret."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lossmith.errors import InputError

_CHUNK = 1 << 20
# What a hub puts into a repository by itself.
GIT_ATTRIBUTES = ".gitattributes"
# Forms of keys that services give out; the longest is under 256 characters, so that none is lost between two chunks.
_KEYS: Mapping[str, re.Pattern[bytes]] = {
    "a token of the Hugging Face hub": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a key of OpenAI or Anthropic": re.compile(rb"\bsk-[A-Za-z0-9_-]{32,}"),
    "a key of AWS": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36,}"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
_OVERLAP = 256
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY", re.IGNORECASE)
_SHORTEST_SECRET = 12
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".parquet", ".arrow")


@dataclass(frozen=True)
class Outgoing:
    """One file: its path in the repository, and where its content lies, or the content itself."""

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Hash of the content."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    @cached_property
    def blob(self) -> str:
        """What git calls the content: the hub tells it of small files."""
        digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    @property
    def text(self) -> str:
        """The content of a text file."""
        return b"".join(self.chunks()).decode()

    def chunks(self) -> Iterator[bytes]:
        """The content, a piece at a time."""
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def files_of(folder: Path, *, leaving_out: Sequence[str] = ()) -> list[Outgoing]:
    """Every file under a folder by its path in it, hidden ones and those named left out."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    named = [(path.relative_to(folder), path) for path in found]
    return [
        Outgoing(inside.as_posix(), path)
        for inside, path in named
        if not any(part.startswith(".") for part in inside.parts) and inside.as_posix() not in leaving_out
    ]


def refuse_secrets(files: Sequence[Outgoing], *, token: str | None = None) -> None:
    """Raise InputError where a file holds a key, or the value of a variable of this process that is named like one.

    Weights are not searched. The error names the file and the kind of key, never the key.
    """
    known = {f"the value of {name}": value.encode() for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    if token:
        known["the token that would be used"] = token.encode()
    known = {what: value for what, value in known.items() if len(value) >= _SHORTEST_SECRET}
    for file in files:
        if file.path.endswith(_WEIGHTS):
            continue
        if (what := _secret_in(file, known)) is not None:
            raise InputError(
                f"{file.path} holds {what}, and would be given away with it",
                got=file.path,
                expected="files without secrets",
                fix="take it out, and withdraw the key where the file was shown to anybody",
            )


def _secret_in(file: Outgoing, known: Mapping[str, bytes]) -> str | None:
    before = b""
    for chunk in file.chunks():
        text = before + chunk
        for what, value in known.items():
            if value in text:
                return what
        for what, form in _KEYS.items():
            if form.search(text):
                return what
        before = text[-_OVERLAP:]
    return None


def refuse_places(files: Sequence[Outgoing]) -> None:
    """Raise InputError where a JSON file names a path that is on this machine alone."""
    for file in files:
        if not file.path.endswith(".json") or file.path == "tokenizer.json":
            continue
        content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
        for key, value in _texts(json.loads(content)):
            if value.startswith("/") and "\n" not in value and len(value) < 1000 and Path(value).exists():
                raise InputError(
                    f"{file.path} names a folder of this machine, so that it could be loaded nowhere else",
                    got=f"{key}: {value}",
                    expected="a model that is whole, or one whose base is on the hub",
                    fix="lossmith merge RUN makes one whole model, which publish then takes",
                )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _texts(inside, str(name))
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside, key)
