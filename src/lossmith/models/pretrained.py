"""Weights of a loaded base, whole or in 4 bits, and what to say where they do not fit."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.added_tokens import AddedTokens
from lossmith.models.four_bits import keep_one_layout
from lossmith.models.hidden import family_of
from lossmith.models.precision import DTYPES, Precision
from lossmith.models.scratch import ENCODER_DECODERS
from lossmith.models.source import Source, find_source, not_found

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Kind:
    """A kind of model: transformers' class for it, and how it is called where a base is of another kind."""

    loader: str
    told: str
    expected: str


CAUSAL = Kind(
    "AutoModelForCausalLM", "causal language model", "a decoder-only model (encoder-decoders: task.kind=seq2seq)"
)
SEQ2SEQ = Kind("AutoModelForSeq2SeqLM", "encoder-decoder", "a T5, a BART or their kin")
CLASSIFIER = Kind(
    "AutoModelForSequenceClassification", "model that can classify", "an encoder or a decoder with a class head"
)
BACKBONE = Kind("AutoModel", "model of hidden states", "an encoder or a decoder")


def is_encoder_decoder(config: ModelConfig) -> bool:
    """Whether the base of a text-to-text task reads with one stack of layers and writes with another.

    Raises InputError where it is not there, or no model that transformers knows.
    """
    from transformers import AutoConfig

    if config.is_scratch:
        return config.architecture is None or config.architecture in ENCODER_DECODERS
    source = find_source(str(config.base), revision=config.revision)
    try:
        known = AutoConfig.from_pretrained(
            source.base, revision=source.base_revision, trust_remote_code=config.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise not_found(source.base, error) from error
    return bool(known.is_encoder_decoder)


def load_pretrained(
    kind: Kind, config: ModelConfig, source: Source, *, precision: Precision, full: bool, **more: Any
) -> tuple[Any, Mapping[str, Any]]:
    """The model at a source, and what transformers tells of its weights; `full` asks for fp32 weights.

    `more` goes to `from_pretrained`. Raises InputError where it is not there, or of another kind.
    """
    import transformers
    from safetensors import SafetensorError

    loader: Any = getattr(transformers, kind.loader)
    options: dict[str, Any] = {
        "revision": source.base_revision,
        "trust_remote_code": config.trust_remote_code,
        # Master weights of full fine-tuning are fp32; left to itself transformers takes what the file holds.
        "dtype": torch.float32 if full else precision.dtype,
    }
    if config.attn_implementation:
        options["attn_implementation"] = config.attn_implementation
    if config.load_in_4bit:
        options |= _quantisation(config, precision, skipped=more.pop("unquantised", None))
    try:
        model, info = loader.from_pretrained(source.base, output_loading_info=True, **options, **more)
    except SafetensorError as error:
        raise InputError(
            f"the weights of {source.base} are damaged: {str(error).splitlines()[0]}",
            got=source.base,
            expected="whole files of safetensors",
            fix="copy or download them again, or train anew",
        ) from error
    except (OSError, ImportError) as error:
        if not Path(source.base).is_dir():
            raise not_found(source.base, error) from error
        raise InputError(f"{source.base} could not be loaded: {str(error).splitlines()[0]}", got=source.base) from error
    except ValueError as error:
        raise InputError(
            f"{source.base} is no {kind.told} that can be loaded: {str(error).splitlines()[0]}",
            got=source.base,
            expected=kind.expected,
        ) from error
    if config.load_in_4bit:
        keep_one_layout(model)
    return model, info


def _quantisation(config: ModelConfig, precision: Precision, *, skipped: list[str] | None) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            "4-bit weights need bitsandbytes, which is not installed",
            got="model.load_in_4bit=true",
            expected="the extra 'quant'",
            fix="pip install 'lossmith[quant]', or model.load_in_4bit=false",
        )
    compute = DTYPES[config.bnb_4bit_compute_dtype] if config.bnb_4bit_compute_dtype else precision.dtype
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=config.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=skipped,
    )
    return {"quantization_config": quantisation, "device_map": {"": precision.device}}


def refuse_4bit_scratch(config: ModelConfig) -> None:
    """Raise ConfigError for random weights in 4 bits."""
    if config.load_in_4bit:
        raise ConfigError(
            "a scratch base has no trained weights to quantise", got="model.load_in_4bit=true", expected="false"
        )


def prepared_for_4bit(model: Any, lora: bool) -> Any:
    """A 4-bit model made ready to carry an adapter; raises ConfigError without one."""
    from peft import prepare_model_for_kbit_training

    if not lora:
        raise ConfigError(
            "4-bit weights cannot train; an adapter on them can",
            got="model.load_in_4bit=true with model.adapter=none",
            expected="model.adapter=lora",
        )
    # Checkpointing of activations is the trainer's to switch on.
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def check_rows(model: Any, tokenizer: PreTrainedTokenizerBase, added: AddedTokens, source: Source) -> None:
    """Raise InputError where the tokenizer knows more tokens than the embedding has rows."""
    rows = model.get_input_embeddings().weight.shape[0]
    known = len(tokenizer) - len(added.ids)
    if known <= rows or source.adapter is not None:
        return
    raise InputError(
        f"the tokenizer is larger than the embedding of this {family_of(model)} model",
        got=f"{known} tokens, {rows} rows",
        expected="a row for each token",
        fix="use the model's own tokenizer; new tokens go into model.add_tokens, which makes rows for them",
    )
