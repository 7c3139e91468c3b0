"""The table of tasks."""

from __future__ import annotations

from collections.abc import Mapping

from lossmith.names.rows import TaskRow

TASKS: Mapping[str, TaskRow] = {
    row.name: row
    for row in (TaskRow("causal", "lossmith.tasks.causal", "continue a prompt with a decoder-only model"),)
}
