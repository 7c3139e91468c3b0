"""Documents of made-up chunks with vectors that are known, and a model that reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lossmith.evidence.reading import Document, Judge
from lossmith.labels import Classes
from lossmith.models.retrieval import RetrievalClassifier, RetrievalShape
from lossmith.tasks.classified import Decision
from tests.evidence.plain_reader import unit_vectors

WIDTH = 6


def model_of(seed: int = 0, **shape: Any) -> RetrievalClassifier:
    given = {"width": WIDTH, "outputs": ("yes",), "activation": "sigmoid", "queries": 3, "k": 2, **shape}
    model = RetrievalClassifier(RetrievalShape(**given), seed=seed)
    torch.nn.init.normal_(model.classifier[-1].weight, generator=torch.Generator().manual_seed(seed))
    return model.eval()


def document_of(chunks: int, *, seed: int = 1, pair: bool = False, **row: Any) -> Document:
    """A document of `chunks` lines, "line 0" and so on."""
    lines = [f"line {number}" for number in range(chunks)]
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])[:chunks]
    units = np.array([[start, start + len(line)] for start, line in zip(starts, lines, strict=True)]).reshape(-1, 2)
    given = {
        "id": f"d{seed}",
        "cluster": None,
        "label": "yes",
        "prompt": "\n".join(lines),
        "pair": "about lines" if pair else None,
        "error": None,
        **row,
    }
    vector = unit_vectors(1, WIDTH, seed=99)[0].numpy() if pair else None
    return Document(given, unit_vectors(chunks, WIDTH, seed=seed).numpy(), units, vector)


def judge_of(threshold: float = 0.5, **facts: Any) -> Judge:
    return Judge(Classes(("no", "yes"), positive="yes"), Decision(threshold), ("yes",), **facts)
