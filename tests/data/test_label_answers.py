"""The answers a record could get: the tokens that training teaches, for every class, whatever the template does."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from lossmith.errors import ConfigError, DataError
from lossmith.models.tokenizer import train_tokenizer

CHATML = (
    "{%- for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
TRIMMING = CHATML.replace("m['content']", "m['content'] | trim")
POSTS = [
    {"text": "kind words", "y": "normal", "why": None, "who": "none"},
    {"text": "cruel words \U0001f642 \U0001f44d\U0001f3fd", "y": "hate", "why": "cruel", "who": "them"},
    {"text": 'cruel "quoted" words', "y": "hateful", "why": 'so "cruel"\nindeed', "who": None},
    {"text": "", "y": "hate", "why": " ", "who": "them"},
]
CHAT = {
    "messages": [
        {"role": "user", "content": "Say one of {{ label_words | join(', ') }}: {{ text }}"},
        {"role": "assistant", "content": "{{ label_word }}"},
    ]
}
JSON = (
    '{"classification": "{% span "classification" %}{{ label_word | json_text }}{% endspan %}"'
    '{% if why is not none and why | trim %}, "reasoning": "{{ why | trim | json_text }}"{% endif %}'
    '{% if who is not none %}, "protected_group": "{{ who | json_text }}"{% endif %}}'
)
JSON_CHAT = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": JSON}]}


@pytest.fixture(scope="module")
def words_tokenizer():
    """A BPE of real merges, so that a quote and the comma after it are one token."""
    texts = [
        json.dumps({"classification": w, "reasoning": "cruel", "protected_group": "them"})
        for w in ("hate", "hateful", "normal")
    ]
    return train_tokenizer([*texts * 40, *(post["text"] for post in POSTS)], vocab_size=400, chat_template=CHATML)


@pytest.fixture
def rows(words_tokenizer, write_jsonl):
    from lossmith.config.schema import Config
    from lossmith.data.prepare import prepare_data

    def call(template, *, posts=POSTS, method="label_words", chat=CHATML, task=(), read="train", **data):
        words_tokenizer.chat_template = chat
        config = Config(
            data={
                "files": str(write_jsonl(posts)),
                "template": template,
                "label": "y",
                "split": {"validation": 0, "test": 0},
                "max_rejected": 1.0,
                **data,
            },
            task={"kind": "classification", "method": method, **dict(task)},
            train=None,
        )
        prepared = prepare_data(config, tokenizer_for=lambda _: words_tokenizer, tokenizer_key=chat)
        return prepared, pq.read_table(prepared.split_file(read)).to_pylist()

    return call


def taught(row) -> list[int]:
    return row["input_ids"][row["prompt_length"] :]


@pytest.mark.parametrize("chat", [CHATML, TRIMMING], ids=["plain", "trimming"])
@pytest.mark.parametrize("answer", ["{{ label_word }}", " {{ label_word }}", "Answer: {{ label }}"])
def test_the_scored_ids_are_those_that_training_teaches(rows, words_tokenizer, chat, answer):
    template = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": answer}]}
    prepared, made = rows(template, chat=chat)
    names = prepared.classes.names
    assert names == ("hate", "hateful", "normal")
    assert len(made) == len(POSTS)
    for row in made:
        assert [taught(row)] == row["answers"][names.index(row["label"])]
        decoded = [words_tokenizer.decode(ways[0]) for ways in row["answers"]]
        said = [text.removesuffix("<|im_end|>").strip().removeprefix("Answer: ") for text in decoded]
        assert said == list(names)
        assert all(text.endswith("<|im_end|>") for text in decoded), "hate and hateful must exclude each other"


def test_a_template_of_two_strings_ends_in_eos_and_its_words_may_begin_with_a_blank(rows, words_tokenizer):
    for answer in ("{{ label_word }}", " {{ label_word }}"):
        _, made = rows({"prompt": "{{ text }} =>", "answer": answer})
        for row in made:
            ends = [ways[0][-1] for ways in row["answers"]]
            assert ends == [words_tokenizer.eos_token_id] * 3
            assert taught(row) in [ways[0] for ways in row["answers"]]
    assert words_tokenizer.decode(made[0]["answers"][0][0]).startswith(" hate")


def test_label_words_take_the_place_of_names_and_are_known_to_the_prompt(rows, words_tokenizer):
    task = {"label_words": {"normal": "nothing of it \U0001f642"}}
    _, made = rows(CHAT, task=task)
    assert "Say one of hate, hateful, nothing of it \U0001f642:" in made[0]["prompt"]
    assert made[0]["target"] == "nothing of it \U0001f642"
    assert words_tokenizer.decode(made[1]["answers"][2][0]) == "nothing of it \U0001f642<|im_end|>"


def test_an_empty_prompt_is_still_answered(rows):
    _, made = rows({"prompt": "{{ text }}", "answer": "{{ label_word }}"})
    assert [taught(row) in [w[0] for w in row["answers"]] for row in made] == [True] * 4
    assert made[3]["prompt"] == ""
    assert made[3]["prompt_length"] == 1


def test_a_cut_prompt_leaves_the_answers_whole(rows):
    long = [{**POSTS[0], "text": "word " * 200}, POSTS[1]]
    files = {"split": {"column": "split"}}
    posts = [{**long[0], "split": "test"}, {**long[1], "split": "train"}, {**POSTS[2], "split": "train"}]
    _, made = rows(CHAT, posts=posts, read="test", max_length=20, **files)
    assert made[0]["prompt_length"] == 20
    assert [taught(made[0])] == made[0]["answers"][2]


def test_a_class_without_records_has_its_answer_too(rows, words_tokenizer):
    prepared, made = rows(CHAT, task={"classes": ["normal", "hate", "hateful", "unseen"]})
    assert prepared.classes.counts["train"] == (1, 2, 1, 0)
    assert words_tokenizer.decode(made[0]["answers"][3][0]) == "unseen<|im_end|>"


def test_an_answer_that_reads_more_than_its_label_is_written_for_every_record(rows, words_tokenizer):
    template = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": "{{ who }}: {{ label_word }}"}]}
    _, made = rows(template)
    assert [words_tokenizer.decode(row["answers"][0][0]).split(":")[0] for row in made] == ["none", "them", "", "them"]


# -- JSON answers ---------------------------------------------------------------------------------------------------


KEYS = {"answer": {"reasoning": "why", "protected_group": "who"}}


def test_a_class_of_a_json_answer_is_said_up_to_the_token_that_closes_it(rows, words_tokenizer):
    prepared, made = rows(JSON_CHAT, method="json_answer", task=KEYS)
    names = prepared.classes.names
    for row in made:
        own = row["answers"][names.index(row["label"])]
        assert sum(taught(row)[: len(way)] == way for way in own) == 1
        for name, ways in zip(names, row["answers"], strict=True):
            texts = [words_tokenizer.decode(way) for way in ways]
            assert all(text.startswith(f'{{"classification": "{name}"') for text in texts)
            assert all(len(text) <= len(f'{{"classification": "{name}"') + 2 for text in texts), texts
        # No way is the beginning of another: their likelihoods are those of different answers.
        flat = [tuple(way) for ways in row["answers"] for way in ways]
        assert not any(one != other and other[: len(one)] == one for one in flat for other in flat)
    # What closes the value with and without a further key are other tokens here.
    assert {len(ways) for ways in made[0]["answers"]} == {2}
    assert made[0]["answers"] == made[1]["answers"]


def test_a_target_that_the_parser_refuses_stops_with_the_record_named(rows):
    broken = JSON.replace(" | json_text", "")
    template = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": broken}]}
    with pytest.raises(DataError, match=r"record rows\.jsonl:3 would teach cannot be parsed"):
        rows(template, method="json_answer", task=KEYS)


def test_a_target_that_says_something_else_stops_with_the_record_named(rows):
    other = JSON.replace("{{ who | json_text }}", "{{ text | json_text }}")
    template = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": other}]}
    with pytest.raises(DataError, match=r"record rows\.jsonl:1 would teach does not say") as caught:
        rows(template, method="json_answer", task=KEYS)
    assert caught.value.got == "another value of protected_group"


# -- what cannot be -------------------------------------------------------------------------------------------------


def test_an_answer_without_the_label_is_refused(rows):
    template = {"messages": [CHAT["messages"][0], {"role": "assistant", "content": "who knows"}]}
    with pytest.raises(DataError, match="two classes have the same answer"):
        rows(template)


def test_a_prompt_that_tells_the_answer_is_refused(rows):
    template = {"messages": [{"role": "user", "content": "{{ who }} {{ text }}"}, JSON_CHAT["messages"][1]]}
    with pytest.raises(ConfigError, match=r"reads 'who', which task\.answer asks for"):
        rows(template, method="json_answer", task=KEYS)


def test_a_json_template_marks_its_classification(rows):
    template = {
        "messages": [CHAT["messages"][0], {"role": "assistant", "content": '{"classification": "{{ label }}"}'}]
    }
    with pytest.raises(ConfigError, match="does not mark its 'classification'"):
        rows(template, method="json_answer")


@pytest.mark.parametrize("template", [{"text": "{{ text }} {{ label_word }}"}])
def test_plain_text_has_no_answer_to_score(rows, template):
    with pytest.raises(ConfigError, match="needs a template whose answer is the label"):
        rows(template)


def test_labels_that_do_not_exclude_each_other_need_a_head(rows):
    posts = [{"text": "a", "x": 0, "z": 1}, {"text": "b", "x": 1, "z": 1}]
    with pytest.raises(ConfigError, match="classes that exclude each other") as caught:
        rows(CHAT, posts=posts, label=["x", "z"])
    assert "task.method=head" in caught.value.fix
