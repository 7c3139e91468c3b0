"""Generation settings: what is unknown, useless or contradictory is refused before anything is generated."""

from __future__ import annotations

from importlib.resources import files

import pytest

from lossmith.config.compose import group_names
from lossmith.config.generate import ABOUT_THE_ANSWER, REFUSED, GenerateConfig
from lossmith.config.generation_presets import generation_preset, read_presets, with_preset
from lossmith.config.load import load_config
from lossmith.errors import ConfigError, InputError
from lossmith.generate.settings import _USED, DEFAULT_TOP_K, check_settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_new_token": 5}, r"did you mean 'max_new_tokens'\?"),
        ({"temprature": 0.5, "max_new_tokens": 5}, r"did you mean 'temperature'\?"),
        ({"max_length": 50, "max_new_tokens": 5}, "counts the prompt"),
        ({"num_beam_groups": 2, "max_new_tokens": 5}, "group beam search is done where you give a custom_generate"),
        ({"penalty_alpha": 0.6, "max_new_tokens": 5}, "contrastive search is done where you give a custom_generate"),
        ({"dola_layers": "low", "max_new_tokens": 5}, "DoLa is done .* refused otherwise"),
        ({"bad_words_ids": [[3]], "max_new_tokens": 5}, "use banned_phrases"),
        ({"output_scores": True, "max_new_tokens": 5}, "no use for it"),
        ({"do_sample": True}, "how long an answer may get is not given"),
        ({"max_new_tokens": 0}, "at least one new token"),
        ({"max_new_tokens": 5, "min_new_tokens": 6}, "min_new_tokens=6, max_new_tokens=5"),
        ({"max_new_tokens": 5, "temperature": 0.7}, "temperature=0.7 with do_sample=false"),
        ({"max_new_tokens": 5, "do_sample": False, "top_p": 0.9, "top_k": 5}, "top_k=5, top_p=0.9"),
        ({"max_new_tokens": 5, "do_sample": True, "temperature": 0.0}, "do_sample=false takes the likeliest"),
        ({"max_new_tokens": 5, "num_beams": 3, "top_h": 0.3}, "top_h=0.3 with do_sample=false"),
        ({"max_new_tokens": 5, "length_penalty": 1.2}, "length_penalty=1.2 with num_beams=1"),
        ({"max_new_tokens": 5, "repetition_penalty": -1.0}, "must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        check_settings(settings)


def test_values_that_do_nothing_are_no_contradiction():
    given = check_settings({"max_new_tokens": 5, "temperature": 1.0, "top_p": 1.0, "num_beams": 1, "min_p": None})
    assert given.given == {"max_new_tokens": 5}
    assert not given.do_sample


def test_sampling_takes_transformers_default_top_k_unless_told():
    from transformers import GenerationConfig

    assert GenerationConfig._get_default_generation_params()["top_k"] == DEFAULT_TOP_K
    assert check_settings({"max_new_tokens": 5, "do_sample": True}).given["top_k"] == DEFAULT_TOP_K
    assert "top_k" not in check_settings({"max_new_tokens": 5, "do_sample": True, "top_k": 0}).given


def test_every_name_is_one_of_generation_config():
    from transformers import GenerationConfig

    assert len(_USED) == 27
    assert set(_USED) - {"custom_generate"} <= set(GenerationConfig().to_dict())
    assert not set(_USED) & set(REFUSED)


def test_the_configuration_hands_over_names_that_are_taken():
    assert check_settings(GenerateConfig().settings()).max_new_tokens == GenerateConfig().max_new_tokens
    own = set(GenerateConfig.model_fields) - {"batch_size", "banned_phrases", "constrained"}
    assert own <= set(_USED)
    with pytest.raises(ConfigError):
        check_settings(GenerateConfig(temperature=0.5).settings())


def test_what_only_code_of_ones_own_does_is_taken_with_it():
    asked = {"max_new_tokens": 5, "penalty_alpha": 0.6, "top_k": 4}
    with pytest.raises(ConfigError):
        check_settings(asked)
    taken = check_settings({**asked, "custom_generate": "my_search:contrastive"})
    assert taken.of("penalty_alpha", "top_k") == {"penalty_alpha": 0.6, "top_k": 4}
    assert taken.chance_of_library


# -- presets --------------------------------------------------------------------------------------------------------

SHIPPED = ("beam-sampling", "beams", "greedy", "long-form", "sampling")
LONG_FORM = {
    "do_sample": False,
    "max_new_tokens": 512,
    "num_beams": 8,
    "early_stopping": True,
    "length_penalty": 1.2,
    "repetition_penalty": 1.2,
    "no_repeat_ngram_size": 4,
}


def test_every_shipped_preset_is_taken_and_gives_the_reason_of_each_value():
    assert tuple(group_names("generate")) == SHIPPED
    for name in SHIPPED:
        settings = generation_preset(name)
        check_settings(with_preset(GenerateConfig(), name).settings())
        text = (files("lossmith.config") / "presets" / "generate" / f"{name}.yaml").read_text()
        about, *lines = text.splitlines()
        assert about.startswith("# ")
        assert [line.split(":")[0] for line in lines] == list(settings)
        assert all("   # " in line for line in lines if not line.startswith("do_sample")), name
    assert generation_preset("long-form") == LONG_FORM


def test_a_preset_decodes_its_own_way_and_leaves_what_the_answer_is():
    own = GenerateConfig(max_new_tokens=9, do_sample=True, top_p=0.5, banned_phrases=["so"], batch_size=3)
    greedy = with_preset(own, "greedy")
    assert greedy == GenerateConfig(max_new_tokens=9, banned_phrases=["so"], batch_size=3)
    assert with_preset(own, {"num_beams": 2}).settings() == {"max_new_tokens": 9, "do_sample": False, "num_beams": 2}
    assert with_preset(own, "long-form").max_new_tokens == 512
    assert set(ABOUT_THE_ANSWER) <= set(GenerateConfig.model_fields)


def test_a_preset_is_laid_where_it_is_named(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("task: {kind: causal}\ngenerate: {do_sample: true, top_p: 0.5, max_new_tokens: 30}\n")
    assert load_config(file, ["generate=beams"]).generate == with_preset(GenerateConfig(max_new_tokens=30), "beams")
    after = load_config(file, ["generate=beams", "generate.num_beams=2"]).generate
    assert (after.num_beams, after.early_stopping, after.top_p) == (2, True, None)
    file.write_text("generate: beams\n")
    assert load_config(file).generate == with_preset(GenerateConfig(), "beams")
    file.write_text("defaults: [causal, {generate: long-form}]\ngenerate: {num_beams: 2}\n")
    assert load_config(file).generate.settings() == {**LONG_FORM, "num_beams": 2}
    own = tmp_path / "mine.yaml"
    own.write_text("do_sample: true\ntemperature: 0.4\n")
    assert load_config("causal", [f"generate={own}"]).generate.temperature == 0.4


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["generate=beamz"], r"did you mean 'beams'\?"),
        (["generate.num_bemas=3"], r"did you mean 'generate.num_beams'\?"),
        (["generate.bad_words_ids=[[1]]"], "use banned_phrases"),
        (["generate.banned_phrases=[' ']"], "an empty phrase"),
        (["generate.top_h=0"], "generate.top_h is wrong"),
        (["generate.length_penalty=.nan"], "generate.length_penalty is wrong"),
        (["generate.temperature=.inf"], "generate.temperature is wrong"),
        (["generate.custom_generate=transformers-community/contrastive-search"], "model.trust_remote_code"),
    ],
)
def test_what_no_preset_or_setting_is_is_told(overrides, said):
    with pytest.raises(InputError, match=said):
        load_config("causal", overrides)


def test_a_file_of_presets_names_shipped_ones_or_gives_settings(tmp_path):
    file = tmp_path / "presets.yaml"
    file.write_text("[greedy, {warm: {do_sample: true, temperature: 0.9}}, {four: beams}]")
    found = read_presets(file)
    assert list(found) == ["greedy", "warm", "four"]
    assert found["warm"] == {"do_sample": True, "temperature": 0.9}
    assert found["four"] == generation_preset("beams")
    file.write_text("greedy:\nwarm: {do_sample: true}\n")
    assert read_presets(file) == {"greedy": {"do_sample": False}, "warm": {"do_sample": True}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[greedi]", r"did you mean 'greedy'\?"),
        ("warm: {temprature: 1.0}", r"did you mean 'generate.temperature'\?"),
        ("[greedy, greedy]", "twice"),
        ("a/b: {do_sample: true}", "part of a file's name"),
        ("warm: 3", "no mapping"),
        ("[3]", "no preset"),
        ("", "names no preset"),
        ("[greedy", "not valid YAML"),
    ],
)
def test_a_file_that_names_no_presets_is_refused(tmp_path, text, said):
    file = tmp_path / "presets.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_presets(file)
