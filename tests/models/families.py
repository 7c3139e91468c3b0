"""Tiny models of many families, with what is expected of their heads."""

from __future__ import annotations

import torch
from torch import nn

VOCABULARY = 97
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
# Family: its own keys, the scale and the soft-cap expected of its head.
FAMILIES = {
    "qwen2": ({}, 1.0, None),
    "qwen3": ({"head_dim": 8}, 1.0, None),
    "llama": ({}, 1.0, None),
    "mistral": ({"head_dim": 8}, 1.0, None),
    "gemma": ({"head_dim": 8}, 1.0, None),
    "gemma2": ({"head_dim": 8, "final_logit_softcapping": 5.0}, 1.0, 5.0),
    "gemma3_text": ({"head_dim": 8, "final_logit_softcapping": 5.0}, 1.0, 5.0),
    "phi": ({}, 1.0, None),
    "phi3": ({}, 1.0, None),
    "gpt2": ({"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}, 1.0, None),
    "gpt_neox": ({}, 1.0, None),
    "falcon": ({}, 1.0, None),
    "stablelm": ({}, 1.0, None),
    "smollm3": ({}, 1.0, None),
    "granite": ({"logits_scaling": 8.0}, 0.125, None),
    "cohere": ({"logit_scale": 0.0625}, 0.0625, None),
    "cohere2": ({"logit_scale": 0.0625, "head_dim": 8}, 0.0625, None),
    "olmo": ({}, 1.0, None),
    "olmo2": ({}, 1.0, None),
    "nanochat": ({"final_logit_softcapping": 15.0}, 1.0, 15.0),
}


def build(family: str, *, tied: bool):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **SHAPE, **FAMILIES[family][0], tie_word_embeddings=tied)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def with_lora(model, **extra):
    from peft import LoraConfig, get_peft_model

    from lossmith.models.adapters import TARGETS, linear_names, quiet_peft

    targets = TARGETS.get(model.config.model_type, linear_names(model))
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=[*targets, *extra.pop("more", ())],
        init_lora_weights=False,
        fan_in_fan_out=model.config.model_type == "gpt2",
        **extra,
    )
    with quiet_peft():
        return get_peft_model(model, settings)
