"""`config`, `list` and `init`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from lossmith.config.compose import group_names, preset_names
from lossmith.config.load import load_config
from lossmith.models.families import FAMILIES
from lossmith.names import LOSSES, METRICS, TASKS

TABLES = {
    "presets": ("preset", preset_names),
    "losses": ("loss", lambda: list(LOSSES)),
    "metrics": ("metric", lambda: list(METRICS)),
    "tasks": ("task", lambda: list(TASKS)),
    "families": ("family", lambda: list(FAMILIES)),
    "models": ("model", lambda: group_names("model")),
    "generation": ("generate", lambda: group_names("generate")),
}


@pytest.mark.parametrize("what", TABLES)
def test_list_is_complete(lossmith, what: str):
    key, names = TABLES[what]
    rows = json.loads(lossmith("list", what, "--json").out)
    assert [row[key] for row in rows] == names()
    assert len(rows) >= 1
    shown = lossmith("list", what)
    assert shown.code == 0
    for name in names():
        assert re.search(rf"^{re.escape(name)}(\s|$)", shown.out, re.MULTILINE), name


def test_a_table_that_is_not_shown_in_a_terminal_keeps_one_line_a_row(lossmith):
    assert len(lossmith("list", "metrics").out.splitlines()) == len(METRICS) + 1


def test_losses_say_what_they_read_and_what_divides_them(lossmith):
    rows = {row["loss"]: row for row in json.loads(lossmith("list", "losses", "--json").out)}
    said = {name: (rows[name]["reads"], rows[name]["divided by"]) for name in ("focal", "class_cross_entropy", "huber")}
    assert said == {
        "focal": ("tokens: label_log_prob", "positions"),
        "class_cross_entropy": ("class head: logits, labels", "weights of the examples"),
        "huber": ("regression head: predictions, targets, present", "present values"),
    }
    assert "balanced | inverse | effective_number" in rows["class_cross_entropy"]["parameters"]


def test_presets_say_their_objective(lossmith):
    rows = {row["preset"]: row for row in json.loads(lossmith("list", "presets", "--json").out)}
    assert rows["recipes/sinkhorn"]["objective"] == "0.6 cross_entropy + 0.4 sinkhorn on ingredients"
    assert rows["recipes/sinkhorn"]["model"] == "Qwen/Qwen3-4B-Instruct-2507"
    assert all(row["about"] for row in rows.values())


def test_config_shows_missing_keys_and_leaves_with_0(lossmith):
    shown = lossmith("config", "causal")
    assert shown.code == 0
    values = yaml.safe_load(shown.out)
    assert values["data"]["files"] == "???"
    assert values["model"]["base"] == "???"
    assert lossmith("config", "recipes/dice").out.count("???") == 1


def test_config_prints_what_load_config_gives(lossmith, tmp_path: Path):
    overrides = [
        "objective.sinkhorn.weight=0.3",
        "train.learning_rate=1e-5",
        "model=scratch-tiny",
        "data.files=a.jsonl",
    ]
    shown = lossmith("config", "recipes/sinkhorn", *overrides)
    file = tmp_path / "shown.yaml"
    file.write_text(shown.out)
    assert load_config(file) == load_config("recipes/sinkhorn", overrides)
    assert json.loads(lossmith("config", "recipes/sinkhorn", *overrides, "--json").out) == yaml.safe_load(shown.out)


def test_provenance_names_the_layer_of_every_value(lossmith, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("defaults: [recipes/sinkhorn, {model: scratch-tiny}]\ntrain: {weight_decay: 0.1}\n")
    shown = lossmith("config", file, "objective.sinkhorn.weight=0.3", "--provenance").out
    lines = dict(line.split(" = ", 1) for line in shown.splitlines())
    assert lines["objective.sinkhorn.weight"] == "0.3  # override objective.sinkhorn.weight=0.3"
    assert lines["objective.cross_entropy"] == "0.6  # preset recipes/sinkhorn"
    assert lines["train.learning_rate"] == "0.003  # model=scratch-tiny"
    assert lines["train.weight_decay"] == f"0.1  # {file}"
    assert lines["seed"] == "0  # default"
    assert lines["data.files"].startswith("???")


def test_the_schema_is_a_json_schema_that_accepts_configurations(lossmith):
    schema = json.loads(lossmith("config", "--schema").out)
    assert schema["type"] == "object"
    assert {"model", "data", "objective", "train", "generate", "evaluate"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    described = schema["$defs"]["DataConfig"]["properties"]["max_length"]
    assert described["description"] == "tokens of a record"
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    for preset in preset_names():
        validator(schema).validate(load_config(preset).model_dump())
    with pytest.raises(jsonschema.ValidationError):
        validator(schema).validate({"trian": {}})


@pytest.mark.parametrize("preset", preset_names())
def test_init_writes_a_file_that_works_once_data_is_named(lossmith, preset: str):
    assert lossmith("init", preset, "--out", "mine.yaml").code == 0
    text = Path("mine.yaml").read_text()
    assert "???" in lossmith("config", "mine.yaml").out
    edited = text.replace("files: ???", "files: recipes.jsonl")
    assert edited != text
    Path("mine.yaml").write_text(edited)
    shown = lossmith("config", "mine.yaml")
    assert shown.code == 0
    expected = load_config(preset, ["data.files=recipes.jsonl", f"name={preset.replace('/', '-')}"])
    Path("shown.yaml").write_text(shown.out)
    assert load_config("shown.yaml") == expected


def test_what_init_comments_out_can_be_taken_in(lossmith):
    lossmith("init", "recipes/sinkhorn", "--out", "mine.yaml")
    text = Path("mine.yaml").read_text()
    start = text.index("# name: ")
    values = yaml.safe_load("".join(line.removeprefix("# ") + "\n" for line in text[start:].splitlines()))
    assert values["objective"] == {"cross_entropy": 0.6, "sinkhorn": {"weight": 0.4, "span": "ingredients"}}
    assert values["model"]["lora_r"] == 8


def test_init_names_the_file_after_the_preset_and_overwrites_nothing(lossmith):
    first = lossmith("init", "recipes/dice")
    assert "recipes-dice.yaml" in first.out
    kept = Path("recipes-dice.yaml").read_text()
    Path("recipes-dice.yaml").write_text(kept + "# mine\n")
    again = lossmith("init", "recipes/dice")
    assert again.code == 2
    assert "not overwritten" in again.err
    assert Path("recipes-dice.yaml").read_text() == kept + "# mine\n"


def test_quiet_init_says_nothing(lossmith):
    shown = lossmith("init", "causal", "--quiet")
    assert (shown.code, shown.out, shown.err) == (0, "", "")
    assert Path("causal.yaml").exists()


def test_a_term_on_the_command_line_is_added_to_the_default_objective():
    assert load_config("causal", ["objective.focal=0.2"]).objective == {"cross_entropy": 1.0, "focal": 0.2}
    assert load_config({"objective": {"focal": 0.2}}).objective == {"focal": 0.2}
