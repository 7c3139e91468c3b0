"""What each query does over many documents: the terms of its chunks, what it shares with others, whom it speaks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossmith.evidence.reading import Reading
from lossmith.evidence.terms import TermCounts
from lossmith.labels import Classes
from lossmith.metrics.evidence import log_odds, overlap, usage

TERMS = 15


class QueryFacts:
    """Sums over documents that are read one after another."""

    def __init__(self, queries: int, classes: Classes) -> None:
        self._classes, self._queries = classes, queries
        self._terms = TermCounts(queries)
        self._overlap, self._overlapping = np.zeros((queries, queries)), np.zeros((queries, queries))
        self._falls: dict[str, list[np.ndarray]] = {name: [] for name in classes.names}

    def add(self, reading: Reading, muted: np.ndarray) -> None:
        """Count a document; `muted` are logits (queries, outputs) where each query in turn finds nothing."""
        document = reading.document
        read = reading.left.weights > 0
        self._terms.add(document.row["prompt"], [tuple(unit) for unit in document.units.tolist()], reading.left.weights)
        shared = overlap(read)
        self._overlap += np.nan_to_num(shared)
        self._overlapping += ~np.isnan(shared)
        multi_label = self._classes.multi_label
        whole = log_odds(reading.whole, multi_label=multi_label)
        falls = whole - log_odds(reading.judge.of_classes(muted), multi_label=multi_label)
        for place, name in enumerate(self._classes.names):
            label = document.row["label"]
            if label == name if isinstance(label, str) else label[place]:
                self._falls[name].append(falls[:, place])

    def overlap(self) -> list[list[float | None]]:
        """Mean share (queries, queries) of chunks that two queries both read among those that either does."""
        means = np.divide(
            self._overlap, self._overlapping, out=np.full_like(self._overlap, np.nan), where=self._overlapping > 0
        )
        return [[_number(value) for value in row] for row in means]

    def of_query(self, query: int) -> dict[str, Any]:
        """`terms` that stand out in what it reads, and `usage`: its share of what speaks for each class, None for a
        class without documents.
        """
        shares = {
            name: None if not falls else _number(usage(np.stack(falls))[query]) for name, falls in self._falls.items()
        }
        terms = [{"term": term, "score": score} for term, score in self._terms.top(query, TERMS)]
        return {"terms": terms, "usage": shares}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
