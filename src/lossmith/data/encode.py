"""Rendered records to token ids, with labels and spans as token intervals; prompts to the ids generation continues."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lossmith.config.data import Truncation
from lossmith.data.fit import Limits, fit
from lossmith.data.layout import Layout, lay_out
from lossmith.data.pair_layout import lay_out_pairs
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, Rendered
from lossmith.spans.tokens import kept_spans, token_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sides:
    """How prompt and answer of a record stand to each other.

    `apart`: an encoder reads the one and a decoder writes the other; otherwise a decoder continues the one with the
    other. With `answer_length`, max_length bounds the prompt alone and this the answer. `keep_end`: an answer that is
    cut keeps its end token.
    """

    apart: bool = False
    answer_length: int | None = None
    keep_end: bool = False

    def lay_out(self, rendered: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> list[Layout]:
        """Every record before anything is cut."""
        return lay_out_pairs(rendered, tokenizer) if self.apart else lay_out(rendered, tokenizer)


JOINED = Sides()


def encode(
    rendered: Rendered,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncation: Truncation,
    predicting: bool,
    sides: Sides = JOINED,
) -> Encoded:
    """One record as token ids.

    A record of more than `max_length` tokens is, for training, treated as `truncation` says: `drop` leaves it out;
    `cut_prompt` takes tokens from the left of the prompt (BOS stays), or leaves the record out where nothing of the
    prompt would be left; `cut_answer` takes them from the right, end token included (it is not put back, and not
    supervised, because the text does not end there, unless `sides` keep it), or leaves the record out where the prompt
    alone is too long; `error` raises DataError. With limits of their own, prompt and answer are judged apart. A source
    loses its right end: what it is asked to be is said at its beginning.

    When `predicting`, the policy does not apply: `max_length` bounds the prompt alone, and a longer one is cut. So are
    the ids of the answer, which the loss of an evaluation reads, at their own limit or at `max_length`; its text, which
    predictions are compared with, stays whole. Where not even one token of the prompt fits, the result has no ids and
    says "prompt_too_long".

    Raises RecordError where the tokenizer has no token for any character of the answer.
    """
    (encoded,) = encode_batch(
        [rendered], tokenizer, max_length=max_length, truncation=truncation, predicting=predicting, sides=sides
    )
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
    sides: Sides = JOINED,
) -> list[Encoded | RecordError]:
    """Many records as `encode` does each, in one call of the tokenizer; a record's own error stands in its place."""
    results: list[Encoded | RecordError] = []
    for record, layout in zip(rendered, sides.lay_out(rendered, tokenizer), strict=True):
        try:
            encoded, _ = encode_layout(
                record, layout, max_length=max_length, truncation=truncation, predicting=predicting, sides=sides
            )
            results.append(encoded)
        except RecordError as error:
            results.append(error)
    return results


def prompt_ids(
    rendered: Rendered,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None = None,
    sides: Sides = JOINED,
) -> list[int]:
    """The ids that generation continues: those that training saw before the answer.

    Takes what `Template.render` or `render_prompt` gives. With `max_length` a longer prompt is cut as `encode` cuts
    one when predicting; an empty list says that nothing fits.
    """
    prompt = replace(rendered, continuation="", supervised=(), spans=())
    encoded = encode(
        prompt, tokenizer, max_length=max_length or sys.maxsize, truncation="drop", predicting=True, sides=sides
    )
    return encoded.input_ids[: encoded.prompt_length]


def encode_layout(
    record: Rendered,
    layout: Layout,
    *,
    max_length: int,
    truncation: Truncation,
    predicting: bool,
    sides: Sides = JOINED,
) -> tuple[Encoded, list[int]]:
    """What `encode` gives, and which tokens of the layout it kept."""
    spans, straddles = token_spans(record.spans, layout.offsets, record.text)
    if layout.supervised:
        start, end = layout.supervised[-1]
        if not (layout.offsets[start:end, 1] > layout.offsets[start:end, 0]).any():
            raise RecordError(
                "the tokenizer has no token for the answer",
                got=repr(record.target[:40]),
                expected="text that the tokenizer's vocabulary covers",
            )
    kept, action = fit(
        layout, Limits(max_length, sides.answer_length, sides.keep_end), truncation=truncation, predicting=predicting
    )
    before = np.concatenate([[0], np.cumsum(kept)])
    ends = [(int(before[start]), int(before[end])) for start, end in layout.supervised]
    tokens = np.flatnonzero(kept).tolist()
    encoded = Encoded(
        input_ids=[layout.ids[index] for index in tokens],
        prompt_length=int(before[layout.prompt_length]),
        supervised=[(start, end) for start, end in ends if end > start],
        spans=kept_spans(spans, kept),
        prompt=record.prompt,
        target=record.target,
        straddles=straddles,
        truncation=action,
    )
    return encoded, tokens
