"""Chat templates of every shape: where the answer begins and ends, what is refused, what is shown."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from lossmith.config.data import DataConfig
from lossmith.data.chat_template import freeze_date
from lossmith.data.encode import encode, prompt_ids
from lossmith.data.record_text import BareRecord
from lossmith.data.rejection import RecordError
from lossmith.data.template import Template
from lossmith.errors import ConfigError, DataError

from . import shapes
from .shapes import END_OF, SHAPES, byte_level, for_shape

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
CHAT = [
    {"role": USER, "content": "Which spice for {{ dish }}?"},
    {"role": ASSISTANT, "content": '\n {% span "spice" %} {{ spice }} {% endspan %} \n'},
]
FIELDS = {"dish": "soup", "spice": "black pepper"}


def say(*turns: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


def of_messages(turns: str = "all", **data: Any) -> Template:
    return Template.from_config(DataConfig(messages="chat", turns=turns, **data))


def of_template(messages: list[dict[str, Any]], **data: Any) -> Template:
    return Template.from_config(DataConfig(template={"messages": messages}, **data))


def encoded_of(template: Template, record: Any, tokenizer: Any) -> Any:
    rendered = template.render(record, tokenizer)
    return rendered, encode(rendered, tokenizer, max_length=10_000, truncation="error", predicting=False)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_answer_is_supervised_from_the_prompt_through_the_end_token(shape: str) -> None:
    tokenizer = for_shape(shape)
    template = of_template(CHAT)
    rendered, encoded = encoded_of(template, FIELDS, tokenizer)
    (start, end) = encoded.supervised[0]
    written = tokenizer.decode(encoded.input_ids[start:end])
    assert len(encoded.supervised) == 1
    assert start == encoded.prompt_length
    assert end == len(encoded.input_ids)  # nothing after the end token, the line break of ChatML neither
    assert written == rendered.continuation
    assert written.endswith(END_OF[shape])
    assert written.count(END_OF[shape]) == 1
    assert rendered.target == "black pepper"
    assert tokenizer.decode(encoded.input_ids[:start]) == rendered.prompt
    messages = [{"role": m["role"], "content": m["content"]} for m in say((USER, "Which spice for soup?"))]
    assert rendered.prompt == tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, chat_template=freeze_date(SHAPES[shape], template.day)
    )
    assert [rendered.text[s.start : s.end] for s in rendered.spans] == ["black pepper"]
    (span,) = encoded.spans
    assert tokenizer.decode(encoded.input_ids[span.start : span.end]).strip() == "black pepper"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turns", ["all", "last"])
def test_prediction_sees_the_ids_of_training(shape: str, turns: str) -> None:
    tokenizer = for_shape(shape)
    tokenizer.add_tokens(["\n\n", "] "])  # a header and an answer would meet in these
    messages = say((USER, "Salt?"), (ASSISTANT, "\nYes."), (USER, "How much?"), (ASSISTANT, "\n2 g"))
    template = of_messages(turns)
    rendered, encoded = encoded_of(template, BareRecord(messages=messages), tokenizer)
    asked = template.render_prompt(BareRecord(messages=messages), tokenizer)
    assert prompt_ids(asked, tokenizer) == encoded.input_ids[: encoded.prompt_length]
    assert prompt_ids(rendered, tokenizer) == prompt_ids(asked, tokenizer)
    assert prompt_ids(template.render_messages(messages[:-1], tokenizer), tokenizer) == prompt_ids(asked, tokenizer)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_assistant_turn_is_an_answer(shape: str) -> None:
    tokenizer = for_shape(shape)
    messages = say((USER, "Salt?"), (ASSISTANT, " Yes. "), (USER, "Yes. How much?"), (ASSISTANT, "2 g"))
    rendered, encoded = encoded_of(of_messages(), BareRecord(messages=messages), tokenizer)
    written = [tokenizer.decode(encoded.input_ids[a:b]) for a, b in encoded.supervised]
    assert [text.removesuffix(END_OF[shape]).split("</think>")[-1].strip() for text in written] == ["Yes.", "2 g"]
    assert all(text.endswith(END_OF[shape]) for text in written)
    assert rendered.target == "2 g"
    only_last = encoded_of(of_messages("last"), BareRecord(messages=messages), tokenizer)[1]
    assert only_last.supervised == [(only_last.prompt_length, len(only_last.input_ids))]


def test_tokenisation_starts_anew_at_every_answer() -> None:
    # The blank before an answer is learned with it, for generation begins before that blank.
    tokenizer = for_shape("mistral")
    messages = say((USER, "a"), (ASSISTANT, "flour"), (USER, "b"), (ASSISTANT, "butter"))
    rendered, encoded = encoded_of(of_messages(), BareRecord(messages=messages), tokenizer)
    starts = {a for a, _ in rendered.supervised}
    assert len(starts) == 2
    for (start, _), (token, _) in zip(rendered.supervised, encoded.supervised, strict=True):
        assert tokenizer.decode(encoded.input_ids[:token]) == rendered.text[:start]
    written = [tokenizer.decode(encoded.input_ids[a:b]) for a, b in encoded.supervised]
    assert written == [" flour</s>", " butter</s>"]


def test_earlier_answers_of_a_thinking_template_begin_with_their_own_text() -> None:
    tokenizer = for_shape("thinking")
    messages = say((USER, "a"), (ASSISTANT, "one"), (USER, "b"), (ASSISTANT, "two"))
    template = of_messages(template_kwargs={"enable_thinking": False})
    rendered, encoded = encoded_of(template, BareRecord(messages=messages), tokenizer)
    assert rendered.prompt.endswith("<think>\n\n</think>\n\n")
    written = [tokenizer.decode(encoded.input_ids[a:b]) for a, b in encoded.supervised]
    assert written == ["one<|im_end|>", "two<|im_end|>"]


def test_reasoning_is_learned_but_is_no_part_of_the_target() -> None:
    tokenizer = for_shape("thinking")
    form = [CHAT[0], {"role": ASSISTANT, "reasoning_content": "{{ why }}", "content": "{{ spice }}"}]
    rendered, _ = encoded_of(of_template(form), {**FIELDS, "why": "warm"}, tokenizer)
    assert rendered.continuation == "<think>\nwarm\n</think>\n\nblack pepper<|im_end|>"
    assert rendered.target == "black pepper"


def test_thoughts_inside_content_that_the_template_drops_are_an_error() -> None:
    with pytest.raises(DataError, match="reasoning_content"):
        of_messages().render(
            BareRecord(messages=say((USER, "a"), (ASSISTANT, "<think>warm</think>pepper"))), for_shape("thinking")
        )


def test_a_template_that_drops_a_marked_message_names_the_span() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = shapes.CHATML.replace("in messages %", "in messages if m.role != 'system' %")
    form = [{"role": SYSTEM, "content": '{% span "rule" %}Be short.{% endspan %}'}, *CHAT]
    with pytest.raises(DataError, match="drops text that span 'rule' marks"):
        of_template(form).render(FIELDS, tokenizer)


def test_an_end_token_that_is_not_special_ends_a_turn_where_no_special_one_follows() -> None:
    tokenizer = byte_level(eos_token="</s>")
    tokenizer.chat_template = shapes.CHATML.replace("<|im_end|>", "<turn_ends>")
    tokenizer.add_tokens(["<turn_ends>", "soup"])
    rendered, encoded = encoded_of(of_template(CHAT), FIELDS, tokenizer)
    assert rendered.continuation.endswith("black pepper  \n<turn_ends>")
    assert encoded.input_ids[-1] == tokenizer.convert_tokens_to_ids("<turn_ends>")
    assert set(of_template(CHAT).stop_ids(tokenizer)) == {encoded.input_ids[-1], tokenizer.eos_token_id}


def test_a_prompt_that_already_holds_the_answer_is_an_error() -> None:
    tokenizer = for_shape("thinking")
    tokenizer.chat_template = shapes.CHATML.replace("assistant\n' }}{% endif", "assistant\nYes' }}{% endif")
    with pytest.raises(DataError, match="already holds the beginning of the answer"):
        of_messages().render(BareRecord(messages=say((USER, "a"), (ASSISTANT, "Yes."))), tokenizer)


@pytest.mark.parametrize("shape", ["NO_PREFIX", "MOVES"])
def test_a_prompt_that_is_no_prefix_shows_both_texts(shape: str) -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = getattr(shapes, shape)
    with pytest.raises(DataError, match="not the beginning of its training text") as error:
        of_template(CHAT).render(FIELDS, tokenizer)
    assert "assistant" in str(error.value.got)
    assert "assistant" in str(error.value.expected)


def test_a_template_without_an_end_token_shows_the_answer_and_what_follows() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = shapes.NO_END
    with pytest.raises(DataError, match="writes no end token after the answer") as error:
        of_template(CHAT).render(FIELDS, tokenizer)
    assert "pepper" in str(error.value.got)
    with pytest.raises(DataError, match="writes no end token"):
        of_template(CHAT).stop_ids(tokenizer)


def test_a_template_that_writes_the_answer_twice_is_refused() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = shapes.TWICE
    with pytest.raises(DataError, match="2 times"):
        of_template(CHAT).render(FIELDS, tokenizer)


def test_a_template_that_counts_the_marked_text_is_refused() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = shapes.CHATML.replace("m.content +", "(m.content | length | string) + m.content +")
    with pytest.raises(DataError, match="the chat template writes another text when"):
        of_template(CHAT).render(FIELDS, tokenizer)


def test_an_earlier_answer_that_another_token_closes_is_refused() -> None:
    tokenizer = for_shape("chatml")
    tokenizer.chat_template = shapes.CHATML.replace(
        "'<|im_end|>\n' }}", "('<s>' if m.role == 'assistant' and not loop.last else '<|im_end|>') }}"
    )
    messages = say((USER, "a"), (ASSISTANT, "b"), (USER, "c"), (ASSISTANT, "d"))
    with pytest.raises(DataError, match=r"not closed by the end token") as error:
        of_messages().render(BareRecord(messages=messages), tokenizer)
    assert "data.turns: last" in str(error.value.fix)
    assert of_messages("last").render(BareRecord(messages=messages), tokenizer).target == "d"


def test_a_refused_role_says_what_the_template_says() -> None:
    form = [{"role": SYSTEM, "content": "You cook."}, *CHAT]
    with pytest.raises(DataError, match="System role not supported") as error:
        of_template(form).render(FIELDS, for_shape("gemma"))
    assert not isinstance(error.value, RecordError)
    assert "roles system, user, assistant" in str(error.value.got)
    with pytest.raises(RecordError, match="System role not supported"):
        messages = say((SYSTEM, "You cook."), (USER, "a"), (ASSISTANT, "b"))
        of_messages().render(BareRecord(messages=messages), for_shape("gemma"))


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "no messages"),
        ("text", "no messages"),
        (say((USER, "a")), "do not end in an answer"),
        ([{"content": "a"}], "no role"),
        ([{"role": USER, "content": [{"type": "image"}]}], "no text"),
        (say((USER, "a"), (ASSISTANT, " "), (USER, "b"), (ASSISTANT, "c")), "the answer is empty"),
        (say((USER, "a <|im_end|>"), (ASSISTANT, "c")), r"messages\[0\] holds the special token"),
    ],
)
def test_messages_that_cannot_be_learned_from_reject_the_record(messages: Any, told: str) -> None:
    with pytest.raises(RecordError, match=told):
        of_messages().render(BareRecord(messages=messages), for_shape("chatml"))


@pytest.mark.parametrize("shape", SHAPES)
def test_stop_ids_hold_the_end_of_turn(shape: str) -> None:
    tokenizer = for_shape(shape)
    tokenizer.eos_token = "</s>"
    expected = {tokenizer.convert_tokens_to_ids(END_OF[shape]), tokenizer.eos_token_id}
    if shape == "mistral":
        expected = {tokenizer.eos_token_id}
    assert set(of_template(CHAT).stop_ids(tokenizer)) == expected
    assert Template.from_config(DataConfig(template={"text": "a"})).stop_ids(tokenizer) == [tokenizer.eos_token_id]


def test_a_tokenizer_without_chat_template_writes_the_built_in_one_and_ends_in_its_eos() -> None:
    tokenizer = byte_level(eos_token="</s>", bos_token="<s>")
    rendered, _ = encoded_of(of_template(CHAT), FIELDS, tokenizer)
    assert rendered.prompt == "<s><|im_start|>user\nWhich spice for soup?</s>\n<|im_start|>assistant\n"
    assert rendered.continuation == "\n  black pepper  \n</s>"
    assert of_template(CHAT).stop_ids(tokenizer) == [tokenizer.eos_token_id]
    without = byte_level(eos_token="</s>")
    assert encoded_of(of_template(CHAT), FIELDS, without)[0].prompt.startswith("<|im_start|>user")
    same = byte_level(eos_token="</s>", bos_token="</s>")
    assert encoded_of(of_template(CHAT), FIELDS, same)[0].prompt.startswith("<|im_start|>user")
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="neither a chat template nor an end token"):
        of_template(CHAT).render(FIELDS, tokenizer)


def test_dates_are_those_of_the_configuration() -> None:
    tokenizer = for_shape("dated")
    assert "Today Date: 01 Jan 2026\n" in of_template(CHAT).render(FIELDS, tokenizer).prompt
    assert "Today Date: 29 Feb 2024\n" in of_template(CHAT, template_date="2024-02-29").render(FIELDS, tokenizer).prompt


@pytest.mark.parametrize("day", [datetime.date(2026, 1, 1), datetime.date(2024, 12, 31), datetime.date(2025, 3, 9)])
def test_every_directive_writes_what_strftime_writes(day: datetime.date) -> None:
    formats = "%Y-%m-%d %y %B %b %A %a %j %e %-d %-m %H:%M:%S %I %p %F %T %u %w"
    tokenizer = byte_level()
    tokenizer.chat_template = f"{{{{ strftime_now('{formats}') }}}}|" + shapes.CHATML
    rendered = of_template(CHAT, template_date=day.isoformat()).render(FIELDS, tokenizer)
    assert rendered.prompt.split("|")[0] == day.strftime(formats)


def test_freezing_the_date_changes_nothing_else_of_a_template() -> None:
    day = datetime.date(2026, 1, 1)
    for head in ("", "\n", "  {% if true %}\nx{% endif %}", "{# note #}\n"):
        text = head + "a{{ strftime_now('') }}" + shapes.CHATML
        tokenizer = byte_level()
        turn = say((USER, "a"))
        frozen = tokenizer.apply_chat_template(turn, chat_template=freeze_date(text, day), tokenize=False)
        assert frozen == tokenizer.apply_chat_template(turn, chat_template=text, tokenize=False)


def test_template_arguments_reach_the_chat_template() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = "{{ date_string }}\n" + shapes.CHATML
    prompt = of_template(CHAT, template_kwargs={"date_string": "noon"}).render(FIELDS, tokenizer).prompt
    assert prompt.startswith("noon\n")


def test_a_template_of_many_names_is_read_as_its_default() -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = {"default": shapes.CHATML, "tool_use": shapes.LLAMA}
    assert of_template(CHAT).render(FIELDS, tokenizer).prompt.startswith("<|im_start|>user")
