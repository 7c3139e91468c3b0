"""A model's shape without its weights: to ask what it is, and how large, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.models.adapters import add_lora, quiet_peft
from lossmith.models.added_tokens import add_tokens, give_rows
from lossmith.models.base_tokenizer import raw_tokenizer
from lossmith.models.class_head import ClassHead
from lossmith.models.classifier import FEATURES, SEQUENCE, head_modules, pooling_of
from lossmith.models.features import freeze_backbone
from lossmith.models.four_bits import packed_weights
from lossmith.models.load import Loaded, finished
from lossmith.models.pooled import PooledClassifier
from lossmith.models.precision import Precision
from lossmith.models.pretrained import BACKBONE, CAUSAL, CLASSIFIER, SEQ2SEQ, Kind
from lossmith.models.scratch import build_scratch, build_scratch_backbone, build_scratch_classifier
from lossmith.models.source import Source, find_source, not_found

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

META = torch.device("meta")


def skeleton(kind: Kind, config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The base as `load_model` would load it, on the meta device: every parameter has its shape and no memory.

    Raises InputError where the base is not there.
    """
    with META:
        if config.is_scratch:
            return build_scratch(config, tokenizer, seed=0, encoder_decoder=kind is SEQ2SEQ)
        return _from_config(kind, config, find_source(str(config.base), revision=config.revision))


def training_skeleton(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, dtype: torch.dtype, kind: Kind = CAUSAL
) -> Loaded:
    """What `load_model` gives for training, on the meta device: with its adapter, and each weight in its number format.

    4-bit weights stand in `dtype` here. Raises InputError where the base is not there, ConfigError for an adapter that
    cannot go on it.
    """
    model = skeleton(kind, config, tokenizer)
    ids: list[int] = []
    if not config.is_scratch:
        with META:
            ids = _with_rows(model, config, tokenizer)
    adapted = _adapted(model, config, dtype=dtype, token_ids=ids)
    return finished(adapted, config, tokenizer, precision=Precision(META, dtype), training=True)


def classifier_skeleton(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, head: ClassHead, *, dtype: torch.dtype
) -> Loaded:
    """What `load_classifier` gives for training, on the meta device, as `training_skeleton`."""
    pooling, ids = pooling_of(config), list[int]()
    with META:
        if config.is_scratch and pooling is None:
            model: Any = build_scratch_classifier(config, tokenizer, head, seed=0)
        elif config.is_scratch:
            model = build_scratch_backbone(config, tokenizer, seed=0)
        else:
            source = find_source(str(config.base), revision=config.revision)
            kind, settings = (CLASSIFIER, head.settings) if pooling is None else (BACKBONE, {})
            model = _from_config(kind, config, source, **settings)
            ids = _with_rows(model, config, tokenizer)
    own = head_modules(model) if pooling is None else ()
    task_type = SEQUENCE if pooling is None else FEATURES
    model = _adapted(model, config, dtype=dtype, token_ids=ids, task_type=task_type, head=own)
    if pooling is not None:
        with META:
            model = PooledClassifier(model, pooling, head)
    if config.freeze_backbone:
        freeze_backbone(model, fresh=own)
    return finished(model, config, tokenizer, precision=Precision(META, dtype), training=True)


def _from_config(kind: Kind, config: ModelConfig, source: Source, **settings: Any) -> Any:
    import transformers

    try:
        shape = transformers.AutoConfig.from_pretrained(
            source.base,
            revision=source.base_revision,
            trust_remote_code=config.trust_remote_code,
            **settings,
        )
    except (OSError, ValueError) as error:
        raise not_found(source.base, error) from error
    attention = {"attn_implementation": config.attn_implementation} if config.attn_implementation else {}
    loader = getattr(transformers, kind.loader)
    return loader.from_config(shape, trust_remote_code=config.trust_remote_code, **attention)


def _with_rows(model: Any, config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Make room for the tokens of the configuration; their ids."""
    added = add_tokens(raw_tokenizer(config), config.add_tokens)
    give_rows(model, tokenizer, added)
    return added.ids


def _adapted(
    model: Any,
    config: ModelConfig,
    *,
    dtype: torch.dtype,
    token_ids: list[int],
    task_type: str | None = None,
    head: tuple[str, ...] = (),
) -> Any:
    """The base in its number format, and under the adapter that trains."""
    lora = config.resolved_adapter == "lora"
    model = model.to(dtype if lora or config.freeze_backbone else torch.float32)
    if not lora:
        return model
    source = None if config.is_scratch else find_source(str(config.base), revision=config.revision)
    model.requires_grad_(False)
    if config.load_in_4bit:
        packed = {id(weight) for weight in packed_weights(model)}
        for parameter in model.parameters():
            # What is not packed is widened, as peft does to train on it.
            parameter.data = parameter.data if id(parameter) in packed else parameter.data.float()
    with META:
        if source is not None and source.adapter is not None:
            return _with_saved(model, source)
        return add_lora(model, config, token_ids=token_ids, task_type=task_type, head=head).model


def _with_saved(model: Any, source: Source) -> Any:
    """The base under an adapter of the shape of a saved one, which trains on."""
    from peft import PeftConfig, get_peft_model

    assert source.adapter is not None
    settings = PeftConfig.from_pretrained(source.adapter, revision=source.adapter_revision)
    settings.inference_mode = False
    with quiet_peft():
        return get_peft_model(model, settings)
