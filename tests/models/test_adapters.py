"""LoRA: where it goes by family, what misspelt targets say, what trains and in which format."""

from __future__ import annotations

import pytest
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError
from lossmith.models.adapters import TARGETS, add_lora, count_parameters, linear_names, resolve_targets
from lossmith.models.hidden import input_embedding, verify_head

from .families import FAMILIES, build


def lora_names(model) -> set[str]:
    found = (name for name, _ in model.named_parameters() if "lora_A" in name)
    return {name.split(".lora_A")[0].rpartition(".")[2] for name in found}


@pytest.mark.parametrize("family", [family for family in FAMILIES if family in TARGETS])
def test_every_familys_targets_are_there(family):
    adapted = add_lora(build(family, tied=True), ModelConfig(base="x", lora_r=4))
    assert lora_names(adapted.model) == set(TARGETS[family])
    layers = sum("lora_A" in name for name, _ in adapted.model.named_parameters())
    assert layers >= 2 * len(TARGETS[family])


def test_qwen_takes_attention_and_llama_all_projections():
    assert TARGETS["qwen3"] == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert set(TARGETS["llama"]) == set(linear_names(build("llama", tied=True)))


def test_an_unknown_family_lists_its_layers():
    with pytest.raises(ConfigError, match="fc1, fc2, k_proj") as caught:
        resolve_targets(build("nanochat", tied=True), None)
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


def test_the_tied_head_cannot_be_a_target():
    with pytest.raises(ConfigError, match="tied to the input embedding"):
        resolve_targets(build("llama", tied=True), ["q_proj", "lm_head"])
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
    verify_head(adapted.model.train(), {"input_ids": ids})
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
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    config = Gemma3Config(
        text_config={
            "vocab_size": 97,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
    )
    model = Gemma3ForConditionalGeneration(config)
    adapted = add_lora(model, ModelConfig(base="x")).model
    names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
    assert names
    assert not [name for name in names if "vision" in name]
    ids = torch.arange(3, 13).reshape(2, 5)
    verify_head(adapted, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
