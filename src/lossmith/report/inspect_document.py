"""The document of an inspected record on its page: its text with the chunks marked, and each chunk in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.evidence.pieces import Mark, Piece, pieces

_SHOWN = 200_000  # characters drawn
_LISTED = 2_000  # chunks in the table


@dataclass(frozen=True)
class Stretch:
    """A stretch of the document: "none" of the chunks covers it, an "even" or an "odd" one, or "several"."""

    text: str
    kind: str
    says: str


@dataclass(frozen=True)
class DocumentBlock:
    """The document as stretches, the facts of its cutting, and (chunk, from, to, characters, text) of each chunk."""

    facts: Sequence[tuple[str, str]]
    stretches: Sequence[Stretch]
    left_out: int
    rows: Sequence[tuple[str, ...]]
    rows_left_out: int


def document_block(found: Mapping[str, Any] | None) -> DocumentBlock | None:
    """What the page shows of a document; None where a record has no chunks, but tokens."""
    if found is None:
        return None
    text, chunks, cut = str(found["text"]), found["chunks"], found["cut"]
    shown = text[:_SHOWN]
    marks = [Mark(one["start"], one["end"], 1.0) for one in chunks if one["start"] < len(shown)]
    facts = [
        ("Criterion", str(found.get("pair") or "")),
        ("Characters", f"{len(text):,}"),
        ("Chunks", f"{len(chunks):,} of {cut['size']} {cut['by']}, {cut['overlap']} shared with the one before"),
        ("Characters in no chunk", f"{_uncovered(text, chunks):,}"),
    ]
    rows = [
        (str(number), str(one["start"]), str(one["end"]), str(one["end"] - one["start"]), str(one["text"]))
        for number, one in enumerate(chunks[:_LISTED])
    ]
    return DocumentBlock(
        facts=[(name, value) for name, value in facts if value],
        stretches=[_stretch(piece) for piece in pieces(shown, marks)],
        left_out=len(text) - len(shown),
        rows=rows,
        rows_left_out=len(chunks) - len(rows),
    )


def _stretch(piece: Piece) -> Stretch:
    covering = sorted(piece.marks)
    kind = "none" if not covering else "several" if covering[1:] else ("even", "odd")[covering[0] % 2]
    says = "in no chunk" if not covering else f"chunk {', '.join(map(str, covering))}"
    return Stretch(piece.text + piece.far + piece.after, kind, says)


def _uncovered(text: str, chunks: Sequence[Mapping[str, Any]]) -> int:
    """Characters of the document, without blanks, that no chunk holds."""
    count, last = 0, 0
    for one in [*chunks, {"start": len(text), "end": len(text)}]:
        count += len("".join(text[last : one["start"]].split()))
        last = max(last, one["end"])
    return count
