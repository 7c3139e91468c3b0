"""Recipes of other tools as configurations: nothing is dropped silently."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lossmith.config.importer.rows import BY_KEY, ROWS
from lossmith.config.importer.sections import SECTIONS
from lossmith.config.importer.training_arguments import PASSED_ON
from lossmith.config.importer.translate import own_paths, translate
from lossmith.config.importer.values import CONVERSIONS
from lossmith.config.importer.writing import as_commented_yaml, as_json, listing, table_markdown
from lossmith.config.load import load_config
from lossmith.errors import ConfigError
from lossmith.train.arguments import _FIXED, check_names
from tests.cli.conftest import lossmith as command  # noqa: F401  (a fixture: `lossmith ...` in this process)

FLAT = {
    "model_name_or_path": "some/base",
    "cache_dir": "./models",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_compute_dtype": "torch.bfloat16",
    "bnb_4bit_use_double_quant": True,
    "train_file": "train.jsonl",
    "validation_file": "validation.jsonl",
    "max_seq_length": 512,
    "lora_r": 32,
    "lora_alpha": 64,
    "lora_dropout": 0.05,
    "lora_target_modules": ["q_proj", "v_proj"],
    "lora_bias": "none",
    "early_stopping_patience": 2,
    "early_stopping_threshold": 0.01,
    "learning_rate": "2e-4",
    "num_train_epochs": 3,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "warmup_ratio": 0.05,
    "bf16": True,
    "fp16": False,
    "optim": "adamw_torch",
    "output_dir": "outputs/flat/",
    "eval_strategy": "epoch",
    "tf32": True,
    "hub_token": "hf_verysecret",
    "report_to": "none",
}


def _write(folder: Path, values: dict[str, Any], name: str = "recipe.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(values) if name.endswith("json") else yaml.safe_dump(values), encoding="utf-8")
    return file


def _config(folder: Path, **values: Any):
    return translate(_write(folder, values)).config


# -- the table ---------------------------------------------------------------------------------------------------------


def test_every_key_has_one_row_and_every_row_a_place_and_a_conversion():
    keys = [key for row in ROWS for key in row.keys]
    assert len(keys) > 300
    assert sorted(keys) == sorted(set(keys))
    assert len(BY_KEY) == len(keys)
    free = ("train.hf.", "data.fields.", "data.files.")
    for row in ROWS:
        assert row.conversion in CONVERSIONS, row
        assert row.path or row.note, row
        if row.path and not row.path.startswith(free):
            assert row.path in own_paths(), row
    assert {row.conversion for row in ROWS} == set(CONVERSIONS)


def test_every_training_argument_of_transformers_has_a_row_and_those_passed_on_are_taken():
    from transformers import Seq2SeqTrainingArguments, TrainingArguments

    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    all_known = known | {field.name for field in dataclasses.fields(Seq2SeqTrainingArguments)}
    assert len(known) > 90
    # The one key that names different things in recipes and in transformers.
    assert all_known - set(BY_KEY) <= {"generation_config"}
    assert "generation_config" in SECTIONS
    assert not set(PASSED_ON) & _FIXED
    passed = dict.fromkeys(set(PASSED_ON) & known)
    assert len(passed) > 40
    check_names(load_config({"train": {"hf": passed}}).train)


def test_every_key_of_peft_s_lora_has_a_row():
    from peft import LoraConfig

    known = {field.name for field in dataclasses.fields(LoraConfig)}
    assert len(known) > 20
    assert known - set(BY_KEY) == set()


def test_the_page_shows_the_table():
    page = Path(__file__).parents[2] / "docs" / "import.md"
    assert table_markdown() in page.read_text(encoding="utf-8"), "paste table_markdown() into docs/import.md"


# -- a recipe as people write them -------------------------------------------------------------------------------------


def test_a_flat_recipe_is_a_configuration_and_every_key_is_told_of(tmp_path: Path):
    found = translate(_write(tmp_path, FLAT))
    config = found.config
    assert config.model.base == "some/base"
    assert (config.model.lora_r, config.model.lora_alpha, config.model.lora_dropout) == (32, 64.0, 0.05)
    assert config.model.lora_target_modules == ["q_proj", "v_proj"]
    assert (config.model.load_in_4bit, config.model.bnb_4bit_compute_dtype) == (True, "bfloat16")
    assert config.model.dtype == "bfloat16"
    assert config.data.max_length == 512
    assert config.data.files.model_dump() == {
        "train": "train.jsonl",
        "validation": "validation.jsonl",
        "test": None,
    }
    assert config.train is not None
    assert config.train.learning_rate == 2e-4
    assert config.train.warmup_steps == 0.05
    assert (config.train.early_stopping_patience, config.train.early_stopping_threshold) == (2, 0.01)
    assert config.train.hf == {"tf32": True}
    assert (config.name, config.runs_dir, config.tracking.report_to) == ("flat", "outputs", [])
    assert [entry.key for entry in found.entries] == list(FLAT)
    assert all(entry.targets or entry.note for entry in found.entries)
    assert {row["key"] for row in as_json(found)["left_out"]} == {"cache_dir", "lora_bias", "fp16", "hub_token"}


def test_what_is_written_says_the_same_and_where_it_came_from(tmp_path: Path):
    found = translate(_write(tmp_path, FLAT))
    text = as_commented_yaml(found)
    written = tmp_path / "mine.yaml"
    written.write_text(text)
    assert load_config(written) == found.config
    lines = {line.strip().split(":")[0]: line for line in text.splitlines()}
    assert lines["base"].endswith("# model_name_or_path")
    assert lines["warmup_steps"].strip() == "warmup_steps: 0.05  # warmup_ratio"
    assert "cache_dir" in text
    for key in FLAT:
        assert key in text
        assert key in listing(found)


def test_a_secret_is_repeated_nowhere(tmp_path: Path):
    secrets = {"hub_token": "verysecret", "wandb_api_key": "verysecret", "model_name": "some/base"}
    found = translate(_write(tmp_path, secrets), keep_unknown=True)
    for text in (as_commented_yaml(found), listing(found), json.dumps(as_json(found))):
        assert "verysecret" not in text
        assert "wandb_api_key" in text
    with pytest.raises(ConfigError) as refused:
        translate(_write(tmp_path, secrets))
    assert "verysecret" not in str(refused.value)


def test_values_that_the_recipe_leaves_to_other_defaults_are_told(tmp_path: Path):
    found = translate(_write(tmp_path, {"model_name": "some/base", "lora_r": 8, "learning_rate": 1e-4}))
    told = {path for path, _, _ in found.defaults}
    assert {"model.lora_alpha", "train.load_best_model_at_end"} <= told
    assert not {"model.lora_r", "train.learning_rate", "model.bnb_4bit_quant_type"} & told
    assert "model.lora_alpha: 32.0 here, 8 in peft" in as_commented_yaml(found)


def test_sections_of_one_level_in_yaml(tmp_path: Path):
    recipe = {
        "model": {"name": "some/base", "max_length": 256, "dtype": "bf16"},
        "lora": {"r": 8, "alpha": 16, "dropout": 0.1, "target_modules": "q_proj,v_proj"},
        "quantization": {"load_in_4bit": True, "quant_type": "fp4", "compute_dtype": "float16"},
        "training": {"epochs": 2, "lr": 1e-3, "batch_size": 2, "optimizer": "adamw", "hf": {"tf32": False}},
        "scheduler": {"type": "cosine", "warmup_steps": 40},
        "evaluation": {"batch_size": 16, "strategy": "no"},
        "early_stopping": {"patience": 0},
        "generation": {"max_new_tokens": 64, "batch_size": 4, "temperature": 0},
        "data": {"train_file": "a.jsonl", "split": {"validation": 0.2}},
        "output": {"dir": "runs/nested"},
        "objective": {"cross_entropy": 0.5, "focal": {"weight": 0.5, "gamma": 1.0}},
        "task": {"kind": "causal"},
    }
    config = translate(_write(tmp_path, recipe, "recipe.yaml")).config
    assert config.train is not None
    assert (config.model.base, config.model.dtype, config.data.max_length) == ("some/base", "bfloat16", 256)
    assert (config.model.lora_r, config.model.lora_alpha, config.model.lora_dropout) == (8, 16.0, 0.1)
    assert (config.model.bnb_4bit_quant_type, config.model.bnb_4bit_compute_dtype) == ("fp4", "float16")
    assert (config.train.num_train_epochs, config.train.learning_rate) == (2.0, 1e-3)
    assert (config.train.per_device_train_batch_size, config.train.per_device_eval_batch_size) == (2, 16)
    assert (config.train.optim, config.train.lr_scheduler_type, config.train.warmup_steps) == (
        "adamw_torch",
        "cosine",
        40,
    )
    assert (config.train.eval_strategy, config.train.load_best_model_at_end) == ("no", False)
    assert (config.generate.max_new_tokens, config.generate.batch_size, config.generate.do_sample) == (64, 4, False)
    assert (config.data.split.validation, config.name, config.train.hf) == (0.2, "nested", {"tf32": False})
    assert config.objective == {"cross_entropy": 0.5, "focal": {"weight": 0.5, "gamma": 1.0}}


def test_a_list_of_data_sets_loses_none_of_its_keys(tmp_path: Path):
    recipe = {"base_model": "b", "datasets": [{"path": "a.jsonl", "type": "alpaca"}, {"path": "b.jsonl", "shards": 3}]}
    with pytest.raises(ConfigError, match=r"datasets\.1\.shards = 3"):
        translate(_write(tmp_path, recipe))
    found = translate(_write(tmp_path, recipe), keep_unknown=True)
    assert found.config.data.files.train == ["a.jsonl", "b.jsonl"]
    assert [entry.key for entry in found.entries] == [
        "base_model",
        "datasets",
        "datasets.0.type",
        "datasets.1.shards",
    ]


# -- keys that mean something only together ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"warmup_steps": 0, "warmup_ratio": 0.1}, "train.warmup_steps", 0.1),
        ({"warmup_steps": 100, "warmup_ratio": 0.1}, "train.warmup_steps", 100),
        ({"eval_steps": 50}, "train.eval_strategy", "steps"),
        ({"evaluation_strategy": "epoch", "eval_steps": 50}, "train.eval_steps", None),
        ({"eval_strategy": "steps", "logging_steps": 25}, "train.eval_steps", 25),
        ({"eval_strategy": "steps"}, "train.eval_steps", 500),
        ({"save_strategy": "steps"}, "train.save_steps", 500),
        ({"eval_strategy": "no"}, "train.load_best_model_at_end", False),
        ({"early_stopping": False, "early_stopping_patience": 3}, "train.early_stopping_patience", 0),
        ({"early_stopping": True, "early_stopping_patience": 3}, "train.early_stopping_patience", 3),
        ({"early_stopping": True}, "train.early_stopping_patience", 1),
        ({"bf16": True, "torch_dtype": "auto"}, "model.dtype", "bfloat16"),
        ({"fp16": False, "bf16": False}, "model.dtype", "auto"),
        ({"bf16": "auto"}, "model.dtype", "auto"),
        ({"batch_size": 128, "micro_batch_size": 4}, "train.gradient_accumulation_steps", 32),
        ({"effective_batch_size": 16, "grad_accum": 4}, "train.per_device_train_batch_size", 4),
        ({"effective_batch_size": 16, "batch_size": 4, "grad_accum": 4}, "train.gradient_accumulation_steps", 4),
        ({"name": "one", "output_dir": "./results"}, "runs_dir", "./results"),
        ({"adapter": "qlora"}, "model.load_in_4bit", True),
        ({"use_lora": False}, "model.adapter", "none"),
        ({"lora_target": "all"}, "model.lora_target_modules", "all-linear"),
        ({"quantization_bit": 4}, "model.load_in_4bit", True),
        ({"val_set_size": 0.05}, "data.split.validation", 0.05),
        ({"val_set_size": 200}, "data.split.validation", 0.1),
        ({"task_type": "TaskType.SEQ_CLS"}, "task.kind", "classification"),
        ({"id2label": {"1": "yes", "0": "no"}}, "task.classes", ["no", "yes"]),
        ({"label_smoothing_factor": 0.1}, "objective", {"cross_entropy": {"weight": 1.0, "label_smoothing": 0.1}}),
        ({"metric_for_best_model": "val_loss"}, "train.metric_for_best_model", "eval_loss"),
        ({"betas": [0.9, 0.95]}, "train.adam_beta2", 0.95),
        ({"optim_args": "a=1,b=2"}, "train.optim_args", {"a": "1", "b": "2"}),
        ({"group_by_length": True}, "train.hf", {"train_sampling_strategy": "group_by_length"}),
        ({"no_cuda": True}, "train.device", "cpu"),
        ({"device": "cuda:0"}, "train.device", "cuda"),
        ({"use_gradient_checkpointing": "unsloth"}, "train.gradient_checkpointing", True),
        ({"--learning-rate": 1e-3}, "train.learning_rate", 1e-3),
        ({"train.learning_rate": 1e-3}, "train.learning_rate", 1e-3),
        ({"learning_rate": None}, "train.learning_rate", 2e-4),
    ],
)
def test_keys_that_mean_something_together(tmp_path: Path, given: dict[str, Any], path: str, expected: object):
    found = translate(_write(tmp_path, given))
    value: Any = found.config.model_dump()
    for part in path.split("."):
        value = value[part]
    assert value == expected
    assert all(entry.targets or entry.note for entry in found.entries)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lora_r": 8, "r": 16}, ["model.lora_r", "lora_r = 8", "r = 16"]),
        ({"bf16": True, "fp16": True}, ["model.dtype", "bf16 = 'bfloat16'", "fp16 = 'float16'"]),
        ({"learning_rate": 1e-3, "training": {"lr": 1e-4}}, ["learning_rate = 0.001", "training.lr = 0.0001"]),
        ({"effective_batch_size": 16, "batch_size": 4, "grad_accum": 2}, ["effective_batch_size", "16, 4 and 2"]),
        ({"effective_batch_size": 15, "grad_accum": 2}, ["no multiple of 2", "15"]),
        ({"warmup_ratio": 3}, ["warmup_ratio", "3", "below 1"]),
        ({"lora_r": "many"}, ["lora_r", "'many'", "a number"]),
        ({"load_in_4bit": "perhaps"}, ["load_in_4bit", "true or false"]),
        ({"num_train_epochs": -1}, ["train.num_train_epochs comes from num_train_epochs", "-1"]),
        ({"metric_for_best_model": "f7"}, ["train.metric_for_best_model comes from metric_for_best_model"]),
        ({"lora_rnk": 8, "foo": 1}, ["2 keys", "did you mean 'lora_rank'?", "foo = 1", "--keep-unknown"]),
    ],
)
def test_what_cannot_be_said_is_an_error_that_names_the_keys(tmp_path: Path, given: dict[str, Any], told: list[str]):
    with pytest.raises(ConfigError) as refused:
        translate(_write(tmp_path, given))
    for words in told:
        assert words in str(refused.value)


def test_two_keys_that_say_the_same_are_both_named(tmp_path: Path):
    text = as_commented_yaml(translate(_write(tmp_path, {"lora_r": 8, "r": 8})))
    assert "lora_r: 8  # lora_r; r" in text


# -- the verb ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_verb_writes_a_file_that_config_shows(command, here: Path):  # noqa: F811
    _write(here, FLAT)
    done = command("config", "import", "recipe.json", "--out", "mine.yaml")
    assert done.code == 0
    assert "translated  lora_r -> model.lora_r = 32" in done.out
    assert "left out    cache_dir" in done.out
    shown = command("config", "mine.yaml")
    assert shown.code == 0
    assert yaml.safe_load(shown.out)["model"]["lora_r"] == 32
    again = command("config", "import", "recipe.json", "--out", "mine.yaml")
    assert (again.code, "not overwritten" in again.err) == (2, True)


def test_without_a_file_the_configuration_is_the_output(command, here: Path):  # noqa: F811
    _write(here, {"model_name": "some/base", "lora_r": 4})
    done = command("config", "import", "recipe.json")
    assert done.code == 0
    assert yaml.safe_load(done.out) == {"defaults": ["causal"], "model": {"base": "some/base", "lora_r": 4}}
    assert "translated  lora_r" in done.err
    assert command("config", "import", "recipe.json", "--quiet").err == ""
    told = json.loads(command("config", "import", "recipe.json", "--json").out)
    assert {row["key"]: row["to"] for row in told["translated"]} == {
        "model_name": {"model.base": "some/base"},
        "lora_r": {"model.lora_r": 4},
    }


def test_unknown_keys_are_refused_or_kept_as_comments(command, here: Path):  # noqa: F811
    _write(here, {"lora_r": 4, "my_own_switch": [1, 2]})
    refused = command("config", "import", "recipe.json", "--out", "mine.yaml")
    assert refused.code == 2
    assert "my_own_switch" in refused.err
    assert not Path("mine.yaml").exists()
    assert command("config", "import", "recipe.json", "--out", "mine.yaml", "--keep-unknown").code == 0
    assert "#   my_own_switch: [1, 2]" in Path("mine.yaml").read_text()
    assert load_config("mine.yaml").model.lora_r == 4


def test_a_preset_below_the_recipe(command, here: Path):  # noqa: F811
    _write(here, {"lora_r": 4})
    assert command("config", "import", "recipe.json", "--preset", "recipes/focal", "--out", "mine.yaml").code == 0
    assert load_config("mine.yaml") == load_config("recipes/focal", ["model.lora_r=4"])
    wrong = command("config", "import", "recipe.json", "--preset", "recipes/focl")
    assert (wrong.code, "did you mean 'recipes/focal'?" in wrong.err) == (2, True)


def test_import_has_help_of_its_own_and_a_missing_file_is_told(command, here: Path):  # noqa: F811
    assert "Example: lossmith config import default.json" in command("config", "import", "--help").out
    assert "config import FILE" in command("config", "--help").out
    missing = command("config", "import", "nowhere.json")
    assert (missing.code, "'nowhere.json' is no file" in missing.err) == (2, True)
    assert command("config", "import").code == 2
