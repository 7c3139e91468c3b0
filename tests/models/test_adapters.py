"""LoRA: where it goes by family, what misspelt targets say, what trains and in which format."""

from __future__ import annotations

import pytest
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError
from lossmith.models.adapters import add_lora, count_parameters, linear_names, resolve_targets
from lossmith.models.families import FAMILIES
from lossmith.models.head_check import verify_head
from lossmith.models.heads import input_embedding

from .families import SHAPE, WORDS, build


def lora_names(model) -> set[str]:
    found = (name for name, _ in model.named_parameters() if "lora_A" in name)
    return {name.split(".lora_A")[0].rpartition(".")[2] for name in found}


def test_attention_alone_or_all_projections_by_family():
    attention = ("q_proj", "k_proj", "v_proj", "o_proj")
    for family in ("qwen2", "qwen3", "mistral", "smollm3", "gemma", "gemma2", "gemma3", "gemma3_text"):
        assert FAMILIES[family].targets == attention
    for family in ("llama", "stablelm"):
        assert set(FAMILIES[family].targets) == set(linear_names(build(family, tied=True)))
    assert set(FAMILIES["falcon"].targets) == set(linear_names(build("falcon", tied=True)))
    assert FAMILIES["t5"].targets == ("q", "k", "v", "o")


def test_an_unknown_family_lists_its_layers():
    from transformers import AutoConfig, AutoModelForCausalLM

    arcee = AutoModelForCausalLM.from_config(AutoConfig.for_model("arcee", **WORDS, **SHAPE))
    with pytest.raises(ConfigError, match="down_proj, k_proj") as caught:
        resolve_targets(arcee, None)
    assert "all-linear" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("q_proj", {"q_proj"}),
        (["q_proj", "down_proj"], {"q_proj", "down_proj"}),
        (r".*layers\.1.*(q|v)_proj", {"q_proj", "v_proj"}),
    ],
)
def test_explicit_targets(wanted, expected):
    adapted = add_lora(build("llama", tied=False), ModelConfig(base="x", lora_target_modules=wanted))
    assert lora_names(adapted.model) == expected


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (["q_proj", "v_prj"], r"did you mean 'v_proj'\?"),
        ("o_porj", r"did you mean 'o_proj'\?"),
        ("((", "all-linear"),
        (["mlp"], "'mlp' is a LlamaMLP"),
    ],
)
def test_a_misspelt_target_is_an_error_with_the_nearest(wanted, said):
    with pytest.raises(ConfigError, match=said):
        resolve_targets(build("llama", tied=False), wanted)


def test_names_that_cannot_train_whole():
    with pytest.raises(ConfigError, match="'shared' is held by several modules"):
        add_lora(build("t5", tied=True), ModelConfig(base="x", lora_modules_to_save=["shared"]))
    with pytest.raises(ConfigError, match="did you mean 'lm_head'"):
        add_lora(build("llama", tied=True), ModelConfig(base="x", lora_modules_to_save=["lmhead"]))


def test_numbers_of_lora_reach_peft_and_are_counted():
    config = ModelConfig(base="x", lora_r=4, lora_alpha=12, lora_dropout=0.25, lora_target_modules=["o_proj"])
    adapted = add_lora(build("llama", tied=True), config)
    own = adapted.model.peft_config["default"]
    assert (own.r, own.lora_alpha, own.lora_dropout, own.task_type) == (4, 12, 0.25, "CAUSAL_LM")
    trainable, total = count_parameters(adapted.model)
    assert trainable == 2 * 4 * (32 + 32)
    assert total == trainable + count_parameters(build("llama", tied=True))[1]
    assert f"{trainable:,} of {total:,}" in adapted.notes[-1]


def test_what_trains_is_fp32_and_the_rest_stays():
    model = build("llama", tied=False).to(torch.bfloat16)
    adapted = add_lora(model, ModelConfig(base="x", lora_modules_to_save=["lm_head"]), token_ids=[5]).model
    kinds = {(p.requires_grad, p.dtype) for p in adapted.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_dropout_leaves_lora_on_the_head_and_says_so(capsys):
    config = ModelConfig(base="x", lora_target_modules=["q_proj", "lm_head"], lora_dropout=0.5)
    adapted = add_lora(build("llama", tied=False), config)
    assert "without dropout" in adapted.notes[0]
    ids = torch.arange(3, 17).reshape(2, 7)
    assert verify_head(adapted.model.train(), {"input_ids": ids}).dense is None
    q_proj = adapted.model.get_base_model().model.layers[0].self_attn.q_proj
    assert q_proj.lora_dropout["default"].p == 0.5


@pytest.mark.parametrize("named", ["lm_head", "embed_tokens"])
def test_whole_copies_of_tied_embeddings_stay_tied(named):
    config = ModelConfig(base="x", lora_modules_to_save=[named])
    model = add_lora(build("llama", tied=True), config).model
    inner = model.get_base_model()
    trained = [p for name, p in model.named_parameters() if "modules_to_save" in name]
    assert len(trained) == 1
    torch.nn.init.normal_(trained[0])
    assert torch.equal(input_embedding(model), trained[0])
    assert torch.equal(inner.get_output_embeddings().weight, trained[0])


def test_towers_for_pictures_get_no_adapter():
    adapted = add_lora(build("gemma3", tied=True), ModelConfig(base="x")).model
    names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
    assert names
    assert not [name for name in names if "vision" in name]
