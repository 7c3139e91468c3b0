"""Tokenizers and real records for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from .shapes import for_shape


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level, ChatML, EOS is <|im_end|>."""
    return for_shape("chatml")


@pytest.fixture(scope="session")
def recipes(shared_data: Path) -> list[dict[str, Any]]:
    """Real recipes."""
    text = (shared_data / "recipes" / "public_domain_recipes.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
