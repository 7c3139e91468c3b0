"""What a study folder holds, as its page reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.errors import InputError
from lossmith.report.figures import count, duration
from lossmith.report.safe_text import plain
from lossmith.runs import STUDY_FILE, read_json

WORDS: Mapping[str, str] = {
    "cv": "Cross-validation",
    "ablate": "Ablation",
    "tune": "Search",
}
_OF_EVERY_ROW = ("name", "path", "state", "seconds", "error")


@dataclass(frozen=True)
class Child:
    """One run of a study: `varies` is what sets it apart, `error` why it failed."""

    name: str
    state: str
    time: str
    varies: tuple[tuple[str, str], ...]
    error: str


@dataclass(frozen=True)
class Study:
    """study.json; `results` is empty until the study has any."""

    path: Path
    kind: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    results: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return plain(self.path.resolve().name)

    def setting(self, *path: str) -> Any:
        """A value of the configuration by its path, None where there is none."""
        here: Any = self.config
        for part in path:
            here = here.get(part) if isinstance(here, Mapping) else None
        return here

    def children(self) -> list[Child]:
        """The runs in the order of the study."""
        return [_child(row) for row in self.rows]

    def states(self) -> str:
        """How many runs are in which state, in words."""
        held: dict[str, int] = {}
        for row in self.rows:
            held[str(row.get("state"))] = held.get(str(row.get("state")), 0) + 1
        return ", ".join(f"{count(times, 'run')} {state}" for state, times in held.items())


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study."""
    return (folder / STUDY_FILE).exists()


def read_study(folder: Path) -> Study:
    """The study in a folder.

    Raises InputError where its study.json is not one that this version knows.
    """
    held = read_json(folder / STUDY_FILE)
    if not isinstance(held, Mapping) or held.get("kind") not in WORDS:
        raise InputError(
            f"{folder / STUDY_FILE} is of no kind of study that is known",
            got=held.get("kind") if isinstance(held, Mapping) else type(held).__name__,
            expected=", ".join(WORDS),
        )
    return Study(folder, held["kind"], held.get("config") or {}, held.get("runs") or (), held.get("results") or {})


def _child(row: Mapping[str, Any]) -> Child:
    varies = tuple((str(key), str(value)) for key, value in row.items() if key not in _OF_EVERY_ROW)
    error = row.get("error")
    told = error.get("message") if isinstance(error, Mapping) else error
    return Child(str(row.get("name")), str(row.get("state")), duration(row.get("seconds")), varies, str(told or ""))


def shown_value(value: Any) -> str:
    """A value of a key as a reader writes it.

    >>> shown_value(2.5e-05), shown_value(None), shown_value("lora"), shown_value(True)
    ('2.5e−5', 'null', 'lora', 'true')
    """
    if value is None or (isinstance(value, bool | Mapping | Sequence) and not isinstance(value, str)):
        return json.dumps(value)
    return f"{value:.4g}".replace("e-0", "e−").replace("e-", "e−") if isinstance(value, float) else str(value)
