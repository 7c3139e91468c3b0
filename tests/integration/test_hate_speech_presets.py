"""Every preset of hate speech on real posts, in a shrunken form; no post is repeated in what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lossmith
from lossmith.config.load import load_config

SHRUNK = (
    "model=scratch-tiny",
    "model.hidden_size=32",
    "model.num_hidden_layers=1",
    "model.num_attention_heads=2",
    "model.vocab_size=600",
    "data.fields={text: text, rationale: rationale_text, group: target_group_norm}",
    "data.label=label_binary",
    "data.group=target_group_norm",
    "data.keep=[label_multiclass]",
    "data.split={column: split}",
    "data.limit=120",
    "evaluate.limit=8",
    "generate.max_new_tokens=6",
    "tracking.report_to=[]",
)
STEPS = ("train.max_steps=2", "train.device=cpu", "train.max_eval_samples=8")
WRITING = {
    "lora": {"data.max_length": 512, "model.lora_r": 32, "train.num_train_epochs": 3.0},
    "qlora": {"model.load_in_4bit": True, "model.bnb_4bit_quant_type": "nf4", "model.bnb_4bit_use_double_quant": True},
    "high-capacity": {"model.lora_r": 64},
    "memory-efficient": {
        "data.max_length": 256,
        "train.per_device_train_batch_size": 2,
        "train.gradient_accumulation_steps": 8,
    },
    "quick": {"model.lora_r": 16, "train.num_train_epochs": 1.0, "train.early_stopping_patience": None},
}
SHARED = {
    "model.base": "Qwen/Qwen3-4B-Instruct-2507",
    "model.lora_r": 32,
    "model.lora_alpha": 32,
    "model.lora_dropout": 0.05,
    "model.lora_target_modules": ["q_proj", "v_proj"],
    "model.load_in_4bit": False,
    "train.learning_rate": 2e-4,
    "train.lr_scheduler_type": "cosine",
    "train.num_train_epochs": 3.0,
    "train.per_device_train_batch_size": 4,
    "train.gradient_accumulation_steps": 4,
    "train.warmup_steps": 0.05,
    "train.weight_decay": 0.01,
    "train.max_grad_norm": 1.0,
    "train.early_stopping_patience": 2,
    "train.early_stopping_threshold": "1%",
    "data.max_length": 512,
    "objective": {"cross_entropy": 1.0},
    "task.method": "json_answer",
}
ALL = (*WRITING, "prompted", "encoder")


@pytest.fixture(scope="module")
def run(workplace: Path, shared_data: Path) -> Callable[[str], Path]:
    """The run of a preset, carried out once."""
    posts = shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl"
    made: dict[str, Path] = {}

    def of(preset: str) -> Path:
        if preset not in made:
            own = [f"data.files={posts}", f"runs_dir={workplace / 'hate-speech'}"]
            trained = () if preset == "prompted" else STEPS
            made[preset] = lossmith.run(f"hate-speech/{preset}", [*SHRUNK, *own, *trained], quiet=True)
        return made[preset]

    return of


@pytest.mark.parametrize("preset", WRITING)
def test_values_are_those_that_are_documented(preset):
    config = load_config(f"hate-speech/{preset}")
    for path, expected in {**SHARED, **WRITING[preset]}.items():
        value = config
        for part in path.split("."):
            value = getattr(value, part)
        assert value == expected, path
    # A scratch base has a step of its own, and nothing to quantise.
    scratch = load_config(f"hate-speech/{preset}", ["model=scratch-tiny"])
    assert (scratch.train.learning_rate, scratch.model.load_in_4bit) == (3e-3, False)


def test_the_encoder_weighs_classes_by_their_rarity():
    config = load_config("hate-speech/encoder")
    assert config.objective == {"class_cross_entropy": {"weight": 1.0, "class_weight": "balanced"}}
    assert config.task.method == "head"


@pytest.mark.parametrize("preset", ALL)
def test_every_preset_runs_from_posts_to_a_report(run, preset):
    folder = run(preset)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n"] == 8
    assert metrics["metrics"]["f1_macro"]["n"] == 8
    assert metrics["groups"], "figures for each group"
    assert (folder / "report.html").stat().st_size > 10_000
    rows = pq.read_table(folder / "predictions" / "test.parquet").to_pylist()
    assert {row["label"] for row in rows} <= {"hate", "normal"}
    assert {"score.hate", "score.normal", "predicted", "group", "label_multiclass"} <= set(rows[0])
    assert ("confidence" in rows[0]) == (preset in WRITING)


def test_a_prompted_base_gives_every_post_a_score_of_every_class(run):
    for row in pq.read_table(run("prompted") / "predictions" / "test.parquet").to_pylist():
        assert row["error"] is None
        assert row["score.hate"] + row["score.normal"] == pytest.approx(1)
        assert row["prompt"].count("hate, normal") == 1


def test_answers_of_the_data_hold_what_the_posts_have(run):
    prepared = json.loads((run("lora") / "manifest.json").read_text())["data"]["folder"]
    rows = pq.read_table(Path(prepared) / "train.parquet").to_pylist()
    keys = {tuple(json.loads(row["target"])) for row in rows}
    assert keys == {
        ("classification", "reasoning", "protected_group"),
        ("classification", "protected_group"),
    }
    named = {span["name"] for row in rows for span in row["spans"]}
    assert named == {"classification", "reasoning", "rationale", "protected_group"}
    for row in rows:
        assert len(row["answers"]) == 2


def test_prompting_alone_is_compared_with_training_on_the_same_records(run):
    found = lossmith.compare([run("prompted"), run("lora")])
    assert found["n"] == 8


def test_columns_of_the_documented_names_need_no_mapping(tmp_path):
    rows = [
        {
            "text": f"post {n}",
            "label": ("kind", "cruel")[n % 2],
            "group": "ab"[n % 3 == 0],
            "rationale": ["post"] * (n % 2),
        }
        for n in range(60)
    ]
    file = tmp_path / "posts.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    own = [one for one in SHRUNK if not one.startswith(("data.", "evaluate."))]
    given = [*own, f"data.files={file}", f"runs_dir={tmp_path}", "evaluate.smallest_group=2"]
    folder = lossmith.run("hate-speech/prompted", given, quiet=True)
    assert set(json.loads((folder / "metrics.json").read_text())["groups"]) >= {"a", "b"}
    folder = lossmith.run("hate-speech/quick", [*given, *STEPS], quiet=True)
    targets = [json.loads(row["target"]) for row in pq.read_table(folder / "predictions" / "test.parquet").to_pylist()]
    assert {target.get("reasoning") for target in targets} == {None, "post"}
    assert {target["protected_group"] for target in targets} == {"a", "b"}


@pytest.mark.parametrize("preset", ["prompted", "lora"])
def test_what_the_model_sees_is_what_the_record_renders_to(run, command, preset):
    told = command("inspect", run(preset), "--split", "test", "--json")
    assert told.code == 0, told.err
    seen = json.loads(told.out)
    assert seen["disagreements"] == []
    assert seen["round_trip"]["ok"]


@pytest.mark.parametrize("strategy", ["short", "persona", "few-shot", "json"])
def test_every_strategy_prompts(workplace, shared_data, strategy, tmp_path):
    posts = shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl"
    own = [f"data.files={posts}", f"runs_dir={tmp_path}", f"task.strategy={strategy}", "evaluate.limit=3"]
    folder = lossmith.run("hate-speech/prompted", [*SHRUNK, *own], quiet=True)
    assert json.loads((folder / "metrics.json").read_text())["n"] == 3
