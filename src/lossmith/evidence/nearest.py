"""The chunks of a whole split that are nearest to each query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from lossmith.evidence.opened import Opened
from lossmith.tasks.document_vectors import DocumentVectors
from lossmith.tasks.find_row import read_rows
from lossmith.tasks.nearest_chunks import Near, nearest_chunks

NEAREST = 10
# Criteria whose queries look for themselves; of more, those of the most rows.
_CRITERIA = 64


def nearest_of_queries(opened: Opened, vectors: DocumentVectors, file: Path) -> list[list[dict[str, Any]]]:
    """For each query its nearest chunks of all documents of a prepared file, no text twice, the nearest first.

    Where a criterion turns the queries, those turned by each criterion look for themselves, and `criterion` says by
    which one a chunk was found.
    """
    criteria = _criteria(file) if opened.model.shape.criterion == "text" else {None: None}
    directions = torch.cat([_directions(opened, vectors, row) for row in criteria.values()]).cpu().numpy()
    found = nearest_chunks(vectors, directions, NEAREST)
    count = opened.queries
    by_query = [
        sorted(
            ((one, criterion) for place, criterion in enumerate(criteria) for one in found[place * count + query]),
            key=lambda each: -each[0].cosine,
        )
        for query in range(count)
    ]
    rows = read_rows(file, (one.row for near in by_query for one, _ in near), columns=["id", "prompt"])
    return [_distinct(near, vectors, rows) for near in by_query]


def _criteria(file: Path) -> dict[str | None, int | None]:
    """The criteria of most rows, each with the number of a row that has it."""
    pairs = pq.read_table(file, columns=["pair"]).column("pair").combine_chunks()
    counts = sorted(pc.value_counts(pairs).to_pylist(), key=lambda one: -one["counts"])[:_CRITERIA]
    return {one["values"]: pc.index(pairs, one["values"]).as_py() for one in counts}


@torch.no_grad()
def _directions(opened: Opened, vectors: DocumentVectors, row: int | None) -> torch.Tensor:
    """Where the queries look (queries, width), turned by the criterion of a row where there is one."""
    criterion = None if row is None else vectors.pair(row)
    if criterion is None:
        return opened.model.directions()
    return opened.model.directions(torch.from_numpy(criterion)[None].to(opened.device))[0]


def _distinct(
    near: Sequence[tuple[Near, str | None]], vectors: DocumentVectors, rows: Mapping[int, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The first chunks of different texts: several criteria may find the same one."""
    told: dict[str, dict[str, Any]] = {}
    for one, criterion in near:
        start, end = vectors.units(one.row)[one.chunk].tolist()
        text = rows[one.row]["prompt"][start:end]
        if text not in told:
            place = {"id": rows[one.row]["id"], "chunk": one.chunk, "start": start, "end": end, "text": text}
            told[text] = {**place, "cosine": one.cosine, **({} if criterion is None else {"criterion": criterion})}
        if len(told) == NEAREST:
            break
    return list(told.values())
