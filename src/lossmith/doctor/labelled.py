"""The label of a prepared row, and what a run's model says of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.doctor.find_record import Found
from lossmith.doctor.inspection import Inspection, Token
from lossmith.doctor.label_facts import Labelled, Scoring
from lossmith.doctor.round_trip import decode_inside
from lossmith.doctor.subject import Subject
from lossmith.labels import Classes
from lossmith.runs import RunFolder
from lossmith.tasks.classified import Decision
from lossmith.tasks.rows import Rows
from lossmith.train.predict import open_model

SCORED = "scored"  # the span of the tokens by which the record's own label is scored


def labelled_of(config: Config, prepared: Prepared, row: Mapping[str, Any], tokenizer: Any) -> Labelled | None:
    """The label of a prepared row, None where the task has no classes."""
    classes = prepared.classes
    if classes is None:
        return None
    answers = {
        name: [_pieces(row, way, tokenizer) for way in ways]
        for name, ways in zip(classes.names, row.get("answers") or (), strict=False)
    }
    return Labelled(
        method=config.task.method,
        classes=classes.names,
        positive=classes.positive,
        multi_label=classes.multi_label,
        label=_names(row.get("label"), classes),
        answers=answers,
        pair_start=row.get("pair_start"),
        weight=row.get("weight"),
    )


def scored_by(tokens: Sequence[Token], row: Mapping[str, Any], labelled: Labelled | None) -> list[Token]:
    """The tokens, those by which the record's own label is scored in a span of their own."""
    ways = (row.get("answers") or ()) if labelled is not None else ()
    edge = row["prompt_length"]
    if labelled is None or not ways or not labelled.label:
        return list(tokens)
    own = ways[list(labelled.classes).index(labelled.label[0])]
    taught = row["input_ids"][edge:]
    length = next((len(way) for way in own if taught[: len(way)] == list(way)), 0)
    return [
        replace(token, spans=(*token.spans, (SCORED, 0))) if edge <= token.index < edge + length else token
        for token in tokens
    ]


def with_scoring(shown: Inspection, subject: Subject, found: Found) -> Inspection:
    """The inspection with what the run's model says of the record, where it has a row and a label."""
    if shown.labelled is None or subject.run is None or found.row is None or found.split is None:
        return shown
    scoring = scoring_of(subject.run, subject.config, subject.prepared, found.split, found.row["row"])
    return replace(shown, labelled=replace(shown.labelled, scoring=scoring))


def scoring_of(run: RunFolder, config: Config, prepared: Prepared, split: str, row: int) -> Scoring:
    """What the run's model says of a row of a split, decided as its predictions are."""
    classes, file = prepared.classes, prepared.split_file(split)
    assert classes is not None and file is not None, "a row of a classification"
    task, loaded, given = open_model(run, config, prepared, allow_other_template=True)
    rows = Rows(file, columns=None, keep=np.array([row]))
    with given.precision.autocast():
        said = next(iter(task.answers(loaded, rows, given, None)))
    decision = _decision(run)
    if said.error is not None or said.logits is None:
        return Scoring({}, said.predicted, None, said.text, said.error)
    scores = decision.scores(said.logits[None], classes)
    chosen = decision.predicted(scores, classes)[0]
    predicted = said.predicted or ", ".join(name for name, true in zip(classes.names, chosen, strict=True) if true)
    label = rows[0].get("label")
    return Scoring(
        dict(zip(classes.names, scores[0].tolist(), strict=True)),
        predicted if isinstance(predicted, str) else ", ".join(predicted),
        None if label is None else _loss(said.logits, label, classes),
        said.text,
    )


def _decision(run: RunFolder) -> Decision:
    held = run.manifest().get("decision") or {}
    return Decision(held.get("threshold", 0.5), held.get("temperature", 1.0))


def _loss(logits: np.ndarray, label: Any, classes: Classes) -> float:
    """-log of what the uncalibrated scores give the label, in nats."""
    if classes.multi_label:
        truth = np.asarray(label, dtype=np.float64)
        return float(np.mean(np.logaddexp(0.0, logits) - truth * logits))
    return float(np.logaddexp.reduce(logits) - logits[classes.index(label)])


def _names(label: Any, classes: Classes) -> tuple[str, ...]:
    if label is None:
        return ()
    if isinstance(label, str):
        return (label,)
    return tuple(name for name, true in zip(classes.names, label, strict=True) if true)


def _pieces(row: Mapping[str, Any], way: Sequence[int], tokenizer: Any) -> list[str]:
    """The text of each token of an answer, as it stands after the record's prompt."""
    ids = [*row["input_ids"][: row["prompt_length"]], *way]
    edge = row["prompt_length"]
    return [decode_inside(ids, edge + place, edge + place + 1, tokenizer) for place in range(len(way))]
