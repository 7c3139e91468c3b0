"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What was looked at (`area`, `name`), how it stands, in a sentence, and what would mend it.

    An error keeps work from being done; a warning makes it slower, or keeps a part of it from being done.

    >>> Finding("disk", "cache", "error", "it cannot be written", fix="set LOSSMITH_CACHE").as_json()["state"]
    'error'
    """

    area: str
    name: str
    state: State
    said: str
    fix: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "facts": dict(self.facts)}


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing keeps work from being done."""
    return all(finding.state != "error" for finding in findings)
