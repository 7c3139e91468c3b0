"""What the queries of a run look for, how far they differ, and who uses them, from evidence.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.evidence.heat import Heat, heat
from lossmith.report.figures import count, number, percent
from lossmith.report.safe_text import clipped
from lossmith.report.standing import Verdict

ALIKE = 0.9  # cosine from which two queries are called nearly one
SHARED = 0.5  # mean share of chunks in common from which queries are said to read much the same
IDLE = 0.01  # share of a class under which a query is said to do nothing for it
_TERMS = 12
_NEAREST = 6
_TEXT = 600  # characters of a chunk
_NAMED = 3


@dataclass(frozen=True)
class Near:
    """A chunk of the corpus: where it is from, its cosine to the query, its text and how much of that is left out."""

    place: str
    cosine: str
    text: str
    left_out: int


@dataclass(frozen=True)
class Query:
    """One query: the terms that stand out in what it reads, with their scores, and the chunks nearest to it."""

    number: int
    told: str
    terms: Sequence[tuple[str, str]]
    nearest: Sequence[Near]


def query_list(facts: Mapping[str, Any]) -> list[Query]:
    """Every query with what it looks for; texts and terms are those of records."""
    return [
        Query(
            query["query"],
            _carries(query),
            [(str(one["term"]), number(one["score"], decimals=1)) for one in (query.get("terms") or ())[:_TERMS]],
            [_near(one) for one in (query.get("nearest") or ())[:_NEAREST]],
        )
        for query in facts.get("queries") or ()
    ]


def heats(facts: Mapping[str, Any]) -> list[Heat]:
    """Cosines between queries, chunks that two of them share, and shares by class; those that were measured."""
    queries: Sequence[Mapping[str, Any]] = facts.get("queries") or ()
    names = [str(query["query"]) for query in queries]
    classes = list(dict.fromkeys(name for query in queries for name in query.get("usage") or {}))
    used = [[(query.get("usage") or {}).get(name) for name in classes] for query in queries]
    found = [
        heat(
            "Each query's share of what speaks for a class",
            (names, classes),
            used,
            corner="query",
        ),
        heat("Cosine of two queries", (names, names), facts.get("similarity") or (), corner="query", square=True),
        heat(
            "Chunks that two queries both read, of those that either reads",
            (names, names),
            facts.get("overlap") or (),
            corner="query",
            square=True,
        ),
    ]
    return [one for one in found if one is not None]


def queries_verdict(facts: Mapping[str, Any], who: str = "") -> Verdict | None:
    """Whether the queries look for different things, in one line; None for a run without queries."""
    queries: Sequence[Mapping[str, Any]] = facts.get("queries") or ()
    if not queries:
        return None
    cosines, shared = (_pairs(facts.get(name) or ()) for name in ("similarity", "overlap"))
    all_of_them = count(len(queries), "query", "queries")
    detail = " ".join(part for part in (_cosines(cosines), _in_common(shared), _most_used(queries)) if part)
    alike = [pair for pair, cosine in cosines.items() if cosine >= ALIKE]
    if alike:
        named = ", ".join(f"{one} and {other}" for one, other in alike[:_NAMED])
        more = f" and {count(len(alike) - _NAMED, 'more pair')}" if len(alike) > _NAMED else ""
        return Verdict("caution", f"{who}of {all_of_them} some are nearly one: {named}{more}", detail)
    if shared and sum(shared.values()) / len(shared) >= SHARED:
        return Verdict("caution", f"{who}the {all_of_them} read much the same chunks", detail)
    if idle := _idle(queries):
        named = ", ".join(str(one) for one in idle)
        return Verdict("caution", f"{who}of {all_of_them} {named} {'does' if len(idle) == 1 else 'do'} nothing", detail)
    if len(queries) == 1:
        return Verdict("plain", f"{who}one query finds the evidence", detail)
    return Verdict("plain", f"{who}{all_of_them} look for different things", detail)


def _near(one: Mapping[str, Any]) -> Near:
    text, left_out = clipped(str(one["text"]), _TEXT)
    return Near(f"{one['id']}, chunk {one['chunk']}", number(one["cosine"], decimals=3), text, left_out)


def _carries(query: Mapping[str, Any]) -> str:
    """The classes that a query does most for."""
    usage = {name: share for name, share in (query.get("usage") or {}).items() if share is not None}
    order = sorted(usage, key=lambda name: -usage[name])[:_NAMED]
    return ", ".join(f"{percent(usage[name])} of what speaks for “{name}”" for name in order)


def _pairs(matrix: Sequence[Sequence[float | None]]) -> dict[tuple[int, int], float]:
    """The values of pairs of different queries, the largest first."""
    held = {
        (row, column): value
        for row, line in enumerate(matrix)
        for column, value in enumerate(line)
        if row < column and value is not None
    }
    return dict(sorted(held.items(), key=lambda one: -one[1]))


def _cosines(cosines: Mapping[tuple[int, int], float]) -> str:
    if not cosines:
        return ""
    (one, other), highest = next(iter(cosines.items()))
    mean = sum(cosines.values()) / len(cosines)
    most = f"at most {number(highest, decimals=2)} ({one} and {other})"
    return f"Their cosines are {number(mean, decimals=2)} in the mean and {most}."


def _in_common(shared: Mapping[tuple[int, int], float]) -> str:
    if not shared:
        return ""
    return f"Two of them have {percent(sum(shared.values()) / len(shared))} of the chunks that they read in common."


def _most_used(queries: Sequence[Mapping[str, Any]]) -> str:
    """Who does most for each of a few classes."""
    classes = list(dict.fromkeys(name for query in queries for name in query.get("usage") or {}))
    told = []
    for name in classes[:_NAMED]:
        shares = {query["query"]: query["usage"][name] for query in queries if query["usage"].get(name) is not None}
        order = sorted(shares, key=lambda query: -shares[query])[:_NAMED]
        if order:
            named = ", ".join(f"{query} ({percent(shares[query])})" for query in order)
            told.append(f"for “{name}” {'query' if len(order) == 1 else 'queries'} {named}")
    return f"Most speaks {'; '.join(told)}." if told else ""


def _idle(queries: Sequence[Mapping[str, Any]]) -> list[int]:
    """Queries that do next to nothing for every class that something speaks for."""
    held = {
        query["query"]: [one for one in (query.get("usage") or {}).values() if one is not None] for query in queries
    }
    return [query for query, shares in held.items() if shares and max(shares) < IDLE]
