"""Ids: the bytes of every span and answer, tokenizers that add blanks or lose text, and what is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from lossmith.config.data import DataConfig
from lossmith.data.describe import _byte_alphabet, describe
from lossmith.data.encode import encode, encode_batch, prompt_ids
from lossmith.data.record_text import BareRecord
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, Rendered
from lossmith.data.template import Template
from lossmith.errors import ConfigError
from lossmith.spans.tokens import TokenSpan

from .shapes import SHAPES, byte_level, for_shape, lossy, sentence_piece

RECIPE_ANSWER = (
    '{"ingredients": [{% for x in ingredients %}{{ ", " if not loop.first }}'
    '"{% span "ingredients" %}{{ x | json_text }}{% endspan %}"{% endfor %}], '
    '"instructions": {% span "steps" %}{{ directions | tojson }}{% endspan %}}'
)
CHAT_FORM = {
    "messages": [
        {"role": "user", "content": "Write the recipe for {{ title }}."},
        {"role": "assistant", "content": RECIPE_ANSWER},
    ]
}
PLAIN_FORM = {"prompt": "Write the recipe for {{ title }}.\n", "answer": RECIPE_ANSWER}
TEXT_FORM = {"text": "{{ title }}\n" + RECIPE_ANSWER}


def template(form: Any, **data: Any) -> Template:
    return Template.from_config(DataConfig(template=form, **data))


def whole(rendered: Rendered, tokenizer: Any, **options: Any) -> Encoded:
    given_options = {"max_length": 100_000, "truncation": "error", "predicting": False, **options}
    return encode(rendered, tokenizer, **given_options)


def byte_edges(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[tuple[int, int]]:
    """The bytes of every token, from the tokens' own spelling and not from offsets."""
    alphabet, at, edges = _byte_alphabet(), 0, []
    special = set(tokenizer.all_special_tokens)
    for token in tokenizer.convert_ids_to_tokens(ids):
        length = len(token.encode()) if token in special else len([alphabet[c] for c in token])
        edges.append((at, at + length))
        at += length
    return edges


def spans_by_bytes(rendered: Rendered, encoded: Encoded, tokenizer: Any) -> list[TokenSpan]:
    first = int(not rendered.prompt)  # a token of its own before the text
    edges = byte_edges(tokenizer, encoded.input_ids[first:])
    found = []
    for span in rendered.spans:
        low, high = (len(rendered.text[:at].encode()) for at in (span.start, span.end))
        hit = [index for index, (a, b) in enumerate(edges) if a < high and b > low]
        found.append(TokenSpan(span.name, first + hit[0], first + hit[-1] + 1, span.item))
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_real_recipes_round_trip_in_every_shape(shape: str, recipes: list[dict[str, Any]]) -> None:
    tokenizer = for_shape(shape)
    made = template(CHAT_FORM)
    chosen = recipes[:: 1 if shape == "chatml" else 9]
    rendered = [made.render(record, tokenizer) for record in chosen]
    batch = encode_batch(rendered, tokenizer, max_length=100_000, truncation="error", predicting=False)
    assert len(batch) >= 30
    for record, text, encoded in zip(chosen, rendered, batch, strict=True):
        assert isinstance(encoded, Encoded)
        ((start, end),) = encoded.supervised
        assert tokenizer.decode(encoded.input_ids[start:end]) == text.continuation
        assert tokenizer.decode(encoded.input_ids) == text.text
        assert json.loads(text.target) == {"ingredients": record["ingredients"], "instructions": record["directions"]}
        items = [s for s in text.spans if s.name == "ingredients"]
        assert [json.loads(f'"{text.text[s.start : s.end]}"') for s in items] == [
            x.strip() for x in record["ingredients"]
        ]
        assert encoded.spans == spans_by_bytes(text, encoded, tokenizer)


@pytest.mark.parametrize("form", [PLAIN_FORM, TEXT_FORM])
def test_real_recipes_round_trip_without_chat(form: Any, recipes: list[dict[str, Any]]) -> None:
    tokenizer = byte_level()
    for record in recipes[::5]:
        rendered = template(form).render(record, tokenizer)
        encoded = whole(rendered, tokenizer)
        ((start, end),) = encoded.supervised
        assert tokenizer.decode(encoded.input_ids[start:end]) == rendered.target + "<|im_end|>"
        assert encoded.spans == spans_by_bytes(rendered, encoded, tokenizer)


WILD = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from('\u0301\u200d👩🍳漢שع \t\n\u00a0é½",\\{}<|>'),
        st.sampled_from("\ue000\uf8ff\U000f0000\U000f0001\U00100000\U0010fffd"),
    ),
    max_size=20,
)
BYTE_LEVEL = {shape: for_shape(shape) for shape in SHAPES}
PLAIN = byte_level()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.sampled_from([*SHAPES, "prompt and answer", "text"]),
    title=WILD,
    ingredients=st.lists(WILD, max_size=4),
    directions=st.lists(WILD, max_size=2),
)
def test_any_text_keeps_its_spans_and_its_answer(
    shape: str, title: str, ingredients: list[str], directions: list[str]
) -> None:
    form = {"prompt and answer": PLAIN_FORM, "text": TEXT_FORM}.get(shape, CHAT_FORM)
    tokenizer = BYTE_LEVEL.get(shape, PLAIN)
    record = {"title": title, "ingredients": ingredients, "directions": directions}
    rendered = template(form).render(record, tokenizer)
    encoded = whole(rendered, tokenizer)
    first = "" if rendered.prompt else "<|im_end|>"
    assert tokenizer.decode(encoded.input_ids) == first + rendered.text + ("<|im_end|>" if rendered.append_eos else "")
    assert encoded.spans == spans_by_bytes(rendered, encoded, tokenizer)
    expected = [json.dumps(x, ensure_ascii=False)[1:-1].strip() for x in ingredients]
    items = [s for s in rendered.spans if s.name == "ingredients"]
    assert [rendered.text[s.start : s.end] for s in items] == [x for x in expected if x]
    assert [s.item for s in items] == list(range(len(items)))
    tokens = describe(rendered, tokenizer, max_length=100_000).tokens
    own = tokens[int(not rendered.prompt) : len(tokens) - rendered.append_eos]
    assert "".join(t.text for t in own) == rendered.text
    assert [index for index, t in enumerate(tokens) if t.supervised] == list(range(*encoded.supervised[0]))


@given(text=WILD.filter(str.strip), cuts=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_offsets_into_a_field_are_carried_wherever_it_is_written(text: str, cuts: list[tuple[int, int]]) -> None:
    intervals = sorted((min(a, len(text)), min(max(a, b), len(text))) for a, b in cuts)
    form = {"prompt": "Is this toxic? {{ text }} ", "answer": "{{ text | tojson }}"}
    made = template(form, spans={"toxic": {"field": "text", "offsets": "o"}})
    record = BareRecord({"text": text}, {"toxic": ("text", intervals)})
    rendered = made.render(record, PLAIN)
    expected = [text[a:b].strip() for a, b in intervals if text[a:b].strip()]
    found = [rendered.text[s.start : s.end] for s in rendered.spans]
    assert sorted(found[: len(expected)]) == sorted(expected)
    assert sorted(found[len(expected) :]) == sorted(json.dumps(x, ensure_ascii=False)[1:-1] for x in expected)


def test_offsets_outside_the_field_reject_the_record() -> None:
    made = template({"text": "{{ text }}"})
    with pytest.raises(RecordError, match="lies outside field 'text'"):
        made.render(BareRecord({"text": "abc"}, {"toxic": ("text", [(1, 9)])}), PLAIN)
    with pytest.raises(RecordError, match="which is no text"):
        made.render(BareRecord({"text": "abc", "n": 3}, {"toxic": ("n", [(0, 1)])}), PLAIN)


def test_a_field_with_offsets_that_is_not_written_leaves_no_span() -> None:
    made = template({"prompt": "a", "answer": "b {{ other }}"})
    record = BareRecord({"text": "abc", "other": "x"}, {"toxic": ("text", [(0, 2)])})
    assert made.render(record, PLAIN).spans == ()


@pytest.mark.parametrize("scheme", ["first", "always", "legacy"])
@pytest.mark.parametrize("answer", ["butter", " butter", "\nbutter", "½ 🍳", "[INST]"])
def test_tokenizers_that_put_a_blank_first_put_none_before_the_answer(scheme: str, answer: str) -> None:
    tokenizer = sentence_piece(scheme)
    rendered = template({"prompt": "Take:{{ q }}", "answer": "{{ a }}"}).render({"q": "flour", "a": answer}, tokenizer)
    encoded = whole(rendered, tokenizer)
    assert encoded.input_ids[0] == tokenizer.bos_token_id
    assert encoded.input_ids[-1] == tokenizer.eos_token_id
    blank = scheme != "first"  # the others also write one after BOS, and decoding shows it
    shown = tokenizer.decode(encoded.input_ids[1:-1]).removeprefix(" " if blank else "")
    assert shown == "Take:flour" + answer
    asked = template({"prompt": "Take:{{ q }}", "answer": "{{ a }}"}).render_prompt({"q": "flour"}, tokenizer)
    assert prompt_ids(asked, tokenizer) == encoded.input_ids[: encoded.prompt_length]


def test_a_token_that_would_join_what_stands_before_is_not_taken() -> None:
    tokenizer = sentence_piece("always")
    tokenizer.add_tokens(["\nbut"])
    rendered = template({"prompt": "Take", "answer": "butter"}).render({}, tokenizer)
    encoded = whole(rendered, tokenizer)
    assert tokenizer.decode(encoded.input_ids[1:-1]).strip() == "Takebutter"


def test_a_tokenizer_that_loses_text_still_covers_every_character_that_has_a_token() -> None:
    tokenizer = lossy()
    form = {"prompt": "Take ", "answer": 'the {% span "a" %}  Crème   FLOUR, {{ x }}  {% endspan %} now'}
    rendered = template(form).render({"x": "butter"}, tokenizer)
    encoded = whole(rendered, tokenizer)
    (span,) = encoded.spans
    offsets = tokenizer(rendered.continuation, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    start, end = rendered.spans[0].start - len(rendered.prompt), rendered.spans[0].end - len(rendered.prompt)
    inside = [index for index, (a, b) in enumerate(offsets) if b > start and a < end]
    assert (span.start - encoded.prompt_length, span.end - encoded.prompt_length) == (inside[0], inside[-1] + 1)
    assert encoded.input_ids[0] == tokenizer.cls_token_id
    assert encoded.input_ids[-1] == tokenizer.eos_token_id


def test_an_answer_without_any_token_rejects_the_record() -> None:
    tokenizer = lossy()
    rendered = template({"prompt": "a", "answer": "\u200b"}).render({}, tokenizer)
    with pytest.raises(RecordError, match="no token for the answer"):
        whole(rendered, tokenizer)
    batch = encode_batch([rendered], tokenizer, max_length=9, truncation="drop", predicting=False)
    assert isinstance(batch[0], RecordError)


@pytest.mark.parametrize("tokens", [{}, {"bos_token": "<s>"}], ids=["EOS alone", "BOS that is not written"])
@pytest.mark.parametrize("form", [{"text": "{{ p }}{{ a }}"}, {"prompt": "{{ p }}", "answer": "{{ a }}"}])
def test_training_sees_the_first_ids_that_generation_continues(form: Any, tokens: dict[str, str]) -> None:
    # Byte-level tokenizers write no BOS of their own; a record may fill the prompt or leave it empty.
    tokenizer = byte_level(**tokens)
    for prompt in ("", "Say "):
        rendered = template(form).render({"p": prompt, "a": "yes"}, tokenizer)
        trained = whole(rendered, tokenizer)
        assert trained == whole(rendered, tokenizer, predicting=True)
        continued = prompt_ids(rendered, tokenizer)
        assert continued == trained.input_ids[: trained.prompt_length]
        assert continued, "generation must continue something"
        # The first token of the answer has a hidden state before it, so it is learned like any other.
        ((start, end),) = trained.supervised
        assert 0 < start == trained.prompt_length
        assert tokenizer.decode(trained.input_ids[start:end]) == rendered.target + "<|im_end|>"
        if not rendered.prompt:
            start_id = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
            assert continued == [start_id]


def test_bos_is_added_once_and_only_outside_chat() -> None:
    tokenizer = sentence_piece("first")
    tokenizer.chat_template = "{{ bos_token }}" + SHAPES["chatml"].replace("<|im_end|>", "</s>")
    bos = tokenizer.bos_token_id
    for form in ({"prompt": "a", "answer": "b"}, {"prompt": "<s>a", "answer": "b"}, CHAT_FORM, {"text": "b"}):
        record = {"title": "t", "ingredients": ["x"], "directions": ["y"]}
        encoded = whole(template(form).render(record, tokenizer), tokenizer)
        assert encoded.input_ids[:2].count(bos) == 1, form
        assert encoded.input_ids[0] == bos


def test_plain_text_is_predicted_from_a_token_that_starts_it() -> None:
    rendered = template({"text": "Fry."}).render({}, PLAIN)
    encoded = whole(rendered, PLAIN, predicting=True)
    assert encoded.input_ids[: encoded.prompt_length] == [PLAIN.eos_token_id]
    assert prompt_ids(template({"text": "Fry."}).render_prompt({}, PLAIN), PLAIN) == [PLAIN.eos_token_id]
    assert encoded.supervised == [(1, len(encoded.input_ids))]
    assert whole(rendered, PLAIN) == encoded


def test_batches_are_the_records_one_by_one(recipes: list[dict[str, Any]]) -> None:
    tokenizer = for_shape("mistral")
    rendered = [template(CHAT_FORM).render(record, tokenizer) for record in recipes[:20]]
    options = {"max_length": 300, "truncation": "cut_prompt", "predicting": False}
    assert encode_batch(rendered, tokenizer, **options) == [encode(r, tokenizer, **options) for r in rendered]
    assert encode_batch([], tokenizer, **options) == []


def test_straddles_are_counted(recipes: list[dict[str, Any]]) -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(['",'])
    rendered = template({"prompt": "", "answer": '"{% span "a" %}{{ x }}{% endspan %}"'}).render(
        {"x": 'a",b'}, tokenizer
    )
    assert whole(rendered, tokenizer).straddles == 0
    joined = byte_level()
    joined.add_tokens(['r"'])
    rendered = template({"prompt": "", "answer": '"{% span "a" %}{{ x }}{% endspan %}"'}).render(
        {"x": "butter"}, joined
    )
    encoded = whole(rendered, joined)
    assert encoded.straddles == 1
    assert joined.decode(encoded.input_ids[encoded.spans[0].start : encoded.spans[0].end]) == 'butter"'


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow(PreTrainedTokenizerFast):
        is_fast = False

    tokenizer = Slow(tokenizer_object=byte_level().backend_tokenizer, eos_token="<|im_end|>")
    with pytest.raises(ConfigError, match="no character offsets"):
        template({"text": "a"}).render({}, tokenizer)


def test_tokens_added_later_are_seen() -> None:
    tokenizer = byte_level()
    made = template({"text": "{{ t }}"})
    assert made.render({"t": "<|new|>"}, tokenizer).text == "<|new|>"
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    with pytest.raises(RecordError, match="special token"):
        made.render({"t": "<|new|>"}, tokenizer)


def test_description_shows_roles_spans_bytes_and_what_was_cut() -> None:
    tokenizer = for_shape("chatml")
    record = {"title": "soup", "ingredients": ["𓀀 egg"], "directions": ["Boil."]}
    made = template(CHAT_FORM)
    rendered = made.render(record, tokenizer)
    shown = describe(rendered, tokenizer, max_length=1000, roles=made.roles(record, tokenizer))
    by_role = {role: "".join(t.text for t in shown.tokens if t.role == role) for role in ("user", "assistant")}
    assert by_role == {"user": "Write the recipe for soup.", "assistant": rendered.target}
    parts = [t for t in shown.tokens if t.bytes]
    assert "".join(t.bytes for t in parts).replace(" ", "") == "𓀀".encode().hex()
    assert [t.text for t in parts] == ["𓀀"] + [""] * (len(parts) - 1)
    assert all(("ingredients", 0) in t.spans for t in parts)


@pytest.mark.parametrize("shape", ["chatml", "llama"])
def test_description_of_a_cut_record_shows_what_is_left(shape: str) -> None:
    tokenizer = for_shape(shape)
    record = {"title": "soup", "ingredients": ["egg"], "directions": ["Boil."]}
    rendered = template(CHAT_FORM).render(record, tokenizer)
    cut = describe(rendered, tokenizer, max_length=6, predicting=True)
    assert [t.id for t in cut.tokens] == cut.encoded.input_ids
    assert "".join(t.text for t in cut.tokens) == tokenizer.decode(cut.encoded.input_ids)
    assert len("".join(t.text for t in cut.tokens)) < len(rendered.text)
    assert {t.role for t in cut.tokens} == {"prompt", "answer"}
