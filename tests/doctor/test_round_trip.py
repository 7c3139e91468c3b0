"""Ids back to text with tokenizers that put blanks of their own before a text, split characters, or lose some."""

from __future__ import annotations

from typing import Any

import pytest

from lossmith.data.describe import Described, describe
from lossmith.data.template import Template
from lossmith.data.template_form import read_form
from lossmith.doctor.round_trip import compare_answer, compare_text
from tests.templates.shapes import SHAPES, byte_level, for_shape, lossy, sentence_piece

TEXTS = ["2 eggs, salt", "  leading blank", "é 🥚 ½ cup\nnew line ", "ends in tab\t"]
FORMS = [
    {"prompt": "Cook {{ t }}:", "answer": " {{ t }}"},
    {"text": "{{ t }}"},
    {"messages": [{"role": "user", "content": "{{ t }}?"}, {"role": "assistant", "content": "{{ t }}"}]},
]
TOKENIZERS = {
    "byte level": byte_level,
    **{f"blank {scheme}": lambda scheme=scheme: sentence_piece(scheme) for scheme in ("first", "always", "legacy")},
    **{f"chat {shape}": lambda shape=shape: for_shape(shape) for shape in SHAPES},
}


def row_of(seen: Described) -> dict[str, Any]:
    return {"input_ids": seen.encoded.input_ids, "target": seen.encoded.target}


def supervised(seen: Described) -> list[int]:
    return [index for start, end in seen.encoded.supervised for index in range(start, end)]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_whole_and_cut_records_lead_back_and_shifted_ones_do_not(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    seen_cut = 0
    for form in FORMS:
        template = Template(read_form(form))
        ends = template.stop_ids(tokenizer)
        for text in TEXTS:
            rendered = template.render({"t": text}, tokenizer)
            for options in ({}, {"truncation": "cut_answer"}, {"truncation": "cut_prompt"}):
                seen = describe(rendered, tokenizer, max_length=14 if options else 500, **options)
                if seen.encoded.truncation == "dropped":
                    continue
                seen_cut += bool(seen.encoded.truncation)
                row, ours = row_of(seen), supervised(seen)
                answer = compare_answer(row, ours, seen, tokenizer=tokenizer, end_ids=ends)
                assert answer.ok and answer.difference is None, answer
                assert compare_text(row["input_ids"], seen, tokenizer).ok
                if seen.encoded.truncation is None:
                    shifted = [ours[:-1], [ours[0] - 1, *ours] if ours[0] else ours[2:]]
                    # A lone blank of the tokenizer's own has no text: its absence shows in the ids alone.
                    shifted += [ours[1:]] if tokenizer.decode(row["input_ids"][ours[0]]).strip() else []
                    for wrong in shifted:
                        assert not compare_answer(row, wrong, seen, tokenizer=tokenizer, end_ids=ends).ok
                    stored = compare_answer(row, ours, None, tokenizer=tokenizer, end_ids=ends)
                    assert stored.ok and stored.got.endswith(stored.expected[-3:])
    assert seen_cut


def test_what_a_tokenizer_loses_is_told() -> None:
    tokenizer = lossy()
    template = Template(read_form({"prompt": "cook: ", "answer": "Crème 🥚"}))
    seen = describe(template.render({}, tokenizer), tokenizer, max_length=500)
    answer = compare_answer(
        row_of(seen), supervised(seen), seen, tokenizer=tokenizer, end_ids=template.stop_ids(tokenizer)
    )
    assert not answer.ok and "expected 'Crème" in str(answer.difference)
