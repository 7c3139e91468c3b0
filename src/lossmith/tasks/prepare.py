"""Sources to tokenised rows: the data room's work with the model's tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lossmith.config.load import require_complete
from lossmith.config.model import ModelConfig
from lossmith.config.schema import Config
from lossmith.data.chat_template import CHAT_TEMPLATE
from lossmith.data.prepare import Prepared, prepare_data
from lossmith.models.load import load_tokenizer, tokenizer_key


def starting_model(config: Config) -> ModelConfig:
    """The model that training starts from: the configured base, or the weights that `train.init_from` names.

    The adapter is that of the configured base: a scratch model that goes on from its own weights still trains them all.
    """
    start = config.train.init_from if config.train else None
    if start is None:
        return config.model
    folder = Path(start).expanduser()
    inner = folder / "model"
    base = str(inner if inner.is_dir() else folder)
    return config.model.model_copy(update={"base": base, "adapter": config.model.resolved_adapter})


def prepare_config(config: Config, *, progress: Callable[[int, int | None], None] | None = None) -> Prepared:
    """Prepared rows of every split; done once for the same inputs.

    Raises ConfigError where data.files or model.base is missing, DataError where the sources are not as described.
    """
    require_complete(config)
    model = starting_model(config)
    return prepare_data(
        config,
        tokenizer_for=lambda texts: load_tokenizer(model, chat_template=CHAT_TEMPLATE, texts=texts),
        tokenizer_key=tokenizer_key(model, chat_template=CHAT_TEMPLATE),
        progress=progress,
    )
