"""Language models from a hub name, a folder, an adapter or nothing, ready to train or predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError
from lossmith.models.adapters import add_lora, count_parameters, load_adapter, train_in_fp32
from lossmith.models.added_tokens import AddedTokens, add_tokens, give_rows
from lossmith.models.base_tokenizer import end_of_turn_ids, raw_tokenizer, require_end_token
from lossmith.models.precision import Precision
from lossmith.models.pretrained import (
    CAUSAL,
    SEQ2SEQ,
    Kind,
    check_rows,
    load_pretrained,
    prepared_for_4bit,
    refuse_4bit_scratch,
)
from lossmith.models.scratch import build_scratch
from lossmith.models.source import Source, find_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Loaded:
    """A model on its device, the ids that end its answers where it writes any, and the sentences that tell of it."""

    model: Any
    end_ids: tuple[int, ...]
    pad_id: int
    trainable: int
    total: int
    scratch: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_model(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    precision: Precision,
    seed: int = 0,
    training: bool = True,
    kind: Kind = CAUSAL,
) -> Loaded:
    """The configured model on its device, with its adapter when it is to train.

    `tokenizer` is `load_tokenizer`'s. Frozen weights take precision.dtype; what trains is fp32. An adapter folder
    gives its base with the adapter on it: training goes on with that adapter, or, with adapter=none, merges it and
    trains all weights. With training=False nothing is added and nothing requires a gradient.
    Raises InputError for a missing or unfit model, ConfigError for a target or quantisation that cannot be, and for a
    tokenizer without EOS.
    """
    require_end_token(tokenizer, str(config.base))
    lora = training and config.resolved_adapter == "lora"
    model, source, added = _base(kind, config, tokenizer, precision=precision, seed=seed, full=training and not lora)
    notes, warnings = [*added.notes], [*added.warnings]
    if training and config.load_in_4bit:
        model = prepared_for_4bit(model, lora)
    if source is not None and source.adapter is not None:
        model, told = load_adapter(model, source, config, training=training)
        notes += told
    elif lora:
        adapted = add_lora(model, config, token_ids=added.ids, scratch=config.is_scratch)
        model = adapted.model
        notes += adapted.notes
        warnings += adapted.warnings
    end_ids = end_of_turn_ids(tokenizer, getattr(model, "generation_config", None))
    done = finished(model, config, tokenizer, precision=precision, training=training, notes=notes, warnings=warnings)
    return replace(done, end_ids=end_ids, notes=(*done.notes, *_pad_note(tokenizer)))


def _base(
    kind: Kind,
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    precision: Precision,
    seed: int,
    full: bool,
) -> tuple[Any, Source | None, AddedTokens]:
    """The model without adapter, with a row for each token; `full` asks for fp32 weights."""
    if config.is_scratch:
        refuse_4bit_scratch(config)
        model: Any = build_scratch(config, tokenizer, seed=seed, encoder_decoder=kind is SEQ2SEQ)
        return model if full else model.to(precision.dtype), None, AddedTokens({})
    source = find_source(str(config.base), revision=config.revision)
    added = add_tokens(raw_tokenizer(config), config.add_tokens)
    model, info = load_pretrained(kind, config, source, precision=precision, full=full)
    _refuse_missing(sorted(info["missing_keys"]), source, kind)
    check_rows(model, tokenizer, added, source)
    give_rows(model, tokenizer, added)
    return model, source, added


def _refuse_missing(missing: list[str], source: Source, kind: Kind) -> None:
    if missing:
        raise InputError(
            f"{source.base} lacks weights of its {kind.told}: they would be random",
            got=f"missing: {', '.join(missing[:4])}" + (f" and {len(missing) - 4} more" if len(missing) > 4 else ""),
            expected=f"the checkpoint of {kind.expected}",
        )


def finished(
    model: Any,
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    precision: Precision,
    training: bool,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Loaded:
    """A model with its adapter, on its device: what trains is fp32, and all is frozen where nothing does."""
    lora = training and config.resolved_adapter == "lora"
    told = list(notes)
    if not training:
        _only_predict(model, precision.dtype)
    elif not lora and not config.freeze_backbone:
        model.requires_grad_(True)
    train_in_fp32(model)
    if not config.load_in_4bit:
        model = model.to(precision.device)
    trainable, total = count_parameters(model)
    if training and not lora:
        told.append(f"{f'{trainable:,} of' if config.freeze_backbone else 'all'} {total:,} parameters train")
    return Loaded(
        model=model,
        end_ids=(),
        pad_id=int(tokenizer.pad_token_id),
        trainable=trainable,
        total=total,
        scratch=config.is_scratch,
        notes=tuple(told),
        warnings=tuple(warnings),
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
