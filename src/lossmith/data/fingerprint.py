"""What decides a prepared folder: bytes of the sources, options, template and tokenizer."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossmith.config.schema import Config
from lossmith.data.sources.files import Source
from lossmith.names import code_hash
from lossmith.runs import write_json

FORMAT = 8  # raised when the same inputs give other files
_RACY_SECONDS = 2.0
# Of `task`, what is made of prepared chunks: a search over these reads the same rows.
CLASSIFIER_KEYS = (
    "queries",
    "k",
    "temperature",
    "query_init",
    "query_texts",
    "aggregate",
    "classifier",
    "classifier_hidden_size",
    "classifier_dropout",
    "criterion",
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One source file as it was read."""

    path: str
    sha256: str
    bytes: int


def hash_files(sources: Sequence[Source], cache: Path) -> list[FileFacts]:
    """Facts of every source file; a file of the same size and time as before is not read again."""
    return [_facts(path.resolve(), cache / "hashes") for source in sources for path in source.paths]


def fingerprint(config: Config, sources: Sequence[Source], files: Sequence[FileFacts], *, keys: Sequence[str]) -> str:
    """32 hexadecimal digits; `keys` stand for the template and the tokenizer.

    Names of the files count, since ids come from them; their folders do not.
    """
    digests = iter(files)
    described = [
        {
            "name": source.name,
            "split": source.split,
            "weight": source.weight,
            "files": [next(digests).sha256 for _ in source.paths],
            "code": code_hash(source.function, what="source") if source.function else None,
        }
        for source in sources
    ]
    parts = {
        "format": FORMAT,
        "sources": described,
        "data": config.data.model_dump(mode="json", exclude={"files"}),
        "task": config.task.model_dump(mode="json", exclude=set(CLASSIFIER_KEYS)),
        "seed": config.split_seed,
        "keys": list(keys),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _facts(path: Path, notes: Path) -> FileFacts:
    stat = path.stat()
    note = notes / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}
    remembered = _read(note)
    if remembered.get("seen") == seen:
        return FileFacts(**remembered["facts"])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = FileFacts(str(path), digest, stat.st_size)
    # A file changed within the clock's grain could change again without its time telling.
    if time.time() - stat.st_mtime > _RACY_SECONDS:
        write_json(note, {"seen": seen, "facts": asdict(facts)})
    return facts


def _read(note: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
