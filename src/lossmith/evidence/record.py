"""The evidence of one prediction as plain data: what `lossmith explain RUN --id ID --json` prints."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmith.evidence.reading import Document, Judge, Reading
from lossmith.tasks.classified import Scored, told_of

SCHEMA = 1


def record_evidence(document: Document, judge: Judge, reading: Reading | str, *, split: str) -> dict[str, Any]:
    """What a prediction rests on; where `reading` says why the row failed, `error` does.

    `about` names what the evidence speaks for: the positive class of two, otherwise what is predicted. `evidence` holds
    every chunk that was read, the most important first: `importance` is how far the log-odds of that fall without it
    (nats), `weight` the mean of the queries' weights on it, `queries` those that read it.
    `queries` holds what each query read, the largest weight first; none where the mean of all chunks is read.
    """
    row, classes = document.row, judge.classes
    read = reading if isinstance(reading, Reading) else None
    error = reading if isinstance(reading, str) else None
    scored = Scored(0, None if read is None else read.whole, error=error)
    told = told_of(scored, row["label"], classes, judge.of(row).decision)
    return {
        "schema": SCHEMA,
        "id": row["id"],
        "split": split,
        "label": told["label"],
        "predicted": told["predicted"],
        "scores": {} if read is None else {name: told[f"score.{name}"] for name in classes.names},
        "criterion": row["pair"],
        "document": {
            "text": row["prompt"],
            "chunks": [_place(document, chunk) for chunk in range(len(document.units))],
        },
        "about": [] if read is None else [name for name, own in zip(classes.names, read.about, strict=True) if own],
        "queries": [] if read is None else _queries(read),
        "evidence": [] if read is None else [_evidence(read, chunk) for chunk in read.order if read.left.read[chunk]],
        "error": error,
    }


def _queries(reading: Reading) -> list[dict[str, Any]]:
    left = reading.left
    if not reading.judge.has_queries:
        return []
    return [
        {
            "query": query,
            "chunks": [
                {**_chunk(reading.document, int(chunk)), "weight": float(own[chunk]), "cosine": float(near[chunk])}
                for chunk in np.argsort(-own, kind="stable")
                if own[chunk] > 0
            ],
        }
        for query, (own, near) in enumerate(zip(left.weights, left.cosines, strict=True))
    ]


def _evidence(reading: Reading, chunk: int) -> dict[str, Any]:
    readers = np.flatnonzero(reading.left.weights[:, chunk] > 0) if reading.judge.has_queries else np.zeros(0, int)
    return {
        **_chunk(reading.document, int(chunk)),
        "weight": float(reading.weight[chunk]),
        "importance": float(reading.importance[chunk]),
        "queries": readers.tolist(),
    }


def _chunk(document: Document, chunk: int) -> dict[str, Any]:
    place = _place(document, chunk)
    return {"chunk": chunk, **place, "text": document.row["prompt"][place["start"] : place["end"]]}


def _place(document: Document, chunk: int) -> dict[str, int]:
    start, end = document.units[chunk].tolist()
    return {"start": start, "end": end}
