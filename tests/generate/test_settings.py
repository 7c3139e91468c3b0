"""Generation settings: what is unknown, useless or contradictory is refused before anything is generated."""

from __future__ import annotations

import pytest

from lossmith.config.evaluate import GenerateConfig
from lossmith.errors import ConfigError, InputError
from lossmith.generate.settings import _REFUSED, _USED, DEFAULT_TOP_K, check_settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_new_token": 5}, r"did you mean 'max_new_tokens'\?"),
        ({"temprature": 0.5, "max_new_tokens": 5}, r"did you mean 'temperature'\?"),
        ({"max_length": 50, "max_new_tokens": 5}, "counts the prompt"),
        ({"num_beam_groups": 2, "max_new_tokens": 5}, "no part of transformers"),
        ({"output_scores": True, "max_new_tokens": 5}, "no use for it"),
        ({"do_sample": True}, "how long an answer may get is not given"),
        ({"max_new_tokens": 0}, "at least one new token"),
        ({"max_new_tokens": 5, "min_new_tokens": 6}, "min_new_tokens=6, max_new_tokens=5"),
        ({"max_new_tokens": 5, "temperature": 0.7}, "temperature=0.7 with do_sample=false"),
        ({"max_new_tokens": 5, "do_sample": False, "top_p": 0.9, "top_k": 5}, "top_k=5, top_p=0.9"),
        ({"max_new_tokens": 5, "do_sample": True, "temperature": 0.0}, "do_sample=false takes the likeliest"),
        ({"max_new_tokens": 5, "do_sample": True, "num_beams": 3}, "exclude each other"),
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

    assert len(_USED) == 23
    assert set(_USED) <= set(GenerationConfig().to_dict())
    assert not set(_USED) & set(_REFUSED)


def test_the_configuration_hands_over_names_that_are_taken():
    assert check_settings(GenerateConfig().settings()).max_new_tokens == GenerateConfig().max_new_tokens
    own = set(GenerateConfig.model_fields) - {"batch_size"}
    assert own <= set(_USED)
    with pytest.raises(ConfigError):
        check_settings(GenerateConfig(temperature=0.5).settings())
