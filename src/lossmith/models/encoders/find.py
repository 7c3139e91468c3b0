"""The encoder that a configuration names, or that lies in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.encoders import sentences, states, tfidf_svd
from lossmith.models.encoders.base_files import BaseFiles, find_base
from lossmith.models.encoders.encoder import ENCODER_FILE, ChunkEncoder
from lossmith.models.encoders.sentences import SentenceEncoder
from lossmith.models.encoders.states import StateEncoder
from lossmith.models.encoders.tfidf_svd import TfidfSvd
from lossmith.models.precision import Precision
from lossmith.models.scratch import SIZES
from lossmith.models.source import ADAPTER_FILE
from lossmith.runs import read_json

Pooling = Literal["mean", "cls", "last", "tokens"]
# Width and terms of tfidf-svd by its own name; as a scratch base it has the sizes of that base.
TFIDF_WIDTH, TFIDF_TERMS = 384, 20_000
# Where in a folder an encoder may lie that a run has saved: the folder itself, a model, a run.
_SAVED = (Path(), Path("encoder"), Path("model") / "encoder")


def find_encoder(
    config: ModelConfig, *, precision: Precision, training_chunks: Callable[[], Iterator[str]], seed: int
) -> ChunkEncoder:
    """The encoder of `model.base`; `training_chunks` is read by one that is fitted, and no weights are loaded yet.

    A base is tfidf-svd (as scratch bases are), a sentence encoder, a model of states, or the folder of a run whose
    encoder is taken. Raises ConfigError where the keys of `model` do not go together, InputError where the base cannot
    serve.
    """
    if config.is_scratch or config.base == tfidf_svd.KIND:
        _check_fitted(config)
        size = SIZES.get(str(config.base))
        width, terms = (size.hidden_size, size.vocab_size) if size else (TFIDF_WIDTH, TFIDF_TERMS)
        return TfidfSvd.fit(
            training_chunks(), width=config.hidden_size or width, terms=config.vocab_size or terms, seed=seed
        )
    for inner in _SAVED:
        folder = Path(str(config.base)).expanduser() / inner
        if (folder / ENCODER_FILE).is_file():
            return load_encoder(folder, precision=precision, trust_remote_code=config.trust_remote_code)
    files = find_base(str(config.base), revision=config.revision)
    return _of_files(files, config.pooling, precision=precision, trust_remote_code=config.trust_remote_code)


def load_encoder(folder: Path, *, precision: Precision, trust_remote_code: bool = False) -> ChunkEncoder:
    """The encoder that was saved in a folder. Raises InputError where its base is gone or has become another."""
    saved = read_json(folder / ENCODER_FILE)
    if saved.get("kind") == tfidf_svd.KIND:
        return TfidfSvd.load(folder)
    if saved.get("kind") not in (sentences.KIND, states.KIND):
        raise InputError(
            f"{folder} holds an encoder of a kind that is not known here",
            got=saved.get("kind"),
            expected=", ".join((tfidf_svd.KIND, sentences.KIND, states.KIND)),
        )
    files = find_base(saved["base"], revision=saved["revision"])
    if files.digest != saved["files"]:
        raise InputError(
            f"the encoder {files.name} is not the one that the model in {folder.parent} was trained on",
            got=f"files {files.digest[:12]}",
            expected=f"files {saved['files'][:12]}",
            fix="put its files back, or train again",
        )
    return _of_files(files, saved["pooling"], precision=precision, trust_remote_code=trust_remote_code)


def _of_files(
    files: BaseFiles, pooling: Pooling | None, *, precision: Precision, trust_remote_code: bool
) -> ChunkEncoder:
    modules, inside = files.modules, ""
    if modules is not None and pooling is None:
        return SentenceEncoder(files, precision, trust_remote_code)
    if modules is not None:
        if not modules or not str(modules[0]["type"]).endswith(".Transformer"):
            raise InputError(
                f"{files.name} has no transformer whose states could be read",
                got=", ".join(str(module["type"]).rpartition(".")[2] for module in modules),
                expected="a sentence encoder that begins with a Transformer",
                fix="model.pooling=null",
            )
        inside = modules[0]["path"]
    if (files.folder / inside / ADAPTER_FILE).is_file():
        raise InputError(
            f"{files.name} is an adapter, and an encoder of chunks is a whole model",
            got=ADAPTER_FILE,
            expected="config.json and weights",
            fix="merge the adapter into its base, and name the folder of the merged model",
        )
    found = StateEncoder(files, precision, pooling or "mean", inside, trust_remote_code)
    assert found.width > 0, "a base that is no model of texts is refused before anything is prepared for it"
    return found


def _check_fitted(config: ModelConfig) -> None:
    if config.architecture not in (None, tfidf_svd.KIND):
        raise ConfigError(
            "random weights find nothing, and an encoder of chunks never trains",
            got=f"model.base={config.base}, model.architecture={config.architecture}",
            expected=f"model.architecture={tfidf_svd.KIND}, or a base that was trained",
        )
    if config.pooling is not None:
        raise ConfigError(
            f"{tfidf_svd.KIND} has no states to pool",
            got=f"model.pooling={config.pooling}",
            expected="model.pooling=null, or a model of states as model.base",
        )
