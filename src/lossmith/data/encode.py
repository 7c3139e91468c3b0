"""Rendered records to token ids, with labels and spans as token intervals; prompts to the ids generation continues."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lossmith.config.data import Truncation
from lossmith.data.layout import Layout, lay_out
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, Rendered
from lossmith.errors import DataError
from lossmith.spans.tokens import cut_spans, token_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode(
    rendered: Rendered,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncation: Truncation,
    predicting: bool,
) -> Encoded:
    """One record as token ids.

    A record of more than `max_length` tokens is, for training, treated as `truncation` says: `drop` leaves it out;
    `cut_prompt` takes tokens from the left of the prompt (BOS stays), or leaves the record out where nothing of the
    prompt would be left; `cut_answer` takes them from the right, end token included (it is not put back, and not
    supervised, because the text does not end there), or leaves the record out where the prompt alone is too long;
    `error` raises DataError.

    When `predicting`, the policy does not apply: `max_length` bounds the prompt alone, a longer one is cut from its
    left, and the answer, which is only compared with, stays whole. Where not even one token of the prompt fits, the
    result has no ids and says "prompt_too_long".

    Raises RecordError where the tokenizer has no token for any character of the answer.
    """
    encoded = encode_batch([rendered], tokenizer, max_length=max_length, truncation=truncation, predicting=predicting)[
        0
    ]
    if isinstance(encoded, RecordError):
        raise encoded
    return encoded


def encode_batch(
    rendered: Sequence[Rendered],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncation: Truncation,
    predicting: bool,
) -> list[Encoded | RecordError]:
    """Many records as `encode` does each, in one call of the tokenizer; a record's own error stands in its place."""
    results: list[Encoded | RecordError] = []
    for record, layout in zip(rendered, lay_out(rendered, tokenizer), strict=True):
        try:
            results.append(
                encode_layout(record, layout, max_length=max_length, truncation=truncation, predicting=predicting)[0]
            )
        except RecordError as error:
            results.append(error)
    return results


def prompt_ids(rendered: Rendered, tokenizer: PreTrainedTokenizerBase, *, max_length: int | None = None) -> list[int]:
    """The ids that generation continues: those that training saw before the answer.

    Takes what `Template.render` or `render_prompt` gives. With `max_length` a longer prompt is cut as `encode` cuts
    one when predicting; an empty list says that nothing fits.
    """
    prompt = replace(rendered, continuation="", supervised=(), spans=())
    encoded = encode(prompt, tokenizer, max_length=max_length or sys.maxsize, truncation="drop", predicting=True)
    return encoded.input_ids[: encoded.prompt_length]


@dataclass(frozen=True)
class Cut:
    """Which tokens of a layout stay: `first`, then those from `low` to `high`; `action` says what was done."""

    first: int
    low: int
    high: int
    action: str | None

    @property
    def tokens(self) -> list[int]:
        """Indices of the tokens that stay."""
        return [*range(self.first), *range(self.low, self.high)]


def encode_layout(
    record: Rendered, layout: Layout, *, max_length: int, truncation: Truncation, predicting: bool
) -> tuple[Encoded, Cut]:
    """What `encode` gives, and which tokens of the layout it kept."""
    spans, straddles = token_spans(record.spans, layout.offsets, record.text)
    if layout.supervised:
        start, end = layout.supervised[-1]
        if end - start <= int(record.append_eos):
            raise RecordError(
                "the tokenizer has no token for the answer",
                got=repr(record.target[:40]),
                expected="text that the tokenizer's vocabulary covers",
            )
    cut = _fit_prompt(layout, max_length) if predicting else _fit_record(layout, max_length, truncation)
    shift = cut.first - cut.low
    ends = [(max(a, cut.low) + shift, min(b, cut.high) + shift) for a, b in layout.supervised]
    encoded = Encoded(
        input_ids=[layout.ids[index] for index in cut.tokens],
        prompt_length=max(0, layout.prompt_length + shift),
        supervised=[(a, b) for a, b in ends if b > a],
        spans=cut_spans(spans, (cut.low, cut.high), shift),
        prompt=record.prompt,
        target=record.target,
        straddles=straddles,
        truncation=cut.action,
    )
    return encoded, cut


def _fit_prompt(layout: Layout, max_length: int) -> Cut:
    total, first = len(layout.ids), layout.first
    over = layout.prompt_length - max_length
    if over <= 0:
        return Cut(first, first, total, None)
    if max_length <= first:
        return Cut(0, total, total, "prompt_too_long")
    return Cut(first, first + over, total, "cut_prompt")


def _fit_record(layout: Layout, max_length: int, truncation: Truncation) -> Cut:
    total, first = len(layout.ids), layout.first
    over = total - max_length
    if over <= 0:
        return Cut(first, first, total, None)
    if truncation == "error":
        raise DataError(
            "a record is longer than data.max_length",
            got=f"{total} tokens, the prompt {layout.prompt_length} of them",
            expected=f"at most {max_length}",
            fix="raise data.max_length, or set data.truncation to drop, cut_prompt or cut_answer",
        )
    if truncation == "cut_prompt" and over < layout.prompt_length - first:
        return Cut(first, first + over, total, "cut_prompt")
    if truncation == "cut_answer" and max_length > layout.prompt_length:
        return Cut(first, first, max_length, "cut_answer")
    return Cut(first, first, total, "dropped")
