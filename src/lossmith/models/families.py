"""What is known of each model family: what follows its output layer, where LoRA goes, and whether it was run here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
_QKV_OUT = ("q_proj", "k_proj", "v_proj", "out_proj")
_GATED = ("gate_proj", "up_proj", "down_proj")
_FUSED = ("query_key_value", "dense")
_T5 = ("q", "k", "v", "o")


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    `targets`: the modules that LoRA goes on when none are named; empty where nobody has settled them. `multiplied`,
    `divided`, `capped`: the configuration key whose value the family multiplies its logits with, divides them by, or
    caps them at. `run`: whether the tests build it tiny from its configuration, tied and untied, with and without
    LoRA, and hold the engine's logits equal to its own.
    """

    targets: tuple[str, ...] = ()
    multiplied: str | None = None
    divided: str | None = None
    capped: str | None = None
    run: bool = True

    @property
    def tail(self) -> str:
        """What follows the output layer, in words; empty where nothing does.

        >>> FAMILIES["granite"].tail, FAMILIES["llama"].tail
        ('divided by logits_scaling', '')
        """
        told = (("times", self.multiplied), ("divided by", self.divided), ("capped at", self.capped))
        return ", ".join(f"{how} {key}" for how, key in told if key is not None)


# By `model_type`. Attention alone where that is what people train; every projection of a layer for Llama and StableLM.
FAMILIES: Mapping[str, Family] = {
    "llama": Family((*_QKVO, *_GATED)),
    "stablelm": Family((*_QKVO, *_GATED)),
    "qwen2": Family(_QKVO),
    "qwen2_moe": Family(_QKVO),
    "qwen3": Family(_QKVO),
    "qwen3_moe": Family(_QKVO),
    "mistral": Family(_QKVO),
    "mixtral": Family(_QKVO),
    "ministral": Family(_QKVO),
    "smollm3": Family(_QKVO),
    "gemma": Family(_QKVO),
    "gemma2": Family(_QKVO, capped="final_logit_softcapping"),
    "gemma3": Family(_QKVO),
    "gemma3_text": Family(_QKVO, capped="final_logit_softcapping"),
    "gemma3n": Family(_QKVO, capped="final_logit_softcapping", run=False),
    "gemma3n_text": Family(_QKVO, capped="final_logit_softcapping"),
    "gemma4": Family(_QKVO, capped="final_logit_softcapping", run=False),
    "gemma4_text": Family(_QKVO, capped="final_logit_softcapping"),
    "vaultgemma": Family(_QKVO, capped="final_logit_softcapping"),
    "recurrent_gemma": Family(_QKVO, capped="logits_soft_cap"),
    "phi": Family(("q_proj", "k_proj", "v_proj", "dense")),
    "phi3": Family(("qkv_proj", "o_proj")),
    "falcon": Family((*_FUSED, "dense_h_to_4h", "dense_4h_to_h")),
    "falcon_h1": Family(_QKVO, multiplied="lm_head_multiplier"),
    "gpt2": Family(("c_attn", "c_proj", "c_fc")),
    "gpt_neox": Family(_FUSED),
    "gpt_oss": Family(_QKVO),
    "bloom": Family(_FUSED),
    "opt": Family(_QKV_OUT),
    "mpt": Family(("Wqkv", "out_proj")),
    "starcoder2": Family(_QKVO),
    "granite": Family(_QKVO, divided="logits_scaling"),
    "granite_swa": Family(_QKVO, divided="logits_scaling"),
    "granitemoe": Family(_QKVO, divided="logits_scaling"),
    "granitemoe_swa": Family(_QKVO, divided="logits_scaling"),
    "granitemoeshared": Family(_QKVO, divided="logits_scaling"),
    "granitemoehybrid": Family(_QKVO, divided="logits_scaling"),
    "hyperclovax": Family(_QKVO, multiplied="logits_scaling"),
    "cohere": Family(_QKVO, multiplied="logit_scale"),
    "cohere2": Family(_QKVO, multiplied="logit_scale"),
    "cohere2_moe": Family(_QKVO, multiplied="logit_scale"),
    "olmo": Family(_QKVO),
    "olmo2": Family(_QKVO),
    "olmo3": Family(_QKVO),
    "nanochat": Family(_QKVO, capped="final_logit_softcapping"),
    # Encoder-decoders.
    "t5": Family(_T5),
    "mt5": Family(_T5),
    "umt5": Family(_T5),
    "bart": Family(_QKV_OUT),
    "mbart": Family(_QKV_OUT),
    "pegasus": Family(_QKV_OUT),
    "marian": Family(_QKV_OUT),
}

_QKV = ("query", "key", "value")
# Encoders, by `model_type`: the modules of their attention that LoRA goes on when none are named.
ENCODERS: Mapping[str, tuple[str, ...]] = {
    "albert": _QKV,
    "bert": _QKV,
    "camembert": _QKV,
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "key_proj", "value_proj"),
    "distilbert": ("q_lin", "k_lin", "v_lin"),
    "electra": _QKV,
    "modernbert": ("Wqkv",),
    "mpnet": ("q", "k", "v"),
    "roberta": _QKV,
    "xlm-roberta": _QKV,
}


def families_run() -> tuple[str, ...]:
    """The families that the tests build and compare, by name.

    >>> "qwen3" in families_run(), "gemma3n" in families_run()
    (True, False)
    """
    return tuple(sorted(name for name, row in FAMILIES.items() if row.run))


def families_not_run() -> tuple[str, ...]:
    """Families of which the table knows something that no test has seen.

    >>> "gemma4" in families_not_run()
    True
    """
    return tuple(sorted(name for name, row in FAMILIES.items() if not row.run))
