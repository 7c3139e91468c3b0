"""Tokenizers and causal models from a hub name, a folder, an adapter or nothing, ready to train or predict."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.adapters import add_lora, count_parameters, load_adapter, train_in_fp32
from lossmith.models.added_tokens import AddedTokens, add_tokens, give_rows
from lossmith.models.hidden import family_of
from lossmith.models.precision import DTYPES, Precision
from lossmith.models.scratch import build_scratch, scratch_vocab_size
from lossmith.models.source import Source, find_source, not_found
from lossmith.models.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokens that end a turn without being the tokenizer's EOS: they count where the chat template writes them.
_END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end_of_turn|>")


@dataclass(frozen=True)
class Loaded:
    """A model on its device, the ids that end its answers, and the sentences that tell how it was made."""

    model: Any
    end_ids: tuple[int, ...]
    pad_id: int
    trainable: int
    total: int
    scratch: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_tokenizer(
    config: ModelConfig, *, chat_template: str | None = None, texts: Callable[[], Iterable[str]] | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of the configured base, with `add_tokens` added; a scratch base's is trained on `texts()`.

    `chat_template` is what a scratch tokenizer carries; the file of `model.chat_template` replaces any. A tokenizer
    without pad token pads with EOS. Raises InputError where there is no such model, ConfigError where it has no EOS.
    """
    if config.is_scratch:
        if texts is None:
            raise InputError("the tokenizer of a scratch base is trained on text, and none was given", got=config.base)
        size = scratch_vocab_size(config)
        tokenizer: Any = train_tokenizer(texts(), vocab_size=size, chat_template=chat_template)
    else:
        tokenizer = _raw_tokenizer(config)
    if config.chat_template:
        tokenizer.chat_template = _read_template(config.chat_template)
    add_tokens(tokenizer, config.add_tokens)
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"the tokenizer of {config.base} has no EOS token, so an answer could never end",
            got=f"{type(tokenizer).__name__} without eos_token",
            expected="eos_token in its tokenizer_config.json",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_key(config: ModelConfig, *, chat_template: str | None = None) -> str:
    """What decides the tokenizer, for fingerprints: of a scratch base its recipe, of a loaded one its very content."""
    if config.is_scratch:
        own = _read_template(config.chat_template) if config.chat_template else chat_template
        parts = ["scratch bpe 1", str(scratch_vocab_size(config)), own or "", *config.add_tokens]
    else:
        tokenizer: Any = load_tokenizer(config)
        content = (
            tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else repr(sorted(tokenizer.get_vocab().items()))
        )
        parts = [content, repr(tokenizer.special_tokens_map), str(tokenizer.chat_template)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load_model(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    precision: Precision,
    seed: int = 0,
    training: bool = True,
) -> Loaded:
    """The configured model on its device, with its adapter when it is to train.

    `tokenizer` is `load_tokenizer`'s. Frozen weights take precision.dtype; what trains is fp32. An adapter folder
    gives its base with the adapter on it: training goes on with that adapter, or, with adapter=none, merges it and
    trains all weights. With training=False nothing is added and nothing requires a gradient.
    Raises InputError for a missing or unfit model, ConfigError for a target or quantisation that cannot be.
    """
    lora = training and config.resolved_adapter == "lora"
    model, source, added = _base(config, tokenizer, precision, seed=seed, full=training and not lora)
    notes, warnings = [*added.notes], [*added.warnings]
    if training and config.load_in_4bit:
        model = _prepared_for_4bit(model, lora)
    if source is not None and source.adapter is not None:
        model, told = load_adapter(model, source, config, training=training)
        notes += told
    elif lora:
        adapted = add_lora(model, config, token_ids=added.ids, scratch=config.is_scratch)
        model = adapted.model
        notes += adapted.notes
        warnings += adapted.warnings
    if not training:
        _only_predict(model, precision.dtype)
    elif not lora:
        model.requires_grad_(True)
    train_in_fp32(model)
    if not config.load_in_4bit:
        model = model.to(precision.device)
    trainable, total = count_parameters(model)
    if training and not lora:
        notes.append(f"all {total:,} parameters train")
    return Loaded(
        model=model,
        end_ids=end_of_turn_ids(tokenizer, getattr(model, "generation_config", None)),
        pad_id=int(tokenizer.pad_token_id),
        trainable=trainable,
        total=total,
        scratch=config.is_scratch,
        notes=(*notes, *_pad_note(tokenizer)),
        warnings=tuple(warnings),
    )


def _base(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, precision: Precision, *, seed: int, full: bool
) -> tuple[Any, Source | None, AddedTokens]:
    """The model without adapter, with a row for each token; `full` asks for fp32 weights."""
    if config.is_scratch:
        _refuse_4bit_scratch(config)
        model: Any = build_scratch(config, tokenizer, seed=seed)
        return model if full else model.to(precision.dtype), None, AddedTokens({})
    source = find_source(str(config.base), revision=config.revision)
    added = add_tokens(_raw_tokenizer(config), config.add_tokens)
    model = _pretrained(config, source, precision, full=full)
    _check_rows(model, tokenizer, added, source)
    give_rows(model, tokenizer, added)
    return model, source, added


def end_of_turn_ids(tokenizer: PreTrainedTokenizerBase, generation_config: Any = None) -> tuple[int, ...]:
    """Every id that ends an answer: EOS, those of the generation configuration, and the chat template's own end."""
    ids = [tokenizer.eos_token_id]
    more = getattr(generation_config, "eos_token_id", None)
    ids += more if isinstance(more, list | tuple) else [more]
    vocabulary = tokenizer.get_vocab()
    ids += [vocabulary[t] for t in _END_OF_TURN if t in vocabulary and t in str(tokenizer.chat_template or "")]
    return tuple(dict.fromkeys(int(i) for i in ids if i is not None))


def _raw_tokenizer(config: ModelConfig) -> Any:
    from transformers import AutoTokenizer

    source = find_source(str(config.base), revision=config.revision)
    places = [(source.name, source.revision), (source.base, source.base_revision)]
    for name, revision in dict.fromkeys(places):
        if source.adapter == name and not _holds_tokenizer(name):
            continue
        try:
            return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=config.trust_remote_code)
        except (OSError, ValueError, ImportError) as error:
            if not Path(name).is_dir():
                raise not_found(name, error) from error
            raise InputError(
                f"the tokenizer in {name} could not be read: {str(error).splitlines()[0]}",
                got=name,
                expected="tokenizer.json and tokenizer_config.json",
            ) from error
    raise not_found(source.base)


def _holds_tokenizer(adapter: str) -> bool:
    if Path(adapter).is_dir():
        return (Path(adapter) / "tokenizer_config.json").exists()
    from transformers.utils import cached_file

    return cached_file(adapter, "tokenizer_config.json", _raise_exceptions_for_missing_entries=False) is not None


def _read_template(name: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the chat template {name} could not be read: {error.strerror}",
            got=f"model.chat_template={name}",
            expected="a file that holds a Jinja chat template",
        ) from error


def _pretrained(config: ModelConfig, source: Source, precision: Precision, *, full: bool) -> Any:
    from transformers import AutoModelForCausalLM

    loader: Any = AutoModelForCausalLM
    options: dict[str, Any] = {
        "revision": source.base_revision,
        "trust_remote_code": config.trust_remote_code,
        # Master weights of full fine-tuning are fp32; left to itself transformers takes what the file holds.
        "dtype": torch.float32 if full else precision.dtype,
    }
    if config.attn_implementation:
        options["attn_implementation"] = config.attn_implementation
    if config.load_in_4bit:
        options |= _quantisation(config, precision)
    try:
        model, info = loader.from_pretrained(source.base, output_loading_info=True, **options)
    except (OSError, ImportError) as error:
        if not Path(source.base).is_dir():
            raise not_found(source.base, error) from error
        raise InputError(f"{source.base} could not be loaded: {str(error).splitlines()[0]}", got=source.base) from error
    except ValueError as error:
        raise InputError(
            f"{source.base} is no causal language model that can be loaded: {str(error).splitlines()[0]}",
            got=source.base,
            expected="a decoder-only model (encoder-decoders: task.kind=seq2seq)",
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            f"{source.base} lacks weights of a causal model: they would be random",
            got=f"missing: {', '.join(missing[:4])}" + (f" and {len(missing) - 4} more" if len(missing) > 4 else ""),
            expected="the checkpoint of a causal language model",
        )
    return model


def _quantisation(config: ModelConfig, precision: Precision) -> dict[str, Any]:
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
    )
    return {"quantization_config": quantisation, "device_map": {"": precision.device}}


def _refuse_4bit_scratch(config: ModelConfig) -> None:
    if config.load_in_4bit:
        raise ConfigError(
            "a scratch base has no trained weights to quantise", got="model.load_in_4bit=true", expected="false"
        )


def _prepared_for_4bit(model: Any, lora: bool) -> Any:
    from peft import prepare_model_for_kbit_training

    if not lora:
        raise ConfigError(
            "4-bit weights cannot train; an adapter on them can",
            got="model.load_in_4bit=true with model.adapter=none",
            expected="model.adapter=lora",
        )
    for module in model.modules():
        # On some CPUs bitsandbytes repacks weights at the first evaluation, and gradients are wrong from there on.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    # Checkpointing of activations is the trainer's to switch on.
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def _check_rows(model: Any, tokenizer: PreTrainedTokenizerBase, added: AddedTokens, source: Source) -> None:
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


def _only_predict(model: Any, dtype: torch.dtype) -> None:
    """Freeze, and bring what was trained in fp32 to the number format of the rest, so that no autocast is needed."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        if parameter.is_floating_point() and type(parameter).__name__ != "Params4bit":
            parameter.data = parameter.data.to(dtype)


def _pad_note(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    if tokenizer.pad_token_id != tokenizer.eos_token_id:
        return []
    return [f"padding uses the end token {tokenizer.eos_token!r}; the one that ends an answer is still learned"]
