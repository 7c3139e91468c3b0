"""LoRA runs on bases that were saved here as any checkpoint is; the adapter loads with plain peft."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import lossmith
from lossmith.errors import ConfigError, InputError
from tests.integration.conftest import SHRUNK
from tests.integration.plain_loading import same_answers

ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP = {"gate_proj", "up_proj", "down_proj"}


@pytest.fixture(scope="session")
def base(workplace: Path, recipes: Path) -> Callable[[str], Path]:
    """A tiny base of a family with a tokenizer of its own, as `save_pretrained` writes it."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = _save_base(family, workplace / "bases" / family, recipes)
        return made[family]

    return of


def _save_base(family: str, folder: Path, recipes: Path) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from lossmith.data.chat_template import CHAT_TEMPLATE
    from lossmith.models.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(recipes.read_text().splitlines()[:80], vocab_size=600, chat_template=CHAT_TEMPLATE)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        tie_word_embeddings=family == "qwen3",
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def lora(tmp_path: Path, recipes: Path, base) -> Callable[..., list[str]]:
    """Overrides of a small run on a base of that family."""

    def make(family: str, *more: str, name: str = "lora") -> list[str]:
        shrunk = [one for one in SHRUNK if not one.startswith("model")]
        own = [f"data.files={recipes}", f"runs_dir={tmp_path / 'runs'}", f"name={name}", "~model.lora_target_modules"]
        return [*shrunk, f"model.base={base(family)}", *own, *more]

    return make


def _adapter(run: Path) -> dict:
    return json.loads((run / "model" / "adapter_config.json").read_text())


@pytest.mark.parametrize(("family", "targets"), [("qwen3", ATTENTION), ("llama", ATTENTION | MLP)])
def test_targets_go_by_family(lora, family: str, targets: set[str]):
    run = lossmith.train("recipes/cross-entropy", lora(family), quiet=True).path
    adapter = _adapter(run)
    assert set(adapter["target_modules"]) == targets
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (8, 16, 0.05)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["model"]["family"] == family
    assert manifest["model"]["adapter"] == "lora"
    assert 0 < manifest["model"]["trainable_parameters"] < manifest["model"]["parameters"]


def test_all_linear_takes_every_projection(lora):
    run = lossmith.train(
        "recipes/cross-entropy", lora("qwen3", "model.lora_target_modules=all-linear", "train.max_steps=1"), quiet=True
    ).path
    assert {path.rpartition(".")[2] for path in _adapter(run)["target_modules"]} == ATTENTION | MLP


def test_named_targets_are_those_alone(lora):
    run = lossmith.train(
        "recipes/cross-entropy",
        lora("llama", "model.lora_target_modules=[q_proj, v_proj]", "train.max_steps=1"),
        quiet=True,
    ).path
    assert set(_adapter(run)["target_modules"]) == {"q_proj", "v_proj"}


def test_a_misspelt_target_names_the_nearest(lora):
    with pytest.raises(ConfigError, match="no linear layer is named 'q_porj'") as caught:
        lossmith.train("recipes/cross-entropy", lora("qwen3", "model.lora_target_modules=[q_porj]"), quiet=True)
    assert caught.value.fix == "did you mean 'q_proj'?"


def test_a_base_that_is_not_there_is_told_with_what_was_tried(lora, base):
    near = str(base("qwen3")).replace("qwen3", "qwen33")
    with pytest.raises(InputError, match="was not found") as caught:
        lossmith.train("recipes/cross-entropy", lora("qwen3", f"model.base={near}"), quiet=True)
    assert "qwen3'" in (caught.value.fix or "")


ADAPTED = """
assert model.peft_config["default"].peft_type == "LORA"
assert any(value.abs().sum() > 0 for name, value in model.state_dict().items() if "lora_B" in name)
"""


def test_the_adapter_loads_and_generates_the_same_with_plain_peft(lora):
    run = lossmith.run("recipes/sinkhorn", lora("qwen3", "train.learning_rate=0.01"), quiet=True)
    assert not (run / "model" / "model.safetensors").exists()
    same = same_answers(run, library="peft", loader="AutoPeftModelForCausalLM", check=ADAPTED)
    assert same == [True, True, True]


def test_an_adapter_is_the_start_of_another_run(lora):
    first = lossmith.train("recipes/cross-entropy", lora("qwen3", "train.learning_rate=0.01"), quiet=True)
    second = lossmith.train(
        "recipes/cross-entropy",
        lora("qwen3", f"train.init_from={first.path}", "train.learning_rate=1e-9", name="second"),
        quiet=True,
    )
    assert second.history["eval_loss"][-1] == pytest.approx(first.history["eval_loss"][-1], rel=1e-4)


def test_the_base_itself_is_evaluated_where_nothing_is_trained(lora, base):
    given = [one for one in lora("qwen3", "model.adapter=none", name="base") if not one.startswith("train.")]
    run = lossmith.run("recipes/cross-entropy", [*given, "train=null"], quiet=True)
    assert not (run / "model").exists()
    assert json.loads((run / "metrics.json").read_text())["n"] == 6
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert set(manifest["stages"]) == {"prepare", "predict.test", "evaluate", "report"}
