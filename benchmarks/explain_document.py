"""Time to explain one document after everything is loaded: leave-one-out importance and its evidence as plain data.

python benchmarks/explain_document.py [--chunks 40 400 4000] [--width 384] [--queries 8] [--k 12] [--json FILE]
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lossmith.evidence.reading import Document, Judge, read_document
from lossmith.evidence.record import record_evidence
from lossmith.labels import Classes
from lossmith.models.retrieval import RetrievalClassifier, RetrievalShape
from lossmith.tasks.classified import Decision
from measuring import interleaved, summary, write_json

TARGET = 1.0
LINE = "a sentence of about eighty characters, such as terms of services are written of"
CPU = torch.device("cpu")


def document_of(chunks: int, width: int, *, criterion: bool) -> Document:
    """A document of so many lines with random unit vectors."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(chunks + 1, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.arange(chunks) * (len(LINE) + 1)
    row = {"id": "d", "label": "1", "pair": "a criterion" if criterion else None, "prompt": "\n".join([LINE] * chunks)}
    units = np.stack([starts, starts + len(LINE)], axis=1)
    return Document(row | {"error": None}, vectors[1:], units, vectors[0] if criterion else None)


def explain(model: RetrievalClassifier, document: Document, judge: Judge) -> None:
    record_evidence(document, judge, read_document(model, document, judge, CPU), split="test")


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[40, 400, 4000])
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--k", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    ways = {
        "queries": ("queries", None),
        "queries, criterion": ("queries", "text"),
        "mean of all chunks": ("mean", None),
    }
    methods = {}
    for name, (aggregate, criterion) in ways.items():
        shape = RetrievalShape(
            given.width, ("1",), "sigmoid", given.queries, given.k, aggregate=aggregate, criterion=criterion
        )
        model = RetrievalClassifier(shape).eval()
        judge = Judge(Classes(("0", "1"), positive="1"), Decision(), ("1",), aggregate == "queries")
        for chunks in given.chunks:
            document = document_of(chunks, given.width, criterion=criterion is not None)
            methods[f"{name}, {chunks} chunks"] = partial(explain, model, document, judge)
    found = {name: summary(times) for name, times in interleaved(methods, repeat=given.repeat, warmup=1).items()}
    for name, taken in found.items():
        print(f"{name}: minimum {taken['min_s']:.3f} s, median {taken['median_s']:.3f} s, target {TARGET} s")
    write_json(given.json, found)


if __name__ == "__main__":
    main()
