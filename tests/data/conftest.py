"""A small tokenizer and an empty cache for every test of the data room."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared, prepare_data


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOSSMITH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level BPE over bytes alone: every text has tokens, and none is longer than it must be."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>")


@pytest.fixture
def prepare(tokenizer: Any) -> Callable[..., Prepared]:
    def call(data: Mapping[str, Any], **others: Any) -> Prepared:
        config = Config(data={"template": {"text": "{{ text }}"}, **data}, **others)
        return prepare_data(config, tokenizer_for=lambda _: tokenizer, tokenizer_key="bytes")

    return call


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Iterable[Mapping[str, Any]], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
