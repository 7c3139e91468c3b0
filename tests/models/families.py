"""Tiny models of every family that is run, built from their configurations with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

VOCABULARY = 97
WORDS = {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GRANITE = {"logits_scaling": 8.0}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
BART = {
    "d_model": 32,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
    "max_position_embeddings": 64,
    "decoder_start_token_id": 0,
}
CAP = {"head_dim": 8, "final_logit_softcapping": 5.0}
PICTURES = {
    "text_config": WORDS | SHAPE | CAP | {"num_hidden_layers": 1},
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    },
    "mm_tokens_per_image": 4,
}
ATTENTION = ["full_attention", "full_attention"]
# Model: its own keys beside SHAPE (alone for encoder-decoders), and the scale and the soft-cap expected of its head. A
# name with a dash is another architecture of the family before it.
MODELS: Mapping[str, tuple[dict[str, Any], float, float | None]] = {
    "llama": ({}, 1.0, None),
    "stablelm": ({}, 1.0, None),
    "qwen2": ({}, 1.0, None),
    "qwen2_moe": (EXPERTS | {"shared_expert_intermediate_size": 16}, 1.0, None),
    "qwen3": ({"head_dim": 8}, 1.0, None),
    "qwen3_moe": (EXPERTS | {"head_dim": 8}, 1.0, None),
    "mistral": ({"head_dim": 8}, 1.0, None),
    "mixtral": ({"num_local_experts": 4}, 1.0, None),
    "ministral": ({"head_dim": 8}, 1.0, None),
    "smollm3": ({}, 1.0, None),
    "gemma": ({"head_dim": 8}, 1.0, None),
    "gemma2": (CAP, 1.0, 5.0),
    "gemma3": (PICTURES, 1.0, None),
    "gemma3_text": (CAP, 1.0, 5.0),
    "gemma3n_text": (
        CAP
        | {
            "num_kv_shared_layers": 0,
            "layer_types": ATTENTION,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": VOCABULARY,
            "activation_sparsity_pattern": None,
            "laurel_rank": 4,
        },
        1.0,
        5.0,
    ),
    "gemma4_text": (
        CAP
        | {
            "global_head_dim": 8,
            "num_kv_shared_layers": 0,
            "layer_types": ATTENTION,
            "hidden_size_per_layer_input": 0,
        },
        1.0,
        5.0,
    ),
    "vaultgemma": (CAP, 1.0, 5.0),
    "recurrent_gemma": (
        {"logits_soft_cap": 5.0, "lru_width": 32, "block_types": ["recurrent", "attention"]},
        1.0,
        5.0,
    ),
    "phi": ({}, 1.0, None),
    "phi3": ({}, 1.0, None),
    "falcon": ({}, 1.0, None),
    "falcon-new": ({"new_decoder_architecture": True, "num_kv_heads": 2}, 1.0, None),
    "falcon_h1": (
        {
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_n_groups": 1,
            "head_dim": 8,
            "lm_head_multiplier": 0.25,
        },
        0.25,
        None,
    ),
    "gpt2": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}, 1.0, None),
    "gpt_neox": ({}, 1.0, None),
    "gpt_oss": ({"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2}, 1.0, None),
    "bloom": ({"n_layer": 2, "n_head": 4}, 1.0, None),
    "opt": ({"ffn_dim": 48, "word_embed_proj_dim": 32}, 1.0, None),
    "mpt": ({"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64}, 1.0, None),
    "starcoder2": ({}, 1.0, None),
    "granite": (GRANITE, 0.125, None),
    "granite_swa": (GRANITE, 0.125, None),
    "granitemoe": (GRANITE | {"num_local_experts": 4}, 0.125, None),
    "granitemoe_swa": (GRANITE | {"num_local_experts": 4}, 0.125, None),
    "granitemoeshared": (GRANITE | {"num_local_experts": 4, "shared_intermediate_size": 16}, 0.125, None),
    "granitemoehybrid": (
        GRANITE
        | {
            "num_local_experts": 4,
            "shared_intermediate_size": 16,
            "layer_types": ["attention", "attention"],
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
        },
        0.125,
        None,
    ),
    "hyperclovax": ({"logits_scaling": 0.125, "head_dim": 8}, 0.125, None),
    "cohere": ({"logit_scale": 0.0625}, 0.0625, None),
    "cohere2": ({"logit_scale": 0.0625, "head_dim": 8}, 0.0625, None),
    "cohere2_moe": (EXPERTS | {"logit_scale": 0.0625, "head_dim": 8}, 0.0625, None),
    "olmo": ({}, 1.0, None),
    "olmo2": ({}, 1.0, None),
    "olmo3": ({}, 1.0, None),
    "nanochat": ({"final_logit_softcapping": 15.0}, 1.0, 15.0),
    "t5": (T5, 1.0, None),
    "mt5": (T5, 1.0, None),
    "umt5": (T5, 1.0, None),
    "bart": (BART, 1.0, None),
    "mbart": (BART, 1.0, None),
    "pegasus": (BART, 1.0, None),
    "marian": (BART, 1.0, None),
}
_T5_LIKE = ("t5", "mt5", "umt5")
ENCODER_DECODERS = (*_T5_LIKE, "bart", "mbart", "pegasus", "marian")
# What AutoConfig of an older transformers does not know is not run there.


def family(model: str) -> str:
    return model.partition("-")[0]


def configuration(model: str, *, tied: bool):
    from transformers import AutoConfig

    own = MODELS[model][0]
    if model == "gemma3":
        return AutoConfig.for_model("gemma3", **own, tie_word_embeddings=tied)
    shape = {} if model in ENCODER_DECODERS else SHAPE
    # Checkpoints with an output layer of their own say so here, and T5 then leaves its states unscaled.
    return AutoConfig.for_model(family(model), **(WORDS | shape | own | {"tie_word_embeddings": tied}))


def build(model: str, *, tied: bool):
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    maker = AutoModelForSeq2SeqLM if model in ENCODER_DECODERS else AutoModelForCausalLM
    torch.manual_seed(0)
    built = maker.from_config(configuration(model, tied=tied), dtype=torch.float32)
    if model in _T5_LIKE and not tied:
        # As loading does with a checkpoint whose output layer differs from the embedding.
        built.lm_head.weight = nn.Parameter(torch.empty_like(built.lm_head.weight))
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    if getattr(built, "final_logits_bias", None) is not None:
        nn.init.normal_(built.final_logits_bias, std=0.3)
    return built


def batch_for(model: str) -> dict[str, Tensor]:
    """Two ragged examples; `decoder_input_ids` where the model is an encoder-decoder."""
    ids = torch.arange(3, 17).reshape(2, 7)
    attention = torch.ones_like(ids)
    attention[1, 5:] = 0
    batch = {"input_ids": ids, "attention_mask": attention}
    if model in ENCODER_DECODERS:
        batch["decoder_input_ids"] = torch.arange(40, 50).reshape(2, 5)
    return batch


def with_lora(model, *, more: tuple[str, ...] = (), targets: list[str] | None = None, **extra):
    """LoRA with random matrices on the family's targets, by peft itself."""
    from peft import LoraConfig, get_peft_model

    from lossmith.models.adapters import linear_names, quiet_peft
    from lossmith.models.families import FAMILIES

    own = FAMILIES[model.config.model_type].targets if model.config.model_type in FAMILIES else linear_names(model)
    settings = LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        target_modules=[*(own if targets is None else targets), *more],
        init_lora_weights=False,
        fan_in_fan_out=model.config.model_type == "gpt2",
        **extra,
    )
    with quiet_peft():
        return get_peft_model(model, settings)
