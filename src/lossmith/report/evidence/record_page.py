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
from lossmith.report.evidence.ranking import Ranking, excerpt, ranking
from lossmith.report.evidence.strip import place_in_words, strip, tint
from lossmith.report.figures import count, number
from lossmith.report.standing import Verdict
from lossmith.runs import write_text

_LISTED = 25  # chunks of the list, without opening the rest
_LONG = 20_000  # characters of a document that opens with what lies away from its evidence hidden
_CLASSES = 60


@dataclass(frozen=True)
class QueryRow:
    """One query: where its chunks stand, and of each (rank as evidence, chunk, weight, cosine, text)."""

    number: int
    strip: Markup
    chunks: Sequence[tuple[int | None, int, str, str, str]]


def write_evidence_page(record: Mapping[str, Any], path: Path) -> Path:
    """Write the page of one explained prediction; returns the file's path.

    `record` is what `lossmith explain RUN --id ID --json` prints: schema, id, split, label, predicted, scores,
    criterion, about, document (text, chunks), queries (query, chunks with weight, cosine) and evidence (chunk, start,
    end, text, weight, importance), the most important first; `whole` where the document is that which the record was
    cut from. Raises InputError where it is none.
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
    shown = ranking(record)
    marks = shown.marks()
    found = pieces(text, marks)
    return {
        "title": f"Evidence of {record['id']}",
        "split": record.get("split") or "",
        "whole": bool(record.get("whole")),
        "about": _about(record),
        "verdict": _verdict(record, shown),
        "facts": _facts(record, text),
        "scores": _scores(record),
        "by_threshold": _by_threshold(record),
        "classes_left_out": max(0, len(record["scores"]) - _CLASSES),
        "readings": shown.listed(),
        "listed": _LISTED,
        "left_out": len(record["evidence"]) - len(shown.evidence),
        "pieces": [(piece, tint(piece.strength), piece.strength < 0) for piece in found],
        "far": shown_alone(found),
        "long": len(text) > _LONG and bool(marks),
        "strip": strip(_spoken(marks, len(text)), len(text), marks),
        "against": any(mark.strength < 0 for mark in marks),
        "tips": shown.tips(),
        "queries": _query_rows(record.get("queries") or (), len(text), shown),
        "empty": not record["document"].get("chunks"),
    }


def _verdict(record: Mapping[str, Any], shown: Ranking) -> Verdict:
    label, predicted = record.get("label"), record.get("predicted")
    if predicted is None:
        return Verdict("bad", "There is no prediction", str(record.get("error") or ""))
    score = record["scores"].get(predicted)
    said = f"Predicted {predicted or 'none of the labels'}"
    said += f" with a score of {number(score, decimals=3)}" if score is not None else ""
    detail = _first(shown, _about(record))
    if label is None:
        return Verdict("plain", f"{said}; the record has no label", detail)
    if label == predicted:
        return Verdict("good", f"{said}, which is right: the label is {label or 'none'}", detail)
    return Verdict("bad", f"{said}, which is wrong: the label is {label or 'none'}", detail)


def _about(record: Mapping[str, Any]) -> str:
    """What the evidence speaks for or against."""
    return ", ".join(record["about"])


def _first(shown: Ranking, about: str) -> str:
    """What the first chunk of the evidence does."""
    if not shown.evidence:
        return ""
    first = shown.evidence[0]
    moved = "fall" if first["importance"] > 0 else "rise" if first["importance"] < 0 else "do not change"
    by = f" by {shown.importance(first, sign=False)}" if first["importance"] else ""
    return f"Without its first chunk of evidence the log-odds of {about} {moved}{by}."


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


def _by_threshold(record: Mapping[str, Any]) -> bool:
    """Whether another class than that with the highest score was predicted."""
    scores, predicted = record["scores"], record.get("predicted")
    return predicted in scores and scores[predicted] < max(scores.values())


def _spoken(marks: Sequence[Mark], length: int) -> str:
    if not marks:
        return "No chunk of the document was read"
    told = ", ".join(f"evidence {rank} {place_in_words(mark.start, length)}" for rank, mark in enumerate(marks[:8], 1))
    return f"Where in the document the evidence stands: {told}"


def _query_rows(queries: Sequence[Mapping[str, Any]], length: int, shown: Ranking) -> list[QueryRow]:
    rank_of = {one["chunk"]: rank for rank, one in enumerate(shown.evidence, start=1)}
    rows = []
    for query in queries:
        chunks = sorted(query["chunks"], key=lambda one: -one["weight"])
        largest = max((one["weight"] for one in chunks), default=0.0) or 1.0
        marks = [Mark(one["start"], one["end"], one["weight"] / largest) for one in chunks]
        first = ", ".join(f"chunk {one['chunk']} {place_in_words(one['start'], length)}" for one in chunks[:5])
        told = [
            (
                rank_of.get(one["chunk"]),
                one["chunk"],
                number(one["weight"], decimals=3),
                number(one["cosine"], decimals=3),
                excerpt(str(one["text"]))[0],
            )
            for one in chunks
        ]
        spoken = f"Query {query['query']} reads {first or 'nothing'}"
        rows.append(QueryRow(query["query"], strip(spoken, length, marks), told))
    return rows
