"""The evidence that a predictions file keeps beside each prediction: its few most important chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.figures import number
from lossmith.report.safe_text import clipped

_TEXT = 600  # characters of a chunk


@dataclass(frozen=True)
class Chunk:
    """One chunk: how much the log-odds of what it is asked about fall without it, its weight, and its text."""

    importance: str
    weight: str
    against: bool
    text: str
    left_out: int


def chunks_of(evidence: Sequence[Mapping[str, Any]] | None, document: str) -> list[Chunk]:
    """The chunks of a cell of the column `evidence`, in its order; `document` is the text that they are cut from.

    >>> held = [{"chunk": 1, "start": 4, "end": 8, "weight": 0.5, "importance": 1.25}]
    >>> chunks_of(held, "one two. three")
    [Chunk(importance='+1.250', weight='0.500', against=False, text='two.', left_out=0)]
    """
    found = []
    for one in evidence or ():
        text, left_out = clipped(document[one["start"] : one["end"]].strip(), _TEXT)
        found.append(
            Chunk(
                number(one["importance"], decimals=3, sign=True),
                number(one["weight"], decimals=3),
                one["importance"] < 0,
                text,
                left_out,
            )
        )
    return found
