"""One record as a retrieval classifier reads it: its document, the chunks that queries look among, its criterion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lossmith.config.retrieval import terms_on_queries
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Chunked
from lossmith.data.retrieval_template import RetrievalTemplate
from lossmith.doctor.find_record import Found
from lossmith.doctor.inspection import Document, Inspection, TermReading
from lossmith.doctor.labelled import labelled_of, with_scoring
from lossmith.doctor.subject import Subject
from lossmith.doctor.token_loss import has_model
from lossmith.losses import Objective
from lossmith.models.precision import choose_precision
from lossmith.tasks.class_labels import head_of
from lossmith.tasks.prepare import prepared_tokenizer
from lossmith.tasks.task import Given


def with_chunks(shown: Inspection, subject: Subject, found: Found, template: RetrievalTemplate) -> Inspection:
    """The inspection of a record whose document is cut to chunks; a run's model tells scores and the loss of the label.

    The chunks are those of the prepared row, which the encoder reads; the document is cut anew beside it, and where the
    two differ `disagreements` says so.
    """
    config, prepared = subject.config, subject.prepared
    tokenizer = prepared_tokenizer(prepared)
    fresh, notes = _cut_again(subject, found, template, tokenizer)
    row = found.row if found.row is not None else _row_of(fresh, found)
    if row is None:
        return replace(shown, notes=[*shown.notes, *notes])
    held = Chunked(row["prompt"], row["pair"], row["target"], [(one["start"], one["end"]) for one in row["chunks"]])
    wrong = against_document(held, fresh) if fresh is not None and found.row is not None else []
    if not held.chunks:
        notes.append("the document has no chunk, so the classifier reads nothing of it")
    precision = choose_precision(device="cpu", dtype="float32")
    outputs = len(head_of(Given(config, prepared, tokenizer, precision)).names)
    on_queries = {term.name for term in terms_on_queries(config)}
    whole = replace(
        shown,
        document=Document(held.prompt, held.pair, tuple(held.chunks), template.chunks.model_dump()),
        labelled=labelled_of(config, prepared, row, tokenizer),
        terms=[
            TermReading(one.name, one.weight, ("queries",), config.task.queries)
            if one.name in on_queries
            else TermReading(one.name, one.weight, ("class head",), outputs)
            for one in Objective(config.objective).terms
        ],
        disagreements=wrong,
        notes=[*shown.notes, *notes],
    )
    if subject.run is None:
        return whole
    if not has_model(subject.run, config):
        return replace(whole, notes=[*whole.notes, "this run has no trained model yet, so no scores are shown"])
    return with_scoring(whole, subject, found)


def against_document(row: Chunked, fresh: Chunked) -> list[str]:
    """A sentence for everything in which a prepared row differs from the record cut again."""
    found = [
        f"the {what} is another one in the prepared row than in the source"
        for what, prepared, again in (
            ("document", row.prompt, fresh.prompt),
            ("criterion", row.pair, fresh.pair),
            ("target", row.target, fresh.target),
        )
        if prepared != again
    ]
    if row.chunks != fresh.chunks:
        pairs = zip(row.chunks, fresh.chunks, strict=False)
        at = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(row.chunks), len(fresh.chunks)))
        found.append(
            f"chunks part at chunk {at}: {len(row.chunks)} in the prepared row, {len(fresh.chunks)} where the document "
            "is cut again"
        )
    return found


def _cut_again(
    subject: Subject, found: Found, template: RetrievalTemplate, tokenizer: Any
) -> tuple[Chunked | None, list[str]]:
    """The source record rendered and cut anew, or None with the reason."""
    if found.record is None:
        told = "the record was not found in the sources again, so its row is shown without comparison"
        return None, [told] if subject.readable else []
    if template.hash(tokenizer) != subject.prepared.template_hash:
        return None, ["template or chunks have changed since this run was prepared, so nothing is compared with them"]
    try:
        (again,) = template.cut([template.render(found.record, tokenizer)], tokenizer)
    except RecordError as error:
        return None, [f"the record could not be rendered again: {error.message}"]
    return again, []


def _row_of(fresh: Chunked | None, found: Found) -> Mapping[str, Any] | None:
    """What the row of a record without one would be."""
    if fresh is None or found.record is None:
        return None
    return {
        "prompt": fresh.prompt,
        "pair": fresh.pair,
        "target": fresh.target,
        "chunks": [{"start": start, "end": end} for start, end in fresh.chunks],
        "label": found.record.label,
    }
