"""Records that no answer was given to, with the reasons."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lossmith.evaluate.predictions import Predictions
from lossmith.report.provenance import share_of
from lossmith.report.safe_text import clipped

_SHOWN = 40


def failures(label: str, table: Predictions) -> dict[str, Any]:
    """The failed records of a run, the first 40 of them by id, and how often each reason occurs."""
    rows = [row for row, failed in enumerate(table.failed) if failed]
    errors = table.table["error"].to_pylist() if "error" in table.table.column_names else [None] * len(table)
    reasons = Counter(str(errors[row] or "no prediction") for row in rows)
    return {
        "label": label,
        "count": len(rows),
        "of": len(table),
        "share": share_of(len(rows), len(table)),
        "reasons": [(clipped(reason, 300)[0], number) for reason, number in reasons.most_common(12)],
        "rows": [(table.ids[row], clipped(str(errors[row] or "no prediction"), 300)[0]) for row in rows[:_SHOWN]],
    }
