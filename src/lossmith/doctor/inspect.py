"""One record as training sees it: read this file to know what `lossmith inspect` compares with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lossmith.data.describe import Described
from lossmith.data.head_template import HeadTemplate
from lossmith.data.prepare import template_of
from lossmith.data.retrieval_template import RetrievalTemplate
from lossmith.data.template import Template
from lossmith.doctor.agreement import against_batch, against_rendering
from lossmith.doctor.batch_of_row import Collated, collate_pair, collate_row
from lossmith.doctor.find_record import Found, find_record
from lossmith.doctor.inspect_chunks import with_chunks
from lossmith.doctor.inspect_inputs import with_inputs
from lossmith.doctor.inspection import Inspection, TermReading, Token
from lossmith.doctor.labelled import SCORED, labelled_of, scored_by, with_scoring
from lossmith.doctor.pair_round_trip import compare_pair, compare_target
from lossmith.doctor.record_tokens import rendered_again, row_of, tokens_of
from lossmith.doctor.round_trip import Comparison, compare_answer, compare_text
from lossmith.doctor.subject import Progress, Subject, open_subject
from lossmith.doctor.token_loss import has_model, losses_of
from lossmith.losses import Objective
from lossmith.tasks.prepare import prepared_tokenizer, reads_sources


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
    template = template_of(subject.config, apart=reads_sources(subject.config))
    if isinstance(template, RetrievalTemplate):
        return with_chunks(shown, subject, found, template)
    if isinstance(template, HeadTemplate):
        return with_inputs(shown, subject, found, template)
    return _with_tokens(shown, subject, found, template)


def _with_tokens(shown: Inspection, subject: Subject, found: Found, template: Template) -> Inspection:
    config, prepared, apart = subject.config, subject.prepared, template.sides.apart
    tokenizer = prepared_tokenizer(prepared)
    fresh, notes = rendered_again(subject, found, template, tokenizer)
    row = found.row if found.row is not None else row_of(fresh, found.record)
    if row is None:
        return replace(shown, notes=[*shown.notes, *notes])
    objective = Objective(config.objective)
    collated = (
        collate_pair(row, objective, tokenizer, config=config, prepared=prepared)
        if apart
        else collate_row(row, objective, tokenizer)
    )
    end_ids = template.stop_ids(tokenizer)
    same_ids = fresh is not None and fresh.encoded.input_ids == row["input_ids"]
    tokens = tokens_of(row, fresh if same_ids else None, tokenizer, end_ids=end_ids, apart=apart)
    tokens, terms = _read_by(tokens, objective, collated)
    wrong = []
    if fresh is not None and found.row is not None:
        wrong = against_rendering(row, fresh.encoded)
    elif fresh is not None and found.status == "dropped" and fresh.encoded.truncation != "dropped":
        wrong = [f"the record has no prepared row, but its {len(row['input_ids'])} tokens would be trained on"]
    wrong += against_batch(row, collated.batch, supervise_prompt=collated.supervise_prompt, decoder_of_its_own=apart)
    labelled = labelled_of(config, prepared, row, tokenizer)
    tokens = scored_by(tokens, row, labelled)
    answer, text = _round_trip(row, collated, fresh, tokenizer=tokenizer, end_ids=end_ids)
    if not apart and _first_is_learned(row):
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
        answer=answer,
        text=text,
        batch=collated.batch,
        disagreements=wrong,
        notes=[*shown.notes, *notes],
    )
    return _with_losses(whole, subject, found, row)


def _with_losses(whole: Inspection, subject: Subject, found: Found, row: dict[str, Any]) -> Inspection:
    """The same with the losses of the run's model, where there is one."""
    if subject.run is None or whole.batch is None or not whole.batch.positions:
        return whole
    if not has_model(subject.run, subject.config):
        return replace(whole, notes=[*whole.notes, "this run has no trained model yet, so no losses are shown"])
    whole = whole.with_losses(losses_of(subject.run, subject.config, subject.prepared, [row]))
    return with_scoring(whole, subject, found)


def _read_by(
    tokens: Sequence[Token], objective: Objective, collated: Collated
) -> tuple[list[Token], list[TermReading]]:
    """The tokens with what the batch makes of them: labels or not, and the terms that read their positions."""
    positions, tensors = collated.batch.positions, collated.tensors
    labels = {at.token for at in positions}
    read: dict[int, list[str]] = {}
    terms = []
    for term in objective.terms:
        mask = Objective.of((term,)).reads(tensors["labels"], tensors["spans"]).tolist()
        terms.append(TermReading(term.name, term.weight, term.span, sum(mask)))
        for at, reads in zip(positions, mask, strict=True):
            if reads:
                read.setdefault(at.token, []).append(term.name)
    marked = [
        replace(token, supervised=token.index in labels, terms=tuple(read.get(token.index, ()))) for token in tokens
    ]
    return marked, terms


def _round_trip(
    row: dict[str, Any], collated: Collated, fresh: Described | None, *, tokenizer: Any, end_ids: Sequence[int]
) -> tuple[Comparison, Comparison | None]:
    """The supervised tokens of the batch against the answer, and all tokens against the text."""
    learned = [
        at.token
        for at in collated.batch.positions
        if not collated.supervise_prompt or dict(at.spans).get("answer", -1) >= 0
    ]
    if collated.batch.targets is not None:
        answer = compare_target(row, learned, fresh, tokenizer=tokenizer, end_ids=end_ids)
        return answer, None if fresh is None else compare_pair(row, fresh, tokenizer)
    learned = [0, *learned] if _first_is_learned(row) else learned
    answer = compare_answer(row, learned, fresh, tokenizer=tokenizer, end_ids=end_ids)
    return answer, None if fresh is None else compare_text(row["input_ids"], fresh, tokenizer)


def _first_is_learned(row: dict[str, Any]) -> bool:
    return any(one["start"] == 0 for one in row["supervised"])
