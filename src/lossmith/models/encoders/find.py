"""The encoder that a configuration names, or that lies in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.encoders import tfidf_svd
from lossmith.models.encoders.encoder import ENCODER_FILE, ChunkEncoder
from lossmith.models.encoders.tfidf_svd import TfidfSvd
from lossmith.models.precision import Precision
from lossmith.models.scratch import SIZES
from lossmith.runs import read_json

# Width and terms of tfidf-svd by its own name; as a scratch base it has the sizes of that base.
TFIDF_WIDTH, TFIDF_TERMS = 384, 20_000


def find_encoder(
    config: ModelConfig, *, precision: Precision, training_chunks: Callable[[], Iterator[str]], seed: int
) -> ChunkEncoder:
    """The encoder of `model.base`; `training_chunks` is read by one that is fitted, and no weights are loaded yet.

    Raises ConfigError where the keys of `model` do not go together, InputError where the base cannot serve.
    """
    if config.is_scratch or config.base == tfidf_svd.KIND:
        _check_fitted(config)
        size = SIZES.get(str(config.base))
        width, terms = (size.hidden_size, size.vocab_size) if size else (TFIDF_WIDTH, TFIDF_TERMS)
        return TfidfSvd.fit(
            training_chunks(), width=config.hidden_size or width, terms=config.vocab_size or terms, seed=seed
        )
    raise NotImplementedError


def load_encoder(folder: Path, *, precision: Precision) -> ChunkEncoder:
    """The encoder that was saved in a folder. Raises InputError where its base is gone or has become another."""
    kind = read_json(folder / ENCODER_FILE).get("kind")
    if kind == tfidf_svd.KIND:
        return TfidfSvd.load(folder)
    raise InputError(f"{folder} holds an encoder of an unknown kind", got=kind, expected=tfidf_svd.KIND)


def _check_fitted(config: ModelConfig) -> None:
    if config.architecture not in (None, tfidf_svd.KIND):
        raise ConfigError(
            "random weights find nothing, and an encoder of chunks stays as it is",
            got=f"model.base={config.base}, model.architecture={config.architecture}",
            expected=f"model.architecture={tfidf_svd.KIND}, or a base that was trained",
        )
    if config.pooling is not None:
        raise ConfigError(
            f"{tfidf_svd.KIND} has no states to pool",
            got=f"model.pooling={config.pooling}",
            expected="model.pooling=null, or a model of states as model.base",
        )
