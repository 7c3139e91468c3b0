"""A record's tokens: its prepared row, and the source record rendered and encoded anew beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossmith.data.describe import Described, describe
from lossmith.data.encode import JOINED
from lossmith.data.head_template import HeadTemplate
from lossmith.data.records import Record
from lossmith.data.rejection import RecordError
from lossmith.data.template import Template
from lossmith.doctor.find_record import Found
from lossmith.doctor.inspection import Token
from lossmith.doctor.round_trip import decode
from lossmith.doctor.subject import Subject

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def rendered_again(
    subject: Subject, found: Found, template: Template | HeadTemplate, tokenizer: PreTrainedTokenizerBase
) -> tuple[Described | None, list[str]]:
    """The source record rendered and encoded anew, or None with the reason."""
    if found.record is None:
        told = "the record was not found in the sources again, so its row is shown without comparison"
        return None, [told] if subject.readable else []
    if template.hash(tokenizer) != subject.prepared.template_hash:
        return None, ["the template has changed since this run was prepared, so nothing is compared with it"]
    data = subject.config.data
    try:
        rendered = template.render(found.record, tokenizer)
        roles = template.roles(found.record, tokenizer)
        again = describe(
            rendered,
            tokenizer,
            max_length=data.prompt_length,
            truncation=data.truncation,
            predicting=found.split not in ("train", None),
            roles=roles or None,
            sides=template.sides if isinstance(template, Template) else JOINED,
        )
    except RecordError as error:
        return None, [f"the record could not be rendered again: {error.message}"]
    return again, []


def row_of(fresh: Described | None, record: Record | None) -> dict[str, Any] | None:
    """What the row of a record without one would be."""
    if fresh is None or record is None:
        return None
    encoded = fresh.encoded
    return {
        "row": 0,
        "task": record.task,
        "prompt": encoded.prompt,
        "target": encoded.target,
        "input_ids": encoded.input_ids,
        "prompt_length": encoded.prompt_length,
        "pair_start": encoded.pair_start,
        "supervised": [{"start": start, "end": end} for start, end in encoded.supervised],
        "spans": [{"name": s.name, "start": s.start, "end": s.end, "item": s.item} for s in encoded.spans],
        "label": record.label,
    }


def tokens_of(
    row: dict[str, Any],
    fresh: Described | None,
    tokenizer: PreTrainedTokenizerBase,
    *,
    end_ids: Sequence[int],
    apart: bool = False,
) -> list[Token]:
    """The row's tokens with their spans; texts and roles from the rendering where there is one.

    `apart`: the prompt is the source that an encoder reads, the answer the target of its decoder.
    """
    asked, answered = ("source", "target") if apart else ("prompt", "answer")
    special = set(tokenizer.all_special_ids)
    answers = _answers(row) if fresh is None else fresh.encoded.supervised
    tokens = []
    for index, number in enumerate(row["input_ids"]):
        interval = next(((a, b) for a, b in answers if a <= index < b), None)
        if interval is not None:
            role = "end" if number in end_ids and index == interval[1] - 1 else answered
        elif number in special:
            role = "special"
        else:
            role = asked if fresh is None or apart else fresh.tokens[index].role
        spans = tuple((s["name"], s["item"]) for s in row["spans"] if s["start"] <= index < s["end"])
        if fresh is None:
            tokens.append(Token(index, number, decode([number], tokenizer), None, role, spans=spans))
        else:
            view = fresh.tokens[index]
            tokens.append(
                Token(index, number, view.text, view.bytes, role, spans=spans, start=view.start, end=view.end)
            )
    return tokens


def _answers(row: dict[str, Any]) -> list[tuple[int, int]]:
    """Where a row's answers stand: what follows the prompt, and the earlier turns that it names itself."""
    earlier = [(one["start"], one["end"]) for one in row["supervised"] if one["end"] <= row["prompt_length"]]
    return [*earlier, (row["prompt_length"], len(row["input_ids"]))]
