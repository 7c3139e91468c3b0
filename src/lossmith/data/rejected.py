"""Records that cannot be used: written down one a line, counted by reason, and bounded in their share."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from lossmith.data.records import Problem
from lossmith.errors import DataError

SHOWN = 3


class Rejections:
    """Writes rejected.jsonl while records are read; used as a context manager.

    A line is {"file", "line", "reason", "detail"}, with "id" where the record has one. Texts stay out of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self.read = 0
        self._first: list[str] = []

    def __enter__(self) -> Self:
        self._file = self.path.open("w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def total(self) -> int:
        """Records rejected so far."""
        return self.reasons.total()

    def add(self, file: str, line: int, problem: Problem, *, id: str | None = None) -> None:  # noqa: A002
        """Write one rejected record down."""
        row: dict[str, object] = {
            "file": file,
            "line": line,
            "reason": problem.reason,
            "detail": problem.detail,
        }
        if id is not None:
            row["id"] = id
        self._file.write(json.dumps(row) + "\n")
        self.reasons[problem.reason] += 1
        if len(self._first) < SHOWN:
            detail = f": {problem.detail}" if problem.detail else ""
            self._first.append(f"{file} line {line}: {problem.reason}{detail}")

    def check_share(self, limit: float) -> None:
        """Raise DataError when more than `limit` of the records read were rejected."""
        if self.total <= limit * self.read:
            return
        self._file.flush()
        listed = "".join(f"\n    {text}" for text in self._first)
        more = f"\n    and {self.total - len(self._first)} more" if self.total > len(self._first) else ""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        raise DataError(
            f"{self.total} of {self.read} records were rejected ({self.total / self.read:.1%}){listed}{more}",
            got=reasons,
            expected=f"at most {limit:.1%} (data.max_rejected)",
            fix=f"every one is in {self.path}; mend the source, or raise data.max_rejected",
        )
