"""A model's shape without its weights: to ask what it is, and how large, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.models.pretrained import SEQ2SEQ, Kind
from lossmith.models.scratch import build_scratch
from lossmith.models.source import find_source, not_found

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def skeleton(kind: Kind, config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The base as `load_model` would load it, on the meta device: every parameter has its shape and no memory.

    Raises InputError where the base is not there.
    """
    import transformers

    with torch.device("meta"):
        if config.is_scratch:
            return build_scratch(config, tokenizer, seed=0, encoder_decoder=kind is SEQ2SEQ)
        source = find_source(str(config.base), revision=config.revision)
        try:
            shape = transformers.AutoConfig.from_pretrained(
                source.base, revision=source.base_revision, trust_remote_code=config.trust_remote_code
            )
        except (OSError, ValueError) as error:
            raise not_found(source.base, error) from error
        return getattr(transformers, kind.loader).from_config(shape, trust_remote_code=config.trust_remote_code)
