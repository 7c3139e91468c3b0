"""The chunks that a prediction rests on, ranked: what is marked, what is listed, and what each is told with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.evidence.pieces import Mark
from lossmith.report.evidence.strip import place_in_words, tint
from lossmith.report.figures import count, number
from lossmith.report.palette import series
from lossmith.report.safe_text import clipped

MARKED = 400  # chunks that are marked and listed
_EXCERPT = 180  # characters of a listed chunk
_NAMED = 3  # queries of a listed chunk
_TOLD = 6  # queries of a chunk that is pointed at


@dataclass(frozen=True)
class Listed:
    """One chunk in the list, by its rank (from 1)."""

    rank: int
    excerpt: str
    more: bool
    importance: str
    against: bool
    tint: int
    weight: str
    queries: str
    place: str


@dataclass(frozen=True)
class Ranking:
    """The evidence of a record that is shown, the most important first.

    `readers` are (query, weight, cosine) of the queries that read a chunk, the largest weight first.
    """

    evidence: Sequence[Mapping[str, Any]]
    readers: Mapping[int, Sequence[tuple[int, float, float]]]
    length: int

    @property
    def largest(self) -> float:
        """The largest importance for or against what is asked about, in nats."""
        return max((abs(one["importance"]) for one in self.evidence), default=0.0)

    def marks(self) -> list[Mark]:
        """A mark for each chunk, as strong as its importance is large."""
        largest = self.largest or 1.0
        return [Mark(one["start"], one["end"], one["importance"] / largest) for one in self.evidence]

    def importance(self, one: Mapping[str, Any], *, sign: bool = True) -> str:
        """An importance in as many decimals as tell the chunks apart."""
        decimals = 3 if not self.largest else min(9, max(3, 2 - math.floor(math.log10(self.largest))))
        return number(one["importance"] if sign else abs(one["importance"]), decimals=decimals, sign=sign)

    def listed(self) -> list[Listed]:
        """The list beside the document."""
        return [self._listed(rank, one, mark) for rank, (one, mark) in enumerate(self._marked(), start=1)]

    def tips(self) -> list[dict[str, Any]]:
        """What hover and focus tell of each chunk: a line of its own, and a line for each query that reads it."""
        return [self._tip(rank, one) for rank, one in enumerate(self.evidence, start=1)]

    def _marked(self) -> list[tuple[Mapping[str, Any], Mark]]:
        return list(zip(self.evidence, self.marks(), strict=True))

    def _listed(self, rank: int, one: Mapping[str, Any], mark: Mark) -> Listed:
        shown, more = excerpt(str(one["text"]))
        return Listed(
            rank=rank,
            excerpt=shown,
            more=more,
            importance=self.importance(one),
            against=one["importance"] < 0,
            tint=tint(mark.strength),
            weight=number(one["weight"], decimals=3),
            queries=_named([query for query, _, _ in self.readers.get(one["chunk"], ())]),
            place=place_in_words(one["start"], self.length),
        )

    def _tip(self, rank: int, one: Mapping[str, Any]) -> dict[str, Any]:
        held = self.readers.get(one["chunk"], ())
        lines = [
            f"query {query}: weight {number(weight, decimals=3)}, cosine {number(cosine, decimals=3)}"
            for query, weight, cosine in held[:_TOLD]
        ]
        if len(held) > _TOLD:
            lines.append(f"and {count(len(held) - _TOLD, 'more query', 'more queries')}")
        figures = f"importance {self.importance(one)}, weight {number(one['weight'], decimals=3)}"
        return {
            "head": f"Evidence {rank}, chunk {one['chunk']}: {figures}",
            "colour": series(int(one["importance"] < 0)),
            "lines": lines,
        }


def ranking(record: Mapping[str, Any]) -> Ranking:
    """The evidence that is shown: of very much, what is most important for or against what is asked about."""
    evidence: Sequence[Mapping[str, Any]] = record["evidence"]
    kept = sorted(range(len(evidence)), key=lambda place: -abs(evidence[place]["importance"]))[:MARKED]
    readers: dict[int, list[tuple[int, float, float]]] = {}
    for query in record.get("queries") or ():
        for one in query["chunks"]:
            readers.setdefault(one["chunk"], []).append((query["query"], one["weight"], one["cosine"]))
    return Ranking(
        [evidence[place] for place in sorted(kept)],
        {chunk: sorted(held, key=lambda one: -one[1]) for chunk, held in readers.items()},
        len(record["document"]["text"]),
    )


def excerpt(text: str) -> tuple[str, bool]:
    """The beginning of a chunk in one line, and whether there is more of it."""
    kept, left_out = clipped(" ".join(text.split()), _EXCERPT)
    return (kept.rpartition(" ")[0] or kept, True) if left_out else (kept, False)


def _named(queries: Sequence[int]) -> str:
    """The queries that give a chunk the most weight.

    >>> _named([4]), _named([2, 0, 7, 1])
    ('query 4', 'queries 2, 0, 7 and 1 more')
    """
    named = ", ".join(str(query) for query in queries[:_NAMED])
    more = f" and {len(queries) - _NAMED} more" if len(queries) > _NAMED else ""
    return f"{'query' if len(queries) == 1 else 'queries'} {named}{more}" if queries else ""
