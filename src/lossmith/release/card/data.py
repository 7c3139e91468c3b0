"""What a run was trained and measured on: its sources by fingerprint, and the audit of its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.data.audit.table import audit_table, overlap_table
from lossmith.release.card.markdown import section, table


def data_section(manifest: Mapping[str, Any], audit: Mapping[str, Any] | None) -> str:
    """Sources, the audit by split, what splits share, and what was left out."""
    data = manifest.get("data", {})
    files = [
        {"source": f"`{Path(file['path']).name}`", "bytes": file["bytes"], "sha256": f"`{file['sha256']}`"}
        for file in data.get("files", ())
    ]
    told = f"The prepared rows have the fingerprint `{data['fingerprint']}`." if "fingerprint" in data else ""
    if audit is None:
        return section("Data", table(files), told)
    return section(
        "Data",
        table(files),
        told,
        table(_rows(audit_table(audit))),
        table(_rows(overlap_table(audit))),
        _left_out(audit),
    )


def _rows(lines: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    head, *body = lines
    return [dict(zip(head, line, strict=True)) for line in body]


def _left_out(audit: Mapping[str, Any]) -> str:
    rejected = audit.get("rejected", {}).get("total", 0)
    told = f"{audit.get('read', 0):,} records were read"
    if not rejected:
        return f"{told}, none was rejected."
    return f"{told}, {rejected:,} were rejected ({audit['rejected']['share']:.2%})."
