"""The most confident mistakes: which records, what was said of them, and their texts behind a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmith.evaluate.predictions import Predictions
from lossmith.report.classification.outcomes import Outcomes
from lossmith.report.evidence.of_prediction import Chunk, chunks_of
from lossmith.report.examples import Passage, passage
from lossmith.report.figures import count, number
from lossmith.report.safe_text import clipped

EACH = 5
_NO_FACTS = (
    "id",
    "prompt",
    "target",
    "prediction",
    "error",
    "label",
    "predicted",
    "score.",
    "label.",
    "predicted.",
    "evidence",
)


@dataclass(frozen=True)
class Mistake:
    """One record: `said` is what was predicted of it with its score, `texts` its prompt and its answer.

    `evidence` is what the prediction rests on, where the file keeps that.
    """

    id: str
    facts: Sequence[tuple[str, str]]
    label: str
    said: str
    score: str
    texts: Sequence[tuple[str, Passage]]
    evidence: Sequence[Chunk] = ()


@dataclass(frozen=True)
class Mistakes:
    """Mistakes of one kind, the most confident first, and how many there are of them."""

    title: str
    told: str
    rows: Sequence[Mistake]


def mistakes(predictions: Predictions, outcomes: Outcomes) -> list[Mistakes]:
    """False alarms and misses of the positive class or of labels, or wrong classes; failed records have no score.

    Ranked by the score of what was wrongly said, or by how low that of the missed class is.
    """
    classes = outcomes.classes
    usable = outcomes.scored & ~outcomes.failed
    if classes.positive is None and not classes.multi_label:
        said = np.where(outcomes.predicted, outcomes.scores, -np.inf).max(axis=1)
        wrong = np.flatnonzero(outcomes.wrong & usable)
        ranked = wrong[np.argsort(-said[wrong], kind="stable")]
        places = outcomes.predicted.argmax(axis=1)
        chosen = [(int(row), int(places[row])) for row in ranked[:EACH]]
        found = [("Surest of a wrong class", len(wrong), chosen)]
    else:
        kept = [classes.index(classes.positive)] if classes.positive is not None else list(range(len(classes)))
        found = [_kind(outcomes, usable, kept, missed=missed) for missed in (False, True)]
    return [
        Mistakes(title, count(total, "record"), [_mistake(predictions, outcomes, row, place) for row, place in chosen])
        for title, total, chosen in found
        if chosen
    ]


def _kind(
    outcomes: Outcomes, usable: np.ndarray, kept: Sequence[int], *, missed: bool
) -> tuple[str, int, list[tuple[int, int]]]:
    """Title, how many, and the surest (row, class) of the misses or of the false alarms."""
    truth, said = outcomes.truth[:, kept], outcomes.predicted[:, kept]
    wrong = (truth & ~said if missed else ~truth & said) & usable[:, None]
    rows, columns = np.nonzero(wrong)
    scores = outcomes.scores[rows, np.asarray(kept)[columns]]
    order = np.argsort(scores if missed else -scores, kind="stable")[:EACH]
    positive = outcomes.classes.positive
    title = (
        (f"Missed: {positive} with the lowest score" if missed else f"False alarms: the highest score of {positive}")
        if positive is not None
        else ("Missed labels with the lowest score" if missed else "Labels wrongly said with the highest score")
    )
    return title, len(rows), [(int(rows[one]), int(kept[columns[one]])) for one in order]


def _mistake(predictions: Predictions, outcomes: Outcomes, row: int, place: int) -> Mistake:
    table, names = predictions.table, outcomes.classes.names

    def cell(column: str) -> Any:
        return table[column][row].as_py() if column in table.column_names else None

    def named(flags: np.ndarray) -> str:
        return ", ".join(name for name, flag in zip(names, flags, strict=True) if flag) or "none"

    values = ((name, cell(name)) for name in table.column_names if not name.startswith(_NO_FACTS))
    held = [("Text", cell("prompt"))]
    answer = cell("prediction")
    # The answer of a head is the class alone.
    if answer is not None and str(answer) not in names:
        held.append(("Answer", answer))
    return Mistake(
        id=str(cell("id")),
        facts=[(name, clipped(str(value), 80)[0]) for name, value in values if value is not None][:6],
        label=named(outcomes.truth[row]),
        said=named(outcomes.predicted[row]),
        score=f"{names[place]} {number(float(outcomes.scores[row, place]), decimals=3)}",
        texts=[(title, passage(str(text))) for title, text in held if text],
        evidence=chunks_of(cell("evidence"), str(cell("prompt") or "")),
    )
