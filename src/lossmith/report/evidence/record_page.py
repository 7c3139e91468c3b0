"""One prediction with its evidence, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lossmith.errors import InputError
from lossmith.report.document import render
from lossmith.report.evidence.pieces import Mark, pieces, shown_alone
from lossmith.report.evidence.strip import place_in_words, strip, tint
from lossmith.report.figures import count, number
from lossmith.report.palette import series
from lossmith.report.safe_text import clipped
from lossmith.report.standing import Verdict
from lossmith.runs import write_text

MARKED = 400  # chunks that are marked and listed
_LISTED = 25  # of them, without opening the rest
_EXCERPT = 180  # characters of a listed chunk
_LONG = 20_000  # characters of a document that opens with what lies away from its evidence hidden
_NAMED = 3  # queries of a listed chunk
_TOLD = 6  # queries of a chunk that is pointed at
_CLASSES = 60


@dataclass(frozen=True)
class Reading:
    """One chunk that was read, by its place in the ranking (from 1)."""

    rank: int
    chunk: int
    excerpt: str
    more: bool
    importance: str
    against: bool
    tint: int
    weight: str
    queries: str
    place: str
    characters: str


@dataclass(frozen=True)
class QueryRow:
    """One query: where its chunks stand, and each of them with weight and cosine; `rank` is its place as evidence."""

    number: int
    strip: Markup
    chunks: Sequence[tuple[int | None, int, str, str, str]]


def write_evidence_page(record: Mapping[str, Any], path: Path) -> Path:
    """Write the page of one explained prediction; returns the file's path.

    `record` is what `lossmith explain RUN --id ID --json` prints: schema, id, split, label, predicted, scores,
    criterion, document (text, chunks), queries (query, chunks with weight and cosine) and evidence (chunk, start,
    end, text, weight, importance), the most important first. Raises InputError where it is none.
    """
    try:
        content = _content(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "this is no explained record",
            got=f"{type(error).__name__}: {error}",
            expected="what lossmith explain RUN --id ID --json prints",
        ) from error
    write_text(path, render("evidence.html.j2", content))
    return path


def _content(record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template shows; it decides nothing itself."""
    text: str = record["document"]["text"]
    evidence: Sequence[Mapping[str, Any]] = record["evidence"]
    held = _most_important(evidence)
    by_query = _by_chunk(record.get("queries") or ())
    marks = _marks(held)
    found = pieces(text, marks)
    return {
        "title": f"Evidence of {record['id']}",
        "split": record.get("split") or "",
        "verdict": _verdict(record, evidence),
        "facts": _facts(record, text),
        "scores": _scores(record),
        "classes_left_out": max(0, len(record["scores"]) - _CLASSES),
        "readings": [_reading(one, mark, text, by_query, rank) for rank, (one, mark) in _ranked(held, marks)],
        "listed": _LISTED,
        "left_out": len(evidence) - len(held),
        "pieces": [(piece, tint(piece.strength), piece.strength < 0) for piece in found],
        "far": shown_alone(found),
        "long": len(text) > _LONG and bool(held),
        "strip": strip(_spoken(marks, len(text)), len(text), marks),
        "against": any(mark.strength < 0 for mark in marks),
        "tips": [_tip(one, by_query, rank) for rank, one in enumerate(held, start=1)],
        "queries": _query_rows(record.get("queries") or (), len(text), held),
        "empty": not record["document"].get("chunks"),
    }


def _most_important(evidence: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What is marked and listed, for the prediction or against it, in the order given."""
    largest = sorted(range(len(evidence)), key=lambda place: -abs(evidence[place]["importance"]))[:MARKED]
    return [evidence[place] for place in sorted(largest)]


def _ranked(held: Sequence[Mapping[str, Any]], marks: Sequence[Mark]) -> Any:
    return enumerate(zip(held, marks, strict=True), start=1)


def _marks(evidence: Sequence[Mapping[str, Any]]) -> list[Mark]:
    largest = max((abs(one["importance"]) for one in evidence), default=0.0) or 1.0
    return [Mark(one["start"], one["end"], one["importance"] / largest) for one in evidence]


def _by_chunk(queries: Sequence[Mapping[str, Any]]) -> dict[int, list[tuple[int, float, float]]]:
    """(query, weight, cosine) of the queries that read a chunk, the largest weight first."""
    found: dict[int, list[tuple[int, float, float]]] = {}
    for query in queries:
        for one in query["chunks"]:
            found.setdefault(one["chunk"], []).append((query["query"], one["weight"], one["cosine"]))
    return {chunk: sorted(held, key=lambda one: -one[1]) for chunk, held in found.items()}


def _verdict(record: Mapping[str, Any], evidence: Sequence[Mapping[str, Any]]) -> Verdict:
    label, predicted = record.get("label"), record.get("predicted")
    if predicted is None:
        return Verdict("bad", "There is no prediction", str(record.get("error") or ""))
    score = record["scores"].get(predicted)
    said = f"Predicted {predicted or 'none of the labels'}" + (
        f" with a score of {number(score, decimals=3)}" if score is not None else ""
    )
    detail = ""
    if evidence:
        first = evidence[0]
        falls = first["importance"] > 0
        moved = "fall" if falls else "rise" if first["importance"] < 0 else "do not change"
        by = f" by {number(abs(first['importance']))}" if first["importance"] else ""
        detail = f"Without its first chunk of evidence the log-odds of this prediction {moved}{by}."
    if label is None:
        return Verdict("plain", f"{said}; the record has no label", detail)
    right = label == predicted
    return Verdict(
        "good" if right else "bad",
        f"{said}, which is {'right' if right else 'wrong'}: the label is {label or 'none'}",
        detail,
    )


def _facts(record: Mapping[str, Any], text: str) -> list[tuple[str, str]]:
    chunks = record["document"].get("chunks") or ()
    queries = record.get("queries") or ()
    read = len({one["chunk"] for query in queries for one in query["chunks"]})
    facts = [
        ("Criterion", str(record.get("criterion") or "")),
        ("Document", f"{count(len(text), 'character')}, {count(len(chunks), 'chunk')}"),
        ("Read", f"{count(read, 'chunk')} by {count(len(queries), 'query', 'queries')}" if queries else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _scores(record: Mapping[str, Any]) -> list[tuple[str, str, float, bool, bool]]:
    """Class, score, its width in per cent, whether it was predicted and whether it is the label; the highest first."""
    said, true = (_names(record.get(side)) for side in ("predicted", "label"))
    order = sorted(record["scores"].items(), key=lambda one: -one[1])[:_CLASSES]
    return [
        (name, number(score, decimals=3), round(100 * score, 1), name in said, name in true) for name, score in order
    ]


def _names(stated: Any) -> set[str]:
    """The class, or the labels joined by commas."""
    return set() if stated is None else {str(stated), *str(stated).split(", ")}


def _reading(
    one: Mapping[str, Any], mark: Mark, text: str, by_query: Mapping[int, Sequence[tuple[int, float, float]]], rank: int
) -> Reading:
    excerpt, more = _excerpt(text[one["start"] : one["end"]])
    return Reading(
        rank=rank,
        chunk=one["chunk"],
        excerpt=excerpt,
        more=more,
        importance=number(one["importance"], decimals=3, sign=True),
        against=one["importance"] < 0,
        tint=tint(mark.strength),
        weight=number(one["weight"], decimals=3),
        queries=_readers([query for query, _, _ in by_query.get(one["chunk"], ())]),
        place=place_in_words(one["start"], len(text)),
        characters=f"{one['start']:,} to {one['end']:,}",
    )


def _excerpt(text: str) -> tuple[str, bool]:
    """The beginning of a chunk in one line, and whether there is more of it."""
    whole = " ".join(text.split())
    kept, left_out = clipped(whole, _EXCERPT)
    return (kept.rpartition(" ")[0] or kept, True) if left_out else (kept, False)


def _readers(queries: Sequence[int]) -> str:
    """The queries that give a chunk the most weight.

    >>> _readers([4]), _readers([2, 0, 7, 1])
    ('query 4', 'queries 2, 0, 7 and 1 more')
    """
    named = ", ".join(str(query) for query in queries[:_NAMED])
    more = f" and {len(queries) - _NAMED} more" if len(queries) > _NAMED else ""
    return f"{'query' if len(queries) == 1 else 'queries'} {named}{more}" if queries else ""


def _tip(
    one: Mapping[str, Any], by_query: Mapping[int, Sequence[tuple[int, float, float]]], rank: int
) -> dict[str, Any]:
    """What hover and focus tell of a chunk."""
    held = by_query.get(one["chunk"], ())
    lines = [
        f"query {query}: weight {number(weight, decimals=3)}, cosine {number(cosine, decimals=3)}"
        for query, weight, cosine in held[:_TOLD]
    ]
    if len(held) > _TOLD:
        lines.append(f"and {count(len(held) - _TOLD, 'more query', 'more queries')}")
    figures = (
        f"importance {number(one['importance'], decimals=3, sign=True)}, weight {number(one['weight'], decimals=3)}"
    )
    return {
        "head": f"Evidence {rank}, chunk {one['chunk']}: {figures}",
        "colour": series(int(one["importance"] < 0)),
        "lines": lines,
    }


def _spoken(marks: Sequence[Mark], length: int) -> str:
    if not marks:
        return "No chunk of the document was read"
    told = ", ".join(f"evidence {rank} {place_in_words(mark.start, length)}" for rank, mark in enumerate(marks[:8], 1))
    return f"Where in the document the evidence stands: {told}"


def _query_rows(
    queries: Sequence[Mapping[str, Any]], length: int, evidence: Sequence[Mapping[str, Any]]
) -> list[QueryRow]:
    rank_of = {one["chunk"]: rank for rank, one in enumerate(evidence, start=1)}
    rows = []
    for query in queries:
        chunks = sorted(query["chunks"], key=lambda one: -one["weight"])
        largest = max((one["weight"] for one in chunks), default=0.0) or 1.0
        marks = [Mark(one["start"], one["end"], one["weight"] / largest) for one in chunks]
        spoken = f"Query {query['query']} reads " + (
            ", ".join(f"chunk {one['chunk']} {place_in_words(one['start'], length)}" for one in chunks[:5]) or "nothing"
        )
        rows.append(
            QueryRow(
                query["query"],
                strip(spoken, length, marks),
                [
                    (
                        rank_of.get(one["chunk"]),
                        one["chunk"],
                        number(one["weight"], decimals=3),
                        number(one["cosine"], decimals=3),
                        _excerpt(str(one["text"]))[0],
                    )
                    for one in chunks
                ],
            )
        )
    return rows
