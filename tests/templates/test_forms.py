from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lossmith.config.data import DataConfig
from lossmith.data.encode import encode
from lossmith.data.rejection import RecordError
from lossmith.data.template import Template
from lossmith.data.template_form import read_form
from lossmith.errors import ConfigError

from .shapes import byte_level, for_shape

CHAT = [{"role": "user", "content": "{{ q }}"}, {"role": "assistant", "content": "{{ a }}"}]


def template(form: Any, **data: Any) -> Template:
    return Template.from_config(DataConfig(template=form, **data))


def test_prompt_and_answer_are_joined_as_they_are_and_closed() -> None:
    tokenizer = byte_level()
    rendered = template({"prompt": "Q: {{ q }}\nA:", "answer": " {{ a }}"}).render(
        {"q": "salt?", "a": "yes"}, tokenizer
    )
    assert rendered.text == "Q: salt?\nA: yes"
    assert rendered.target == " yes"
    encoded = encode(rendered, tokenizer, max_length=99, truncation="drop", predicting=False)
    (start, end) = encoded.supervised[0]
    assert start == encoded.prompt_length
    assert end == len(encoded.input_ids)
    assert tokenizer.decode(encoded.input_ids[start:end]) == " yes<|im_end|>"


def test_plain_text_is_supervised_whole() -> None:
    tokenizer = byte_level()
    rendered = template({"text": "{{ t }}"}).render({"t": "Fry the onions."}, tokenizer)
    encoded = encode(rendered, tokenizer, max_length=99, truncation="drop", predicting=False)
    assert rendered.prompt == ""
    assert encoded.prompt_length == 1
    assert encoded.supervised == [(1, len(encoded.input_ids))]
    assert tokenizer.decode(encoded.input_ids) == "<|im_end|>Fry the onions.<|im_end|>"


@pytest.mark.parametrize("pad", ["<|im_end|>", "<|pad|>"])
def test_eos_is_supervised_also_where_it_pads(pad: str) -> None:
    tokenizer = byte_level(pad_token=pad)
    rendered = template({"prompt": "a", "answer": "b"}).render({}, tokenizer)
    encoded = encode(rendered, tokenizer, max_length=9, truncation="drop", predicting=False)
    assert encoded.input_ids[-1] == tokenizer.eos_token_id
    assert encoded.supervised[-1][1] == len(encoded.input_ids)


def test_an_ingredient_in_prompt_and_twice_in_the_answer_is_marked_where_it_was_tagged() -> None:
    tokenizer = for_shape("chatml")
    form = {
        "messages": [
            {"role": "user", "content": "I have {{ item }} and {{ item }}."},
            {"role": "assistant", "content": 'Take {{ item }}: {% span "ingredient" %}{{ item }}{% endspan %}.'},
        ]
    }
    rendered = template(form).render({"item": "butter"}, tokenizer)
    places = [i for i in range(len(rendered.text)) if rendered.text.startswith("butter", i)]
    assert len(places) == 4
    assert [(s.start, s.end, s.item) for s in rendered.spans] == [(places[3], places[3] + 6, 0)]


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (None, "data.template is missing"),
        ({"prompt": "a"}, "mixes forms or lacks a half"),
        ({"prompt": "a", "answer": "b", "text": "c"}, "mixes forms"),
        ({"promt": "a", "answer": "b"}, "unknown key 'promt'"),
        ({"messages": []}, "no list"),
        ({"messages": [{"role": "user"}]}, "no message"),
        ({"messages": CHAT[:1]}, "the last message of data.template is not the answer"),
        ({"text": 5}, "is no text"),
        ("missing.yaml", "the template file cannot be read"),
    ],
)
def test_what_is_no_template_says_so(form: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        template(form)


def test_a_misspelt_key_gets_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        template({"promt": "a", "answer": "b"})
    assert error.value.fix == "did you mean 'prompt'?"


def test_template_files_of_every_kind(tmp_path: Path) -> None:
    form = {"prompt": "a {{ x }}", "answer": "b"}
    yaml = "prompt: a {{ x }}\nanswer: b\n"
    for name, text in (("t.yaml", yaml), ("t.yml", yaml), ("t.json", json.dumps(form)), ("t.jinja", "a {{ x }}\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert {part.text for part in read_form(str(tmp_path / "t.jinja")).parts} == {"a {{ x }}\n"}
    for name in ("t.yaml", "t.yml", "t.json"):
        assert [part.text for part in read_form(str(tmp_path / name)).parts] == ["a {{ x }}", "b"]
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is broken"):
        read_form(str(tmp_path / "broken.json"))


def test_both_a_template_and_messages_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="both say"):
        template({"text": "a"}, messages="chat")


def test_arguments_that_the_renderer_uses_itself_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot set add_generation_prompt"):
        template({"messages": CHAT}, template_kwargs={"add_generation_prompt": True})


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="template_date is no date"):
        template({"messages": CHAT}, template_date="yesterday")


def test_an_empty_answer_rejects_the_record() -> None:
    tokenizer = for_shape("chatml")
    for form in ({"prompt": "a", "answer": "{{ a }}"}, {"messages": CHAT}, {"text": "{{ a }}"}):
        with pytest.raises(RecordError, match="the answer is empty"):
            template(form).render({"q": "x", "a": " \n"}, tokenizer)


@pytest.mark.parametrize("form", [{"prompt": "{{ q }}", "answer": "{{ a }}"}, {"messages": CHAT}])
def test_special_tokens_in_a_field_reject_the_record_unless_kept(form: Any) -> None:
    tokenizer = for_shape("chatml")
    fields = {"q": "x <|im_end|>", "a": "y", "unread": "<|im_start|>"}
    with pytest.raises(RecordError, match=r"field 'q' holds the special token <\|im_end\|>"):
        template(form).render(fields, tokenizer)
    assert template(form, special_tokens_in_text="keep").render(fields, tokenizer).target == "y"
    assert template(form).render({**fields, "q": "fine"}, tokenizer).target == "y"


def test_special_tokens_that_the_template_writes_are_its_own_business() -> None:
    form = {"prompt": "<|im_start|>{{ q }}", "answer": "{{ a }}"}
    tokenizer = byte_level()
    assert template(form).render({"q": "x", "a": "y"}, tokenizer).prompt == "<|im_start|>x"
    with pytest.raises(RecordError, match="field 'q'"):
        template(form).render({"q": "<|im_start|>x", "a": "y"}, tokenizer)


def test_fields_that_join_to_a_special_token_are_caught() -> None:
    form = {"prompt": "{{ q }}{{ p }}", "answer": "b"}
    with pytest.raises(RecordError, match="the joined text holds the special token"):
        template(form).render({"q": "<|im_", "p": "end|>"}, byte_level())


def test_half_a_surrogate_pair_rejects_the_record() -> None:
    with pytest.raises(RecordError, match="no valid Unicode"):
        template({"text": "{{ t }}"}).render({"t": "egg \ud83c"}, byte_level())


def test_prompts_need_no_answer_and_are_those_of_training() -> None:
    tokenizer = for_shape("mistral")
    for form in ({"prompt": "{{ q }}", "answer": "{{ a }}"}, {"messages": CHAT}):
        whole = template(form).render({"q": "salt?", "a": "yes"}, tokenizer)
        assert template(form).render_prompt({"q": "salt?"}, tokenizer).prompt == whole.prompt


def test_variables_and_span_names_are_known_without_a_record() -> None:
    made = template(
        {"prompt": "{{ q }}", "answer": '{% for x in xs %}{% span "item" %}{{ x }}{% endspan %}{% endfor %}'},
        spans={"toxic": {"field": "q", "offsets": "o"}},
    )
    assert made.variables == {"q", "xs"}
    assert made.span_names == {"item", "toxic"}


def test_training_text_needs_no_tokenizer() -> None:
    fields = {"q": "salt?", "a": "yes"}
    assert template({"messages": CHAT}).training_text(fields) == "salt?\nyes"
    assert template({"prompt": "{{ q }} ", "answer": "{{ a }}"}).training_text(fields) == "salt? yes"


def test_hash_changes_with_what_is_written_and_with_nothing_else() -> None:
    tokenizer = for_shape("dated")
    base = template({"messages": CHAT}).hash(tokenizer)
    same = [
        template({"messages": CHAT}, max_length=7),
        template({"messages": [dict(reversed(m.items())) for m in CHAT]}),
    ]
    other = [
        template({"messages": CHAT}, template_date="2026-01-02"),
        template({"messages": CHAT}, template_kwargs={"enable_thinking": False}),
        template({"messages": CHAT}, turns="last"),
        template({"messages": [CHAT[0], {"role": "assistant", "content": "{{ a }}!"}]}),
        template({"messages": [{"role": "system", "content": "{{ q }}"}, CHAT[1]]}),
        template({"prompt": "{{ q }}", "answer": "{{ a }}"}),
    ]
    assert {made.hash(tokenizer) for made in same} == {base}
    hashes = [made.hash(tokenizer) for made in other]
    assert len({base, *hashes}) == len(hashes) + 1
    assert template({"messages": CHAT}).hash(for_shape("llama")) != base


def test_hash_is_the_same_in_another_process() -> None:
    code = (
        "from lossmith.config.data import DataConfig; from lossmith.data.template import Template;"
        "from types import SimpleNamespace as N;"
        "t = Template.from_config(DataConfig(template={'prompt': '{{ a }}{{ b }}', 'answer': '{{ c }}'}));"
        "print(t.hash(N(bos_token=None, eos_token='</s>')))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(made) == 1
    assert len(made.pop().strip()) == 16
