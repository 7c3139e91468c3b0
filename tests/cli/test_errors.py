"""Errors are one block that names the fix; a traceback comes with --debug alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lossmith.errors import ConfigError

SINKHORN = "recipes/sinkhorn"

TYPOS = [
    ("objectve.focal=1", "did you mean 'objective'?"),
    ("+objective.generalised_dice=0.2", "objective.generalized_dice"),
    ("objective.sinkhorn.blurr=0.1", "objective.sinkhorn.blur"),
    ("objective.sinkhorn.points=item", "items"),
    ("train.learning_rat=1e-4", "train.learning_rate"),
    ("train.eval_strategy=epochs", "epoch"),
    ("data.file=recipes.jsonl", "data.files"),
    ("data.max_len=200", "data.max_length"),
    ("data.truncation=dorp", "drop"),
    ("data.split.tset=0.2", "data.split.test"),
    ("model.lora_rr=4", "model.lora_r"),
    ("model=qwen3-4", "qwen3-4b"),
    ("model.architecture=quen3", "qwen3"),
    ("generate.max_new_token=3", "generate.max_new_tokens"),
    ("generate.temprature=0.7", "generate.temperature"),
    ("evaluate.metric=[rouge1]", "evaluate.metrics"),
    ("evaluate.metrics=[rouge11]", "rouge1"),
    ("evaluate.split=tests", "test"),
    ("tracking.report=[]", "tracking.report_to"),
    ("tracking.report_to=[tensorbord]", "tensorboard"),
    ("task.kin=causal", "task.kind"),
    ("task.kind=casual", "causal"),
    ("train.metric_for_best_model=rogue1", "'rouge1'"),
    ("train.metric_for_best_model=sinkhorm", "'sinkhorn'"),
    ("objective={self_adjusting_dice: 1}", "no measure of progress"),
    ("name=..", "no name of a folder"),
    ("data.fields={title: 1}", 'write "1", with the quotes'),
    ("name=a/b", "no name of a folder"),
    ("runs_dirr=x", "runs_dir"),
    ("sed=1", "seed"),
]


@pytest.mark.parametrize(("override", "meant"), TYPOS)
def test_a_typo_exits_2_and_names_what_was_meant(lossmith, override: str, meant: str):
    shown = lossmith("config", SINKHORN, override)
    assert shown.code == 2, shown.out
    assert shown.out == ""
    assert meant in shown.err
    _is_one_block(shown.err)


LATER = [
    ("train.optim=adamw_torc", "adamw_torch"),
    ("train.lr_scheduler_type=cosin", "cosine"),
    ("train.lr_scheduler_type=cosine_with_min_lr", "min_lr_rate"),
    ("train.lr_scheduler_kwargs={min_lr: 1}", "cannot be made"),
    ("tracking.report_to=[wandb]", "lossmith[track]"),
    ("train.hf={logging_dirr: x}", "train.hf.logging_dirr"),
    ("train.hf={torch_compil: true}", "torch_compile"),
    ("train.hf={learning_rate: 1}", "write train.learning_rate"),
    ("train.callbacks=[nothere.mine:Stop]", "nothere"),
    ("train.metric_for_best_model=length_ratio", "best at 1"),
    ("data.normalize=[unescape_htlm]", "unescape_html"),
    ("generate.temperature=0.7", "do_sample=true"),
    ("evaluate.metrics=['lossmith.metrics.text:exact_mtch']", "exact_match"),
    ("evaluate.baselines=[nearest_trian_record]", "nearest_training_record"),
    ("evaluate.require=['ingredient_f2 >= 0.3']", "ingredient_f1"),
    ("evaluate.require=['ingredient_f1 => 0.3']", "no rule"),
    ("objective.mine={loss: 'lossmith.losses.focal:focall'}", "focal"),
]


@pytest.mark.parametrize("verb", ["run", "train"])
@pytest.mark.parametrize(("override", "meant"), LATER)
def test_what_a_later_stage_looks_up_is_judged_before_anything_is_written(
    lossmith, verb: str, override: str, meant: str
):
    Path("recipes.jsonl").write_text('{"title": "Toast", "ingredients": ["bread"], "directions": ["Toast it."]}\n')
    shown = lossmith(verb, SINKHORN, "data.files=recipes.jsonl", "model=scratch-tiny", override)
    assert shown.code == 2
    assert meant in shown.err
    _is_one_block(shown.err)
    assert not Path("runs").exists()


@pytest.mark.parametrize("verb", ["config", "run", "train", "prepare", "init"])
def test_a_misspelt_preset_names_the_nearest(lossmith, verb: str):
    shown = lossmith(verb, "recipe/cross-entropy")
    assert shown.code == 2
    assert "did you mean 'recipes/cross-entropy'?" in shown.err
    _is_one_block(shown.err)


@pytest.mark.parametrize("verb", ["run", "train", "prepare"])
def test_an_incomplete_configuration_exits_2_and_says_what_to_add(lossmith, verb: str):
    shown = lossmith(verb, "causal")
    assert shown.code == 2
    assert "data.files and model.base" in shown.err
    assert "model=scratch-tiny" in shown.err
    _is_one_block(shown.err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "preset"], "did you mean 'presets'?"),
        (["predict", "runs/none"], "runs/none is not a run folder"),
        (["evaluate", "runs/none"], "not a run folder"),
        (["report", "runs/none"], "not a run folder"),
        (["compare", "a"], "two"),
        (["compare", "a", "b"], "a is not a run folder"),
        (["config", "nothere.yaml"], "neither a preset nor a file"),
        (["train", SINKHORN, "--resume", "--fresh", "model=scratch-tiny", "data.files=a"], "exclude each other"),
        (["prepare", SINKHORN, "model=scratch-tiny", "data.files=nothere.jsonl"], "nothere.jsonl"),
        (["config", SINKHORN, "train.learning_rate"], "key=value"),
        (["config", "."], "neither a preset nor a file"),
    ],
)
def test_what_the_user_got_wrong_exits_2(lossmith, arguments: list[str], said: str):
    shown = lossmith(*arguments)
    assert shown.code == 2
    assert said in shown.err
    assert shown.out == ""
    _is_one_block(shown.err)


def test_debug_shows_the_traceback_wherever_it_stands(lossmith, monkeypatch: pytest.MonkeyPatch):
    from lossmith.cli.app import main

    for arguments in (["--debug", "config", "causl"], ["config", "causl", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["lossmith", *arguments])
        with pytest.raises(ConfigError):
            main()


def test_work_that_fails_exits_1(lossmith, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("{}\n")
    (run / "manifest.json").write_text("{ half")
    shown = lossmith("evaluate", run)
    assert (run / "config.yaml").exists()
    assert shown.code in (1, 2)
    assert "manifest.json" in shown.err or "predictions" in shown.err
    _is_one_block(shown.err)


def _is_one_block(text: str) -> None:
    lines = text.rstrip("\n").split("\n")
    assert lines[0].startswith("error: ")
    assert all(line.startswith(("  ", "- ")) for line in lines[1:]), text
    assert "Traceback" not in text


def test_a_run_folder_given_as_a_configuration_is_told_where_its_own_lies(lossmith):
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/config.yaml").write_text("seed: 1\n")
    shown = lossmith("config", "runs/mine")
    assert shown.code == 2
    assert "runs/mine/config.yaml" in shown.err
    assert lossmith("config", "runs/mine/config.yaml").code == 0
