"""Sources to tokenised rows: the data room's work with the model's tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lossmith.config.load import require_complete
from lossmith.config.schema import Config
from lossmith.data.chat_template import CHAT_TEMPLATE
from lossmith.data.prepare import Prepared, prepare_data
from lossmith.models.load import load_tokenizer
from lossmith.models.scratch import scratch_vocab_size
from lossmith.models.tokenizer import train_tokenizer


def tokenizer_key(config: Config) -> str:
    """What decides the tokenizer, as a part of the fingerprint."""
    model = config.model
    if model.is_scratch:
        return f"scratch bpe {scratch_vocab_size(model)} {model.add_tokens} {model.chat_template}"
    return f"{model.base} {model.revision} {model.add_tokens} {model.chat_template}"


def tokenizer_for(config: Config) -> Callable[[Callable[[], Iterable[str]]], Any]:
    """A function from the training texts to the tokenizer; loaded bases ignore the texts."""

    def make(texts: Callable[[], Iterator[str]]) -> Any:
        if config.model.is_scratch:
            vocab_size = scratch_vocab_size(config.model)
            return train_tokenizer(texts(), vocab_size=vocab_size, chat_template=CHAT_TEMPLATE)
        return load_tokenizer(config.model, chat_template=CHAT_TEMPLATE)

    return make


def prepare(config: Config, *, progress: Callable[[int, int | None], None] | None = None) -> Prepared:
    """Prepared rows of every split; done once for the same inputs.

    Raises ConfigError where data.files or model.base is missing, DataError where the sources are not as described.
    """
    require_complete(config)
    return prepare_data(
        config, tokenizer_for=tokenizer_for(config), tokenizer_key=tokenizer_key(config), progress=progress
    )
