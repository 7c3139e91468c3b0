"""Every shipped preset composes, passes the schema, and holds the values that are documented for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from lossmith.config.compose import compose, group_names, preset_names, preset_text
from lossmith.config.load import load_config, missing_keys, require_complete
from lossmith.config.schema import Config
from lossmith.data.template import Template
from lossmith.errors import ConfigError
from lossmith.models.families import FAMILIES
from lossmith.names import METRICS

PRESETS = preset_names()
RECIPES = {
    "recipes/cross-entropy": {"cross_entropy": 1.0},
    "recipes/sinkhorn": {"cross_entropy": 0.6, "sinkhorn": {"weight": 0.4, "span": "ingredients"}},
    "recipes/dice": {"cross_entropy": 0.6, "generalized_dice": 0.4},
    "recipes/focal": {"cross_entropy": 0.6, "focal": 0.4},
    "recipes/focal-ingredients": {"cross_entropy": 0.7, "focal": {"weight": 0.3, "span": "ingredients"}},
    "recipes/lovasz": {"cross_entropy": 0.6, "lovasz_softmax": 0.4},
    "recipes/self-adjusting-dice": {"cross_entropy": 0.6, "self_adjusting_dice": 0.4},
    "recipes/mixed": {
        "cross_entropy": 0.6,
        "sinkhorn": {"weight": 0.2, "span": "ingredients"},
        "generalized_dice": 0.2,
    },
}
# The same in all of them.
RECIPE_VALUES = {
    "task.kind": "causal",
    "model.base": "Qwen/Qwen3-4B-Instruct-2507",
    "model.adapter": "lora",
    "model.lora_r": 8,
    "model.lora_alpha": 16,
    "model.lora_dropout": 0.05,
    "train.learning_rate": 1e-4,
    "train.weight_decay": 0.01,
    "train.num_train_epochs": 2,
    "train.per_device_train_batch_size": 2,
    "train.gradient_accumulation_steps": 2,
    "data.max_length": 1024,
}
BARE = {"causal", "classification", "retrieval", "seq2seq"}
UNLABELLED = {"classification", "retrieval"}
# Classifiers on the chunks of documents, whose encoder is frozen.
RETRIEVAL = {"criteria/iris", "criteria/mean-pool", "screening/iris", "terms/iris"}
FOCAL = {"binary_focal": {"weight": 1.0, "gamma": 2.0}}
IRIS = {**FOCAL, "query_diversity": {"weight": 5.6, "threshold": 0.4}}
RETRIEVAL_VALUES = {
    "task.queries": 8,
    "task.k": 12,
    "task.temperature": 0.1,
    "model.base": "sentence-transformers/all-mpnet-base-v2",
    "data.chunks.size": 3,
    "data.chunks.overlap": 1,
    "train.learning_rate": 1e-3,
    "train.weight_decay": 1e-4,
    "train.num_train_epochs": 50,
    "train.early_stopping_patience": 5,
}
DREAMS = {"dreams/t5-lora": "google/flan-t5-base", "dreams/qwen-lora": "Qwen/Qwen3-0.6B"}
DREAM_VALUES = {
    "data.cluster": "term",
    "task.kind": "seq2seq",
    "data.template.prompt": "Generate a dream interpretation: {{ input }}",
    "data.max_source_length": 256,
    "data.max_target_length": 512,
    "model.lora_r": 8,
    "model.lora_alpha": 16,
    "model.lora_dropout": 0.15,
    "train.learning_rate": 5e-4,
    "train.weight_decay": 0.02,
    "train.warmup_steps": 40,
    "train.lr_scheduler_type": "cosine",
    "train.max_grad_norm": 0.5,
    "train.per_device_train_batch_size": 2,
    "train.gradient_accumulation_steps": 6,
    "train.num_train_epochs": 6,
    "train.eval_steps": 50,
    "train.save_steps": 50,
    "train.logging_steps": 25,
    "train.save_total_limit": 3,
    "train.early_stopping_patience": 3,
    "train.max_eval_samples": 150,
    "generate.max_new_tokens": 512,
    "generate.num_beams": 8,
    "generate.length_penalty": 1.2,
    "generate.repetition_penalty": 1.2,
    "generate.no_repeat_ngram_size": 4,
}
OTHERS = {
    *("demo/cross-entropy", "demo/mixed"),
    *(f"hate-speech/{name}" for name in ("prompted", "encoder", "lora", "qlora", "quick", "high-capacity")),
    *("hate-speech/memory-efficient", "screening/bce", "screening/weighted", "screening/focal", "terms/unfair"),
    "imbalance",
    *RETRIEVAL,
    *DREAMS,
    "e2e/t5",
}
# Recipes for hate speech put LoRA on two projections, whatever the family.
OWN_TARGETS = ("q_proj", "v_proj")
TOAST = {
    "title": "Toast",
    "ingredients": ['1 "big" slice of bread', "½ oz butter"],
    "directions": ["Toast.", "Spread."],
}

each_recipe = pytest.mark.parametrize("preset", RECIPES)


@cache
def loaded(preset: str, *overrides: str) -> Config:
    """A configuration that several members of a sweep look at."""
    return load_config(preset, overrides)


def assert_holds(config: Config, values: Mapping[str, Any]) -> None:
    """The documented values, by their dotted keys."""
    for path, expected in values.items():
        value: Any = config
        for part in path.split("."):
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        assert value == expected, path


def test_the_sweep_sees_every_preset():
    assert {name for name in PRESETS if name.startswith("recipes/")} == set(RECIPES)
    assert set(PRESETS) == set(RECIPES) | BARE | OTHERS


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_lacks_its_data_alone(preset: str):
    config = load_config(preset)
    label = ["data.label"] if preset in UNLABELLED else []
    assert missing_keys(config) == ["data.files", *(["model.base"] if preset in BARE else []), *label]
    with pytest.raises(ConfigError, match=r"data\.files"):
        require_complete(config)
    given = ["data.files=a.jsonl", "model=scratch-tiny", *(f"{key}=y" for key in label)]
    complete = load_config(preset, given)
    assert require_complete(complete) is complete


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_what_it_is_and_names_known_things(preset: str):
    about = [line for line in preset_text(preset).splitlines() if line.startswith("# ") and "@package" not in line]
    assert about
    config = load_config(preset)
    assert set(config.evaluate.metrics) <= set(METRICS)
    assert all(origin != "default" for origin in compose(preset).origin.values())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", group_names("model"))
def test_every_preset_takes_every_model(preset: str, model: str):
    retrieval = preset == "retrieval" or preset in RETRIEVAL
    plain = loaded("retrieval" if model == "tfidf-svd" else "causal", f"model={model}")
    frozen = plain.model.adapter == "lora" and (retrieval or preset == "imbalance")
    if frozen or (model == "tfidf-svd" and not retrieval):
        # Frozen ones learn on vectors that are computed once; what counts words has nothing to fine-tune.
        with pytest.raises(ConfigError, match="frozen" if frozen else "no model that could be fine-tuned"):
            load_config(preset, [f"model={model}"])
        return
    config = load_config(preset, [f"model={model}"])
    assert config.model.base == plain.model.base
    assert config.objective == loaded(preset).objective
    if model.startswith("scratch-"):
        assert config.model.resolved_adapter == "none"
        assert config.train is None or config.train.learning_rate >= 1e-3
    elif config.model.resolved_adapter == "lora":
        known = {row.targets for row in FAMILIES.values()} | ({OWN_TARGETS} if preset in OTHERS else set())
        assert tuple(config.model.lora_target_modules or ()) in known
    else:
        assert preset not in RECIPES or plain.model.adapter == "none"


@each_recipe
def test_a_recipe_preset_has_the_documented_objective(preset: str):
    assert load_config(preset).objective == RECIPES[preset]


@each_recipe
def test_a_recipe_preset_has_the_documented_values(preset: str):
    config = load_config(preset)
    assert_holds(config, RECIPE_VALUES)
    assert config.data.fields == {"title": "title", "ingredients": "ingredients", "directions": "directions"}
    assert config.evaluate.metrics[0] == "ingredient_f1"
    assert not config.generate.do_sample


@pytest.mark.parametrize("preset", sorted(RETRIEVAL))
def test_a_retrieval_preset_has_the_documented_objective_and_values(preset: str):
    config = load_config(preset)
    mean = preset == "criteria/mean-pool"
    assert config.objective == (FOCAL if mean else IRIS)
    assert config.task.aggregate == ("mean" if mean else "queries")
    assert_holds(config, RETRIEVAL_VALUES)
    by_itself = {"screening/iris": {"recall": ">= 0.95"}}
    assert config.evaluate.threshold == by_itself.get(preset, {"max": "f1"})


@pytest.mark.parametrize("preset", DREAMS)
def test_a_preset_of_dreams_has_the_documented_values(preset: str):
    config = load_config(preset)
    assert_holds(config, DREAM_VALUES | {"model.base": DREAMS[preset], "objective": {"cross_entropy": 1.0}})
    projections = ["q", "k", "v", "o"]
    assert [str(name).removesuffix("_proj") for name in config.model.lora_target_modules or ()] == projections


def test_sentences_of_one_meaning_are_references_of_each_other():
    config = load_config("e2e/t5")
    assert (config.data.cluster, config.evaluate.references) == ("mr", "source")


def test_terms_are_windows_of_lines_paired_with_every_kind():
    data = load_config("terms/iris").data
    assert data.assemble is not None
    assert data.assemble.model_dump() == {"by": "company", "order": "line_number", "text": "sentence", "window": 60}
    assert (data.chunks.by, data.cluster) == ("lines", "company")
    assert list(data.pairs) == load_config("terms/unfair").task.classes
    own = load_config("terms/iris", ["data.pairs={a: Arbitration.}"]).data.pairs
    assert own == {"a": "Arbitration."}


@each_recipe
def test_the_recipe_template_is_a_chat_with_one_example_and_json_as_answer(preset: str):
    config = load_config(preset)
    assert isinstance(config.data.template, dict)
    system, user, assistant = config.data.template["messages"]
    assert [message["role"] for message in (system, user, assistant)] == ["system", "user", "assistant"]
    assert "cook" in system["content"]
    assert "JSON" in system["content"]
    assert user["content"].count("Write the recipe for:") == 2
    example = json.loads(user["content"].split("Answer in this form: ")[1].split("\n")[0])
    assert set(example) == {"ingredients", "instructions"}
    template = Template.from_config(config.data)
    assert set(template.span_names) == {"ingredients"}
    assert "{{ title }}" in user["content"]


@each_recipe
def test_what_the_recipe_template_writes_is_json_of_the_record(preset: str):
    from lossmith.data.chat_template import CHAT_TEMPLATE
    from lossmith.models.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([json.dumps(TOAST)], vocab_size=300, chat_template=CHAT_TEMPLATE)
    rendered = Template.from_config(load_config(preset).data).render(TOAST, tokenizer)
    assert json.loads(rendered.target) == {
        "ingredients": TOAST["ingredients"],
        "instructions": TOAST["directions"],
    }
    text = rendered.prompt + rendered.continuation
    marked = [text[span.start : span.end] for span in rendered.spans]
    assert [json.loads(f'"{line}"') for line in marked] == TOAST["ingredients"]
    assert [span.item for span in rendered.spans] == [0, 1]
    assert rendered.prompt.count("Toast") >= 2
    assert "½" in rendered.continuation
