"""One record as training sees it: read this file to know what `lossmith inspect` compares with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossmith.data.head_template import HeadTemplate
from lossmith.data.prepare import template_of
from lossmith.data.retrieval_template import RetrievalTemplate
from lossmith.data.template import Template
from lossmith.doctor.agreement import against_batch, against_rendering
from lossmith.doctor.find_record import Found, find_record
from lossmith.doctor.inspect_chunks import with_chunks
from lossmith.doctor.inspect_inputs import with_inputs
from lossmith.doctor.inspection import Batch, Inspection, Position, TermReading, Token
from lossmith.doctor.labelled import SCORED, labelled_of, scored_by, with_scoring
from lossmith.doctor.record_tokens import rendered_again, row_of, tokens_of
from lossmith.doctor.round_trip import compare_answer, compare_text
from lossmith.doctor.subject import Progress, Subject, open_subject
from lossmith.doctor.token_loss import has_model, losses_of
from lossmith.losses import Objective
from lossmith.tasks.causal import Collator, collator
from lossmith.tasks.prepare import prepared_tokenizer


def inspect_record(
    target: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    id: str | None = None,  # noqa: A002
    progress: Progress | None = None,
) -> Inspection:
    """What the model sees of one record of a configuration or a run.

    Ids, labels and spans are those of the prepared row and of the collator, which training reads; texts and
    characters those of the source record rendered again, and where the two differ `disagreements` says so. The losses
    are those of the run's model.

    Raises InputError, ConfigError and DataError for a target, split or id that is not there.
    """
    subject = open_subject(target, overrides, progress=progress)
    found = find_record(subject, id=id, split=split)
    shown = Inspection(
        record=found.id,
        split=found.split,
        status=found.status,
        reason=found.reason,
        copies=found.copies,
        folder=str(subject.prepared.folder),
        notes=subject.notes,
    )
    if found.status in ("rejected", "failed"):
        return shown
    template = template_of(subject.config)
    if isinstance(template, RetrievalTemplate):
        return with_chunks(shown, subject, found, template)
    if isinstance(template, HeadTemplate):
        return with_inputs(shown, subject, found, template)
    return _with_tokens(shown, subject, found, template)


def _with_tokens(shown: Inspection, subject: Subject, found: Found, template: Template) -> Inspection:
    tokenizer = prepared_tokenizer(subject.prepared)
    fresh, notes = rendered_again(subject, found, template, tokenizer)
    row = found.row if found.row is not None else row_of(fresh, found.record)
    if row is None:
        return replace(shown, notes=[*shown.notes, *notes])
    objective = Objective(subject.config.objective)
    collate = collator(objective, tokenizer)
    collated = collate([row])
    batch = _batch(collated)
    end_ids = template.stop_ids(tokenizer)
    same_ids = fresh is not None and fresh.encoded.input_ids == row["input_ids"]
    views = fresh if same_ids else None
    tokens = tokens_of(row, views, tokenizer, end_ids=end_ids)
    tokens, terms = _read_by(tokens, batch, objective, collated)
    wrong = []
    if fresh is not None and found.row is not None:
        wrong = against_rendering(row, fresh.encoded)
    elif fresh is not None and found.status == "dropped" and fresh.encoded.truncation != "dropped":
        wrong = [f"the record has no prepared row, but its {len(row['input_ids'])} tokens would be trained on"]
    wrong += against_batch(
        row,
        [at.hidden for at in batch.positions],
        [at.label for at in batch.positions],
        supervise_prompt=collate.supervise_prompt,
    )
    labelled = labelled_of(subject.config, subject.prepared, row, tokenizer)
    tokens = scored_by(tokens, row, labelled)
    answer, first = _answer_tokens(row, batch, collate)
    if first:
        notes.append("the first token has no hidden state before it, so it is not learned")
    whole = replace(
        shown,
        tokens=tokens,
        spans=list(
            dict.fromkeys(
                [
                    *(s["name"] for s in row["spans"]),
                    *sorted(template.span_names),
                    *([SCORED] if labelled is not None else []),
                ]
            )
        ),
        labelled=labelled,
        terms=terms,
        answer=compare_answer(row, answer, fresh, tokenizer=tokenizer, end_ids=end_ids),
        text=compare_text(row["input_ids"], fresh, tokenizer) if fresh is not None else None,
        batch=batch,
        disagreements=wrong,
        notes=[*shown.notes, *notes],
    )
    if subject.run is not None and batch.positions:
        if has_model(subject.run, subject.config):
            whole = whole.with_losses(losses_of(subject.run, subject.config, collated, tokenizer=tokenizer))
            return with_scoring(whole, subject, found)
        return replace(whole, notes=[*whole.notes, "this run has no trained model yet, so no losses are shown"])
    return whole


def _batch(collated: dict[str, Any]) -> Batch:
    """The collated batch of one row as plain numbers."""
    spans = collated["spans"]
    shapes = {
        name: tuple(collated[name].shape) for name in ("input_ids", "attention_mask", "mask", "labels", "examples")
    }
    shapes |= {f"spans.{name}": tuple(numbers.shape) for name, numbers in spans.items()}
    hidden = collated["mask"][0].nonzero()[:, 0].tolist()
    items = {name: numbers.tolist() for name, numbers in spans.items()}
    positions = [
        Position(place, at, label, example, tuple((name, items[name][place]) for name in items))
        for place, (at, label, example) in enumerate(
            zip(hidden, collated["labels"].tolist(), collated["examples"].tolist(), strict=True)
        )
    ]
    return Batch(
        shapes=shapes,
        input_ids=tuple(collated["input_ids"][0].tolist()),
        attention_mask=tuple(collated["attention_mask"][0].tolist()),
        mask=tuple(collated["mask"][0].tolist()),
        positions=tuple(positions),
    )


def _read_by(
    tokens: Sequence[Token], batch: Batch, objective: Objective, collated: dict[str, Any]
) -> tuple[list[Token], list[TermReading]]:
    """The tokens with what the batch makes of them: labels or not, and the terms that read their positions."""
    labels = {at.hidden + 1 for at in batch.positions}
    read: dict[int, list[str]] = {}
    terms = []
    for term in objective.terms:
        mask = Objective.of((term,)).reads(collated["labels"], collated["spans"]).tolist()
        terms.append(TermReading(term.name, term.weight, term.span, sum(mask)))
        for at, reads in zip(batch.positions, mask, strict=True):
            if reads:
                read.setdefault(at.hidden + 1, []).append(term.name)
    marked = [
        replace(token, supervised=token.index in labels, terms=tuple(read.get(token.index, ()))) for token in tokens
    ]
    return marked, terms


def _answer_tokens(row: dict[str, Any], batch: Batch, collate: Collator) -> tuple[list[int], bool]:
    """The tokens of the answer as the batch has them, and whether the first token of all is one of them."""
    answer = [
        at.hidden + 1 for at in batch.positions if not collate.supervise_prompt or dict(at.spans).get("answer", -1) >= 0
    ]
    first = any(one["start"] == 0 for one in row["supervised"])
    return ([0, *answer] if first else answer), first
