"""Layers, overrides and strictness of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lossmith.config.compose import compose, group_names, preset_names
from lossmith.config.load import as_yaml, check, load_config, missing_keys, require_complete, training_hash
from lossmith.errors import ConfigError, InputError

SINKHORN = "recipes/sinkhorn"


def test_every_preset_and_model_file_passes_the_schema():
    presets, models = preset_names(), group_names("model")
    assert len(presets) >= 9
    assert len(models) >= 8
    for name in presets:
        assert missing_keys(load_config(name))[0] == "data.files"
    for name in models:
        assert load_config("retrieval" if name == "tfidf-svd" else "causal", [f"model={name}"]).model.base


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("objectve.focal=1", "objective"),
        ("train.learning_rat=1e-4", "train.learning_rate"),
        ("+objective.generalised_dice=0.2", "objective.generalized_dice"),
        ("objective.focal={weight: 0.2, gama: 1}", "objective.focal.gamma"),
        ("taks.kind=causal", "task"),
        ("task.kin=causal", "task.kind"),
        ("task.kind=casual", "causal"),
        ("model.lora_rr=4", "model.lora_r"),
        ("model=scratch-tinny", "scratch-tiny"),
        ("data.feilds={title: t}", "data.fields"),
        ("data.split.validaton=0.2", "data.split.validation"),
        ("data.truncation=dorp", None),
        ("generate.max_new_token=3", "generate.max_new_tokens"),
        ("evaluate.metrics=[rouge11]", "rouge1"),
        ("evaluate.metric=[rouge1]", "evaluate.metrics"),
        ("tracking.report=[]", "tracking.report_to"),
        ("run_dir=x", "runs_dir"),
        ("train.lr=1e-4", "train.learning_rate"),
        ("train.max_length=3", "data.max_length"),
        ("data.files={train: a, tset: b}", "data.files.test"),
    ],
)
def test_a_typo_is_an_error_with_the_nearest_name(override: str, meant: str | None):
    with pytest.raises(InputError) as caught:
        load_config(SINKHORN, [override])
    assert caught.value.exit_code == 2
    if meant:
        assert meant in (caught.value.fix or "")


def test_a_misspelt_preset_names_the_nearest_one():
    with pytest.raises(ConfigError, match="recipes/cross-entropy"):
        load_config("recipe/cross-entropy")


@pytest.mark.parametrize(
    "override",
    [
        "seed=1.5",
        "seed=-1",
        "train.learning_rate=fast",
        "train.learning_rate=0",
        "train.num_train_epochs=yes",
        "objective.focal=-0.1",
        "objective.focal=true",
        "objective.focal={weight: 1, gamma: high}",
        "objective.sinkhorn.points=words",
        "objective={}",
        "objective={focal: 0}",
        "train.eval_strategy=steps",
        "data.split={validation: 0.6, test: 0.5}",
        "train=3",
        "data.limit=ten",
        "train.early_stopping_threshold=1percent",
        "train.learning_rate=1,2",
        "objective={focal: 1",
        "learning_rate",
    ],
)
def test_a_wrong_value_is_an_error(override: str):
    with pytest.raises(ConfigError):
        load_config(SINKHORN, [override])


def test_layers_lie_over_each_other_and_say_so(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(f"defaults: [{SINKHORN}, {{model: scratch-tiny}}]\ntrain: {{weight_decay: 1e-4}}\n")
    composed = compose(file, ["objective.sinkhorn=0.3", "train.num_train_epochs=1"])
    config = check(composed)
    assert config.model.base == "scratch-tiny"
    assert config.train is not None
    assert config.train.weight_decay == 1e-4
    assert config.train.learning_rate == 3e-3
    assert config.objective == {"cross_entropy": 0.6, "sinkhorn": {"weight": 0.3, "span": "ingredients"}}
    assert composed.origin["train.learning_rate"] == "model=scratch-tiny"
    assert composed.origin["train.weight_decay"] == str(file)
    assert composed.origin["objective.sinkhorn.weight"] == "override objective.sinkhorn=0.3"
    assert composed.origin["objective.cross_entropy"] == f"preset {SINKHORN}"


def test_an_aim_given_whole_replaces_the_presets():
    assert load_config("screening/bce").evaluate.threshold == {"recall": ">= 0.95"}
    assert load_config("screening/bce", ["evaluate.threshold={max: f1}"]).evaluate.threshold == {"max": "f1"}


def test_an_objective_given_whole_replaces_the_presets(tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"defaults": [SINKHORN], "objective": {"focal": 1}}))
    assert load_config(file).objective == {"focal": 1}
    assert load_config(SINKHORN, ["objective={focal: 1}"]).objective == {"focal": 1}
    assert load_config(SINKHORN, ["~objective.sinkhorn"]).objective == {"cross_entropy": 0.6}
    assert set(load_config(SINKHORN, ["objective.focal=0.2"]).objective) == {
        "cross_entropy",
        "sinkhorn",
        "focal",
    }


def test_one_term_written_four_ways_is_one_objective(tmp_path: Path):
    term = {"cross_entropy": 0.6, "sinkhorn": {"weight": 0.4, "span": "ingredients", "blur": 0.1}}
    yaml = tmp_path / "a.yaml"
    yaml.write_text("objective:\n  cross_entropy: 0.6\n  sinkhorn: {weight: 0.4, span: ingredients, blur: 0.1}\n")
    written = tmp_path / "a.json"
    written.write_text(json.dumps({"objective": term}))
    overrides = ["objective={cross_entropy: 0.6, sinkhorn: {weight: 0.4, span: ingredients, blur: 0.1}}"]
    ways = [
        load_config(yaml),
        load_config(written),
        load_config("causal", overrides),
        load_config({"objective": term}),
    ]
    assert [way.objective for way in ways] == [term] * 4
    assert load_config("causal", [f"objective={json.dumps(term)}"]).objective == term
    dotted = ["objective.cross_entropy=0.6", "objective.sinkhorn.weight=0.4", "objective.sinkhorn.blur=0.1"]
    assert load_config(SINKHORN, dotted).objective == term


def test_template_text_is_never_interpolated(tmp_path: Path):
    file = tmp_path / "t.yaml"
    file.write_text(
        "seed: 3\nname: run-${seed}\ndata: {template: {prompt: 'cost ${price} {{ x }}', answer: '${seed}'}}\n"
    )
    config = load_config(file)
    assert config.name == "run-3"
    assert config.data.template == {"prompt": "cost ${price} {{ x }}", "answer": "${seed}"}


@pytest.mark.parametrize("value", ["entrées.jsonl", "a=b.jsonl", "dossier été/données=1.jsonl"])
def test_paths_that_the_grammar_rejects_are_taken_literally(value: str):
    assert load_config("causal", [f"data.files={value}"]).data.files == value


@pytest.mark.parametrize("preset", preset_names())
def test_the_written_configuration_reads_back_as_the_same(preset: str, tmp_path: Path):
    config = load_config(preset, ["model=scratch-tiny", "data.files=a.jsonl", "train.warmup_steps=3"])
    file = tmp_path / "config.yaml"
    file.write_text(as_yaml(config))
    assert load_config(file) == config
    assert training_hash(load_config(file)) == training_hash(config)


def test_the_yaml_of_an_incomplete_configuration_reads_back(tmp_path: Path):
    config = load_config("causal")
    file = tmp_path / "c.yaml"
    file.write_text(as_yaml(config))
    assert "base: ???" in file.read_text()
    assert load_config(file) == config
    with pytest.raises(ConfigError, match=r"data\.files and model\.base"):
        require_complete(load_config(file))


def test_generation_and_evaluation_do_not_change_the_training_hash():
    base = training_hash(load_config(SINKHORN))
    assert training_hash(load_config(SINKHORN, ["generate.max_new_tokens=9", "evaluate.split=validation"])) == base
    assert training_hash(load_config(SINKHORN, ["seed=1"])) != base


def test_a_broken_file_is_an_error(tmp_path: Path):
    for name, text in (
        ("a.yaml", "a: [1"),
        ("b.json", '{"a": 1,}'),
        ("c.json", '{"seed": 1, "seed": 2}'),
        ("d.yaml", "- 1"),
    ):
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(ConfigError):
            load_config(file)


def test_composition_leaves_an_outer_hydra_as_it_was():
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_module("lossmith.config.presets", version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        load_config(SINKHORN)
        assert GlobalHydra.instance().hydra is outer
