"""Out-of-fold predictions of all folds as one file, as if one model had made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.errors import LossmithError
from lossmith.runs import RunFolder, atomic_path

POOLED = "pooled"
_KEY = b"lossmith"


def pooled_name(repeat: int) -> str:
    """The split that a repeat's pooled predictions are called in the study's folder.

    >>> pooled_name(0), pooled_name(2)
    ('pooled', 'pooled-2')
    """
    return POOLED if repeat == 0 else f"{POOLED}-{repeat}"


def write_pooled(folds: Mapping[int, RunFolder], path: Path) -> int:
    """Write the test predictions of every fold below one another, with a column `fold`; returns the number of records.

    What the folds say of their classes is kept; thresholds and temperatures belong to each fold and are listed in its
    order. Raises LossmithError where two folds predicted the same record, or know other classes.
    """
    tables = {fold: pq.read_table(run.predictions("test")) for fold, run in folds.items()}
    facts = [json.loads((table.schema.metadata or {}).get(_KEY, b"{}")) for table in tables.values()]
    numbered = [
        table.replace_schema_metadata(None).append_column("fold", pa.array([fold] * len(table), type=pa.int32()))
        for fold, table in tables.items()
    ]
    whole = pa.concat_tables(numbered, promote_options="permissive")
    _check_ids(whole)
    if known := _shared_facts(facts, list(tables)):
        whole = whole.replace_schema_metadata({_KEY: json.dumps(known, ensure_ascii=False).encode()})
    with atomic_path(path) as temporary:
        pq.write_table(whole, temporary)
    return int(whole.num_rows)


def _check_ids(whole: pa.Table) -> None:
    ids = whole["id"].to_pylist()
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = sorted({one for one in ids if one in seen or seen.add(one)})  # type: ignore[func-returns-value]
        raise LossmithError(
            f"{len(twice)} records were predicted by two folds",
            got=", ".join(twice[:5]),
            expected="each record in the test split of one fold",
        )


def _shared_facts(facts: Sequence[Mapping[str, Any]], folds: Sequence[int]) -> dict[str, Any] | None:
    if not any(facts):
        return None
    known = [(fact.get("classes") or {}) for fact in facts]
    for key in ("names", "positive", "multi_label"):
        if len({json.dumps(one.get(key)) for one in known}) > 1:
            told = "; ".join(f"fold {fold}: {one.get(key)}" for fold, one in zip(folds, known, strict=True))
            raise LossmithError(
                f"the folds differ in the {key} of their classes",
                got=told,
                expected="the same in every fold",
                fix="name them: task.classes=[...] task.positive=...",
            )
    return {
        "classes": known[0] | {"counts": {}, "examples": {}},
        "threshold": None,
        "temperature": None,
        "folds": [{"threshold": fact.get("threshold"), "temperature": fact.get("temperature")} for fact in facts],
    }
