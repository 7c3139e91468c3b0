"""Scratch bases: small real architectures with random weights, built from a configuration and a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, unknown_name
from lossmith.models.tokenizer import special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Size:
    """Shape of a scratch base; each entry gives way to the configuration's key of the same name."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int


SIZES: Mapping[str, Size] = {
    # About 1 M and 10 M parameters beside the embeddings.
    "scratch-tiny": Size(4096, 128, 512, 4, 4),
    "scratch-small": Size(8192, 384, 1024, 6, 6),
}
ARCHITECTURES = ("qwen3", "llama")
MAX_POSITIONS = 4096


def scratch_vocab_size(config: ModelConfig) -> int:
    """Tokens that the tokenizer of this scratch base is trained to.

    >>> scratch_vocab_size(ModelConfig(base="scratch-tiny", vocab_size=512))
    512
    """
    return config.vocab_size or size_of(config).vocab_size


def size_of(config: ModelConfig) -> Size:
    """The shape of a scratch base after the configuration's own keys; proportions follow a given width.

    Raises InputError for an unknown base, ConfigError for a width that the attention heads cannot share.
    """
    named = SIZES.get(str(config.base))
    if named is None:
        raise unknown_name("scratch base", str(config.base), SIZES, where="model.base")
    width = config.hidden_size or named.hidden_size
    head_width = named.hidden_size // named.num_attention_heads
    heads = config.num_attention_heads or max(1, width // head_width)
    if width % heads or (width // heads) % 2:
        fitting = [n for n in range(1, width // 2 + 1) if width % n == 0 and (width // n) % 2 == 0]
        raise ConfigError(
            "the attention heads do not share the width evenly",
            got=f"model.hidden_size={width}, {heads} heads",
            expected="an even width a head" + (f": model.num_attention_heads among {fitting}" if fitting else ""),
            fix=f"model.hidden_size={max(1, round(width / head_width)) * head_width}",
        )
    # A multiple of 8 keeps matrix products on their fast path.
    inner = max(8, round(width * named.intermediate_size / named.hidden_size / 8) * 8)
    return Size(
        vocab_size=config.vocab_size or named.vocab_size,
        hidden_size=width,
        intermediate_size=config.intermediate_size or inner,
        num_hidden_layers=config.num_hidden_layers or named.num_hidden_layers,
        num_attention_heads=heads,
    )


def check_scratch(config: ModelConfig, *, chat_template: str | None) -> None:
    """Judge the sizes of a scratch base before anything is prepared for it.

    Raises InputError or ConfigError as building it, or training its tokenizer, would.
    """
    special_tokens(chat_template, vocab_size=size_of(config).vocab_size)


def build_scratch(config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """A causal model with random weights in fp32 on the CPU, the same for the same seed; the global seed is untouched.

    Its vocabulary is exactly the tokenizer's, and the output embedding is tied to the input embedding.
    """
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            _architecture(config, tokenizer),
            dtype=torch.float32,
            **({"attn_implementation": config.attn_implementation} if config.attn_implementation else {}),
        )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _architecture(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> Any:
    from transformers import LlamaConfig, Qwen3Config

    classes = dict(zip(ARCHITECTURES, (Qwen3Config, LlamaConfig), strict=True))
    name = config.architecture or ARCHITECTURES[0]
    if name not in classes:
        raise unknown_name("architecture", name, ARCHITECTURES, where="model.architecture")
    size = size_of(config)
    heads = size.num_attention_heads
    return classes[name](
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.num_hidden_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else heads,
        head_dim=size.hidden_size // heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
