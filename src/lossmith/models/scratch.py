"""Scratch bases: small real architectures with random weights, built from a configuration and a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, unknown_name
from lossmith.models.class_head import ClassHead
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
DECODERS = ("qwen3", "llama")
ENCODERS = ("modernbert",)
ENCODER_DECODERS = ("t5",)
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


def build_scratch(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, seed: int, encoder_decoder: bool = False
) -> PreTrainedModel:
    """A language model with random weights in fp32 on the CPU, the same for the same seed.

    Its vocabulary is exactly the tokenizer's, and the output embedding is tied to the input embedding. The global seed
    is untouched.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    loader, names, told = (
        (AutoModelForSeq2SeqLM, ENCODER_DECODERS, "an encoder-decoder")
        if encoder_decoder
        else (AutoModelForCausalLM, DECODERS, "a causal model")
    )
    name = config.architecture or names[0]
    if name not in names:
        raise unknown_name(f"architecture of {told}", name, names, where="model.architecture")
    shape = _BUILDERS[name](size_of(config), tokenizer)
    model: PreTrainedModel = _from_config(loader, shape, config, seed=seed)
    generation: Any = model.generation_config
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    return model


def build_scratch_classifier(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, head: ClassHead, *, seed: int
) -> PreTrainedModel:
    """A model with a class head and random weights, as `build_scratch` makes one; an encoder unless told otherwise."""
    from transformers import AutoModelForSequenceClassification

    shape = _BUILDERS[config.architecture or ENCODERS[0]](size_of(config), tokenizer)
    shape.update(head.settings)
    model: PreTrainedModel = _from_config(AutoModelForSequenceClassification, shape, config, seed=seed)
    return model


def build_scratch_backbone(config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """A model of hidden states alone with random weights, an encoder unless told otherwise."""
    from transformers import AutoModel

    shape = _BUILDERS[config.architecture or ENCODERS[0]](size_of(config), tokenizer)
    model: PreTrainedModel = _from_config(AutoModel, shape, config, seed=seed)
    return model


def _from_config(loader: Any, shape: Any, config: ModelConfig, *, seed: int) -> Any:
    attention = {"attn_implementation": config.attn_implementation} if config.attn_implementation else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return loader.from_config(shape, dtype=torch.float32, **attention)


def _decoder(kind: str, size: Size, tokenizer: PreTrainedTokenizerBase) -> Any:
    import transformers

    heads = size.num_attention_heads
    return getattr(transformers, kind)(
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


def _t5(size: Size, tokenizer: PreTrainedTokenizerBase) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(
        "t5",
        vocab_size=len(tokenizer),
        d_model=size.hidden_size,
        d_kv=size.hidden_size // size.num_attention_heads,
        d_ff=size.intermediate_size,
        # Half of the layers on each side, so that the size is that of the other architectures.
        num_layers=max(1, size.num_hidden_layers // 2),
        num_decoder_layers=max(1, size.num_hidden_layers // 2),
        num_heads=size.num_attention_heads,
        dropout_rate=0.0,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )


def _modernbert(size: Size, tokenizer: PreTrainedTokenizerBase) -> Any:
    from transformers import ModernBertConfig

    return ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        # Its first matrix makes two of this width, one of which gates the other.
        intermediate_size=size.intermediate_size * 2 // 3,
        num_hidden_layers=size.num_hidden_layers,
        num_attention_heads=size.num_attention_heads,
        max_position_embeddings=MAX_POSITIONS,
        # From nothing, a mean learns sooner than the one state that has to gather everything.
        classifier_pooling="mean",
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )


_BUILDERS: Mapping[str, Callable[[Size, Any], Any]] = {
    "qwen3": partial(_decoder, "Qwen3Config"),
    "llama": partial(_decoder, "LlamaConfig"),
    "modernbert": _modernbert,
    "t5": _t5,
}
