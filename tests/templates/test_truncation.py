"""What is cut, what is dropped, what is refused, and that everything moves with it."""

from __future__ import annotations

from typing import Any

import pytest

from lossmith.config.data import DataConfig
from lossmith.data.encode import encode, prompt_ids
from lossmith.data.record_text import BareRecord
from lossmith.data.rendered import Encoded, Rendered
from lossmith.data.template import Template
from lossmith.errors import DataError
from lossmith.spans.tokens import TokenSpan

from .shapes import byte_level, for_shape, sentence_piece

PLAIN = byte_level()


def template(form: Any) -> Template:
    return Template.from_config(DataConfig(template=form))


def whole(rendered: Rendered, tokenizer: Any) -> Encoded:
    return encode(rendered, tokenizer, max_length=100_000, truncation="error", predicting=False)


LONG = {"prompt": "a b c d e f g h", "answer": '1 2 {% span "x" %}3 4{% endspan %} 5 6'}


def long_record() -> tuple[Rendered, Encoded]:
    rendered = template(LONG).render({}, PLAIN)
    return rendered, whole(rendered, PLAIN)


def test_cut_prompt_takes_from_the_left_and_moves_everything_with_it() -> None:
    rendered, full = long_record()
    length = len(full.input_ids) - 3
    cut = encode(rendered, PLAIN, max_length=length, truncation="cut_prompt", predicting=False)
    assert cut.input_ids == full.input_ids[3:]
    assert cut.prompt_length == full.prompt_length - 3
    assert cut.supervised == [(a - 3, b - 3) for a, b in full.supervised]
    assert [(s.start + 3, s.end + 3) for s in cut.spans] == [(s.start, s.end) for s in full.spans]
    assert cut.truncation == "cut_prompt"


def test_cut_prompt_leaves_bos() -> None:
    tokenizer = sentence_piece("first")
    rendered = template(LONG).render({}, tokenizer)
    full = whole(rendered, tokenizer)
    cut = encode(rendered, tokenizer, max_length=len(full.input_ids) - 3, truncation="cut_prompt", predicting=False)
    assert cut.input_ids == [tokenizer.bos_token_id, *full.input_ids[4:]]
    assert cut.supervised == [(a - 3, b - 3) for a, b in full.supervised]


def test_cut_answer_takes_from_the_right_and_clips_spans_and_leaves_no_end_token() -> None:
    rendered, full = long_record()
    length = full.spans[0].start + 1
    cut = encode(rendered, PLAIN, max_length=length, truncation="cut_answer", predicting=False)
    assert cut.input_ids == full.input_ids[:length]
    assert cut.supervised == [(full.prompt_length, length)]
    assert cut.spans == [TokenSpan("x", length - 1, length, 0)]
    assert PLAIN.eos_token_id not in cut.input_ids
    assert cut.truncation == "cut_answer"


@pytest.mark.parametrize("policy", ["drop", "cut_prompt", "cut_answer"])
def test_what_no_cut_could_save_is_dropped(policy: str) -> None:
    rendered, full = long_record()
    length = {"drop": len(full.input_ids) - 1, "cut_prompt": len(full.input_ids) - full.prompt_length}.get(
        policy, full.prompt_length
    )
    assert encode(rendered, PLAIN, max_length=length, truncation=policy, predicting=False).truncation == "dropped"
    saved = encode(rendered, PLAIN, max_length=length + 1, truncation=policy, predicting=False)
    assert saved.truncation == (None if policy == "drop" else policy)
    assert saved.supervised


def test_error_is_an_error() -> None:
    rendered, full = long_record()
    with pytest.raises(DataError, match="longer than data"):
        encode(rendered, PLAIN, max_length=len(full.input_ids) - 1, truncation="error", predicting=False)


@pytest.mark.parametrize("policy", ["drop", "cut_prompt", "cut_answer", "error"])
def test_a_predicted_record_is_never_left_out(policy: str) -> None:
    rendered, full = long_record()
    at_prompt = encode(rendered, PLAIN, max_length=full.prompt_length, truncation=policy, predicting=True)
    assert at_prompt.input_ids == full.input_ids
    assert at_prompt.truncation is None
    cut = encode(rendered, PLAIN, max_length=4, truncation=policy, predicting=True)
    assert cut.input_ids == full.input_ids[full.prompt_length - 4 : full.prompt_length + 4]
    assert (cut.prompt_length, cut.supervised) == (4, [(4, 8)])
    assert cut.truncation == "cut_both" and cut.target == rendered.target
    assert prompt_ids(rendered, PLAIN, max_length=4) == cut.input_ids[:4]


def test_a_prompt_of_which_nothing_fits_is_told() -> None:
    tokenizer = sentence_piece("first")
    rendered = template(LONG).render({}, tokenizer)
    encoded = encode(rendered, tokenizer, max_length=1, truncation="drop", predicting=True)
    assert (encoded.truncation, encoded.input_ids, encoded.prompt_length) == ("prompt_too_long", [], 0)
    assert prompt_ids(rendered, tokenizer, max_length=1) == []


def test_earlier_answers_that_are_cut_away_are_no_labels() -> None:
    tokenizer = for_shape("chatml")
    turns = [
        {"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    ]
    made = Template.from_config(DataConfig(messages="chat"))
    rendered = made.render(BareRecord(messages=turns), tokenizer)
    full = whole(rendered, tokenizer)
    over = full.supervised[0][1] - 1
    cut = encode(rendered, tokenizer, max_length=len(full.input_ids) - over, truncation="cut_prompt", predicting=False)
    assert cut.supervised == [(0, 1), tuple(x - over for x in full.supervised[1])]
    gone = encode(
        rendered, tokenizer, max_length=len(full.input_ids) - over - 1, truncation="cut_prompt", predicting=False
    )
    assert gone.supervised == [tuple(x - over - 1 for x in full.supervised[1])]
