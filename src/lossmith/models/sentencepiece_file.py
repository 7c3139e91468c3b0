"""The SentencePiece model of a tokenizer, which transformers read and no longer write; other tools ask for it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lossmith.config.model import ModelConfig
from lossmith.models.source import find_source

# As tokenizers of T5 and Gemma, Llama, XLM-R and mBART, and DeBERTa call theirs.
NAMES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "spm.model")


def copy_sentencepiece(config: ModelConfig, folder: Path) -> list[Path]:
    """Copy the SentencePiece model of a base, or of the adapter's base, into a folder; returns what was written.

    Tokens added since stand in tokenizer.json alone: they follow the pieces and leave them as they are.
    """
    if config.is_scratch:
        return []
    source = find_source(str(config.base), revision=config.revision)
    for place, revision in dict.fromkeys([(source.name, source.revision), (source.base, source.base_revision)]):
        if found := [file for name in NAMES if (file := _file(place, name, revision)) is not None]:
            return [Path(shutil.copyfile(file, folder / file.name)) for file in found]
    return []


def _file(place: str, name: str, revision: str | None) -> Path | None:
    if Path(place).is_dir():
        return Path(place) / name if (Path(place) / name).is_file() else None
    from transformers.utils import cached_file

    found = cached_file(
        place,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found is not None else None
