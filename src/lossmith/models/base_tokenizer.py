"""The tokenizer of a base: from a hub name, a folder or an adapter, or trained for a scratch base."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.added_tokens import add_tokens
from lossmith.models.scratch import ENCODERS, scratch_vocab_size
from lossmith.models.source import find_source, not_found
from lossmith.models.tokenizer import train_encoder_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokens that end a turn without being the tokenizer's EOS: they count where the chat template writes them.
_END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end_of_turn|>")


def load_tokenizer(
    config: ModelConfig, *, chat_template: str | None = None, texts: Callable[[], Iterable[str]] | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of the configured base, with `add_tokens` added; a scratch base's is trained on `texts()`.

    `chat_template` is what a scratch tokenizer carries; the file of `model.chat_template` replaces any. A tokenizer
    without pad token pads with EOS. Raises InputError where there is no such model.
    """
    if config.is_scratch:
        if texts is None:
            raise InputError("the tokenizer of a scratch base is trained on text, and none was given", got=config.base)
        size = scratch_vocab_size(config)
        tokenizer: Any = (
            train_encoder_tokenizer(texts(), vocab_size=size)
            if config.architecture in ENCODERS
            else train_tokenizer(texts(), vocab_size=size, chat_template=chat_template)
        )
    else:
        tokenizer = raw_tokenizer(config)
    if config.chat_template:
        tokenizer.chat_template = _read_template(config.chat_template)
    add_tokens(tokenizer, config.add_tokens)
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def require_end_token(tokenizer: PreTrainedTokenizerBase, base: str) -> None:
    """Raise ConfigError where a tokenizer that answers are to be written with has no EOS."""
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"the tokenizer of {base} has no EOS token, so an answer could never end",
            got=f"{type(tokenizer).__name__} without eos_token",
            expected="eos_token in its tokenizer_config.json",
        )


def require_pad_token(tokenizer: PreTrainedTokenizerBase, base: str) -> None:
    """Raise ConfigError where texts of unequal length cannot be put into one batch."""
    if tokenizer.pad_token_id is None:
        raise ConfigError(
            f"the tokenizer of {base} has neither a pad token nor an EOS token to pad with",
            got=f"{type(tokenizer).__name__} without pad_token",
            expected="pad_token in its tokenizer_config.json",
        )


def tokenizer_key(config: ModelConfig, *, chat_template: str | None = None) -> str:
    """What decides the tokenizer, for fingerprints: of a scratch base its recipe, of a loaded one its very content."""
    if config.is_scratch:
        own = _read_template(config.chat_template) if config.chat_template else chat_template
        kind = "scratch bpe 1" if config.architecture not in ENCODERS else "scratch encoder bpe 1"
        parts = [kind, str(scratch_vocab_size(config)), own or "", *config.add_tokens]
    else:
        tokenizer: Any = load_tokenizer(config)
        content = (
            tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else repr(sorted(tokenizer.get_vocab().items()))
        )
        parts = [content, repr(tokenizer.special_tokens_map), str(tokenizer.chat_template)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def end_of_turn_ids(tokenizer: PreTrainedTokenizerBase, generation_config: Any = None) -> tuple[int, ...]:
    """Every id that ends an answer: EOS, those of the generation configuration, and the chat template's own end."""
    ids = [tokenizer.eos_token_id]
    more = getattr(generation_config, "eos_token_id", None)
    ids += more if isinstance(more, list | tuple) else [more]
    vocabulary = tokenizer.get_vocab()
    ids += [vocabulary[t] for t in _END_OF_TURN if t in vocabulary and t in str(tokenizer.chat_template or "")]
    return tuple(dict.fromkeys(int(i) for i in ids if i is not None))


def raw_tokenizer(config: ModelConfig) -> Any:
    """The tokenizer as it lies with the model, or with the base of an adapter."""
    from transformers import AutoTokenizer

    source = find_source(str(config.base), revision=config.revision)
    places = [(source.name, source.revision), (source.base, source.base_revision)]
    for name, revision in dict.fromkeys(places):
        if source.adapter == name and not _holds_tokenizer(name):
            continue
        _require_files(Path(name))
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


def _require_files(folder: Path) -> None:
    """Raise InputError for a folder without tokenizer, of which transformers would make one that knows no word."""
    kinds = ("tokenizer*", "vocab*", "*.model", "merges.txt", "tekken.json")
    if folder.is_dir() and not any(path for kind in kinds for path in folder.glob(kind)):
        raise InputError(
            f"{folder} holds no tokenizer",
            got=", ".join(sorted(path.name for path in folder.iterdir())[:8]),
            expected="tokenizer.json and tokenizer_config.json",
            fix="copy them from where the model came from",
        )


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
