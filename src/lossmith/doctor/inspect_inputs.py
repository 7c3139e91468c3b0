"""One record as a head reads it: its tokens, its label as the head's outputs have it, and the terms that read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lossmith.data.describe import Described, describe
from lossmith.data.head_template import HeadTemplate
from lossmith.doctor.agreement import against_inputs, against_rendering
from lossmith.doctor.find_record import Found
from lossmith.doctor.inspection import Batch, Inspection, TermReading
from lossmith.doctor.labelled import labelled_of, with_scoring
from lossmith.doctor.record_tokens import rendered_again, row_of, tokens_of
from lossmith.doctor.subject import Subject
from lossmith.doctor.token_loss import has_model
from lossmith.losses import Objective
from lossmith.models.precision import choose_precision
from lossmith.tasks.classification import ClassCollator, collator
from lossmith.tasks.prepare import prepared_tokenizer
from lossmith.tasks.task import Given


def with_inputs(shown: Inspection, subject: Subject, found: Found, template: HeadTemplate) -> Inspection:
    """The inspection of a record that a head reads; a run's model tells scores and the loss of the label."""
    config, prepared = subject.config, subject.prepared
    tokenizer = prepared_tokenizer(prepared)
    fresh, notes = rendered_again(subject, found, template, tokenizer)
    row = found.row if found.row is not None else row_of(fresh, found.record)
    if row is None:
        return replace(shown, notes=[*shown.notes, *notes])
    objective = Objective(config.objective)
    given = Given(config, prepared, tokenizer, choose_precision(device="cpu", dtype="float32"))
    collate = collator(objective, given)
    collated = collate([row])
    same_ids = fresh is not None and fresh.encoded.input_ids == row["input_ids"]
    tokens = tokens_of(row, fresh if same_ids else None, tokenizer, end_ids=())
    if unknown := sum(token.id == tokenizer.unk_token_id for token in tokens):
        notes.append(f"{unknown} tokens are unknown to the tokenizer: the model sees {tokenizer.unk_token} there")
    wrong = against_rendering(row, fresh.encoded) if fresh is not None and found.row is not None else []
    labels = collated["labels"].reshape(-1).tolist()
    wrong += against_inputs(row, collated["input_ids"][0].tolist(), labels, _expected(row, collate))
    labelled = labelled_of(config, prepared, row, tokenizer)
    assert labelled is not None, "a head classifies"
    whole = replace(
        shown,
        tokens=tokens,
        spans=list(dict.fromkeys([*(s["name"] for s in row["spans"]), *sorted(template.span_names)])),
        labelled=replace(labelled, cut=_cut(fresh, subject, tokenizer) if fresh is not None else None),
        terms=[
            TermReading(one.name, one.weight, ("class head",), len(collate.truth.head.names)) for one in objective.terms
        ],
        batch=_batch(collated),
        disagreements=wrong,
        notes=[*shown.notes, *notes],
    )
    if subject.run is None:
        return whole
    if not has_model(subject.run, config):
        return replace(whole, notes=[*whole.notes, "this run has no trained model yet, so no scores are shown"])
    return with_scoring(whole, subject, found)


def _expected(row: Mapping[str, Any], collate: ClassCollator) -> list[float]:
    """The row's label as the outputs of the head have it: the class's place, or 0 and 1."""
    label, head = row["label"], collate.truth.head
    if collate.truth.classes.multi_label:
        return [float(one) for one in label]
    if head.activation == "softmax":
        return [float(head.names.index(label))]
    return [float(label == name) for name in head.names]


def _cut(fresh: Described, subject: Subject, tokenizer: Any) -> str | None:
    """How many tokens of each text were cut, in words; None where all are there."""
    if fresh.encoded.truncation != "cut_prompt":
        return None
    whole = describe(fresh.rendered, tokenizer, max_length=1 << 40, predicting=True, roles=_roles(fresh))
    kept = describe(
        fresh.rendered,
        tokenizer,
        max_length=subject.config.data.max_length,
        truncation=subject.config.data.truncation,
        predicting=True,
        roles=_roles(fresh),
    )
    lost = Counter(view.role for view in whole.tokens) - Counter(view.role for view in kept.tokens)
    told = ", ".join(f"{count} tokens of the {role}" for role, count in lost.items() if role != "template")
    return f"{told} cut at the end: data.max_length={subject.config.data.max_length}"


def _roles(fresh: Described) -> list[tuple[str, int, int]]:
    first = len(getattr(fresh.rendered, "first", fresh.rendered.text))
    return [("text", 0, first), ("pair", first, len(fresh.rendered.text))]


def _batch(collated: Mapping[str, Any]) -> Batch:
    """The collated batch of one row: no position of it is a label, the whole record is."""
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids", "labels") if name in collated]
    ids = tuple(collated["input_ids"][0].tolist())
    return Batch(
        shapes={name: tuple(collated[name].shape) for name in names},
        input_ids=ids,
        attention_mask=tuple(collated["attention_mask"][0].tolist()),
        mask=(False,) * len(ids),
        positions=(),
    )
