"""Records of one source as one record, whose targets are all its references."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from lossmith.config.evaluate import EvaluateConfig
from lossmith.tasks.rows import Rows, sample

REFERENCES = "references"


class SourceRows(Rows):
    """The first row of each source, in the order of the file, with the different targets of all its rows.

    A source is a prompt as it is written; its targets, in order, are `references`. `limit` is of sources.
    """

    def __init__(self, rows: Rows, *, limit: int | None = None, seed: int = 0) -> None:
        self.file = rows.file
        texts, targets = (rows.table.column(name).to_pylist() for name in ("prompt", "target"))
        first: dict[str, int] = {}
        found: dict[str, dict[str, None]] = {}
        for number, (text, target) in enumerate(zip(texts, targets, strict=True)):
            first.setdefault(text, number)
            found.setdefault(text, {})[target] = None
        references = pa.array([list(each) for each in found.values()], type=pa.list_(pa.string()))
        table = rows.table.take(pa.array(list(first.values()), type=pa.int64()))
        keep = sample(table.num_rows, limit, seed=seed)
        table = table.append_column(REFERENCES, references)
        self.table = table if keep is None else table.take(pa.array(keep))


def asked_rows(file: Path, asked: EvaluateConfig, *, limit: int | None, seed: int) -> Rows:
    """The rows of a prepared file that a model is asked about: all, or one of each source, or a seeded sample."""
    rows = Rows(file, columns=None)
    if asked.references == "source":
        return SourceRows(rows, limit=limit, seed=seed)
    keep = sample(len(rows), limit, seed=seed)
    return rows if keep is None else Rows(file, columns=None, keep=keep)
