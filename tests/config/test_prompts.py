"""Prompt sets: a strategy fills what nobody has written, says so, and gives way to another one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lossmith.answer_schema import answer_schema
from lossmith.config.compose import compose
from lossmith.config.load import as_yaml, load_config, load_run_config
from lossmith.config.prompts import prompt_set_names
from lossmith.errors import ConfigError, InputError

ASKED = ["task.prompts=hate-speech", "objective={cross_entropy: 1}", "data.label=y"]
OWN = {
    "strategies": {
        "plain": {"user": "{{ text }}?", "label_words": {1: "yes", 0: "no"}, "generate": {"max_new_tokens": 3}},
        "spaced": {"system": "Be brief.", "user": "{{ text }}", "answer": " {{ label_word }}"},
        "object": {"method": "json_answer", "user": "{{ text }}", "answer": {"why": "reason"}},
    }
}


@pytest.fixture
def own(tmp_path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(OWN, sort_keys=False))
    return file


def load(*overrides: str):
    return load_config("classification", [*ASKED, *overrides])


def test_the_first_strategy_is_taken_and_the_configuration_says_everything():
    config = load()
    assert (config.task.strategy, config.task.method) == ("policy", "label_words")
    roles = [message["role"] for message in config.data.template["messages"]]
    assert roles == ["system", "user", "assistant"]
    assert config.data.template["messages"][-1]["content"] == "{{ label_word }}"


@pytest.mark.parametrize("name", ["policy", "short", "persona", "few-shot", "json"])
def test_every_strategy_of_the_package_names_the_classes_and_reads_the_text(name):
    config = load(f"task.strategy={name}")
    asked = " ".join(message["content"] for message in config.data.template["messages"][:-1])
    assert "{{ label_words | join" in asked
    assert "{{ text }}" in asked
    assert "{{ label " not in asked


def test_the_package_has_one_set():
    assert prompt_set_names() == ["hate-speech"]


def test_a_file_of_strategies(own):
    config = load_config("classification", [*ASKED[1:], f"task.prompts={own}"])
    assert config.task.label_words == {"1": "yes", "0": "no"}
    assert config.generate.max_new_tokens == 3
    spaced = load_config("classification", [*ASKED[1:], f"task.prompts={own}", "task.strategy=spaced"])
    assert spaced.data.template["messages"][-1]["content"] == " {{ label_word }}"
    written = load_config("classification", [*ASKED[1:], f"task.prompts={own}", "task.strategy=object"])
    assert written.task.method == "json_answer"
    assert written.task.answer == {"why": "reason"}
    assert '{% span "why" %}{{ reason | one_text | json_text }}' in written.data.template["messages"][-1]["content"]


def test_what_the_user_wrote_stays_and_provenance_tells_both(own):
    overrides = [*ASKED[1:], f"task.prompts={own}", "generate.max_new_tokens=9", 'task.label_words={"1": "ja"}']
    composed = compose("classification", overrides)
    assert composed.values["generate"]["max_new_tokens"] == 9
    assert composed.values["task"]["label_words"] == {"1": "ja", "0": "no"}
    assert composed.origin["generate.max_new_tokens"] == "override generate.max_new_tokens=9"
    assert composed.origin["task.label_words.0"] == f"prompt set {own}: plain"
    assert composed.origin["task.method"] == f"prompt set {own}: plain"
    template = "data.template={prompt: '{{ text }}', answer: '{{ label_word }}'}"
    assert load(template).data.template == {"prompt": "{{ text }}", "answer": "{{ label_word }}"}


def test_further_keys_of_the_users_own_shape_the_answer():
    config = load("task.strategy=json", "task.answer={why: reason}")
    answer = config.data.template["messages"][-1]["content"]
    assert '"why"' in answer
    assert "rationale" not in answer
    bare = load("task.strategy=json", "task.answer={}").data.template["messages"][-1]["content"]
    assert bare == '{"classification": "{% span "classification" %}{{ label_word | json_text }}{% endspan %}"}'


@pytest.mark.parametrize("first", ["policy", "json"])
@pytest.mark.parametrize("second", ["short", "json"])
def test_another_strategy_replaces_the_one_a_configuration_was_resolved_with(first, second):
    resolved = load(f"task.strategy={first}")
    again = load_config(resolved, [f"task.strategy={second}"])
    fresh = load(f"task.strategy={second}")
    assert again.task == fresh.task
    assert again.data.template == fresh.data.template


def test_a_runs_own_configuration_reads_back_the_same_without_its_file(own, tmp_path):
    config = load_config("classification", [*ASKED[1:], f"task.prompts={own}", "generate.batch_size=2"])
    file = tmp_path / "config.yaml"
    file.write_text(as_yaml(config))
    assert load_run_config(file) == config
    own.unlink()
    assert load_run_config(file, ["generate.batch_size=2"]) == config


# -- mistakes -------------------------------------------------------------------------------------------------------


def refused(*overrides: str) -> InputError:
    with pytest.raises(InputError) as caught:
        load(*overrides)
    return caught.value


def test_a_misspelt_strategy_or_set_names_the_nearest():
    assert refused("task.strategy=persone").fix == "did you mean 'persona'?"
    assert refused("task.prompts=hate_speech").fix == "did you mean 'hate-speech'?"


def test_a_strategy_without_a_set():
    error = refused("task.prompts=null", "task.strategy=policy")
    assert "no prompt set" in error.message


def test_a_method_that_the_strategy_is_not_written_for():
    error = refused("task.method=json_answer")
    assert "written for task.method=label_words" in error.message
    assert error.fix == "task.strategy=json"
    assert refused("task.method=head").fix is None


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ({"usr": "{{ text }}"}, "did you mean 'user'?"),
        ({"user": "x", "method": "head"}, None),
        ({"user": "x", "answer": {"why": "reason"}}, None),
        ({"user": "x", "method": "json_answer", "answer": "{{ label }}"}, None),
    ],
)
def test_a_strategy_that_is_none(tmp_path, strategy, told):
    file = tmp_path / "broken.yaml"
    file.write_text(yaml.safe_dump({"strategies": {"broken": strategy}}))
    with pytest.raises(ConfigError, match="the strategy 'broken'") as caught:
        load_config("classification", [*ASKED[1:], f"task.prompts={file}"])
    assert caught.value.fix == told


@pytest.mark.parametrize("key", ["confidence", "classification"])
def test_measured_keys_are_never_taught(key):
    with pytest.raises(ConfigError, match=f"cannot hold '{key}'"):
        answer_schema(["a", "b"], [key])
    assert f"cannot hold '{key}'" in refused("task.strategy=json", f"task.answer={{{key}: score}}").message
