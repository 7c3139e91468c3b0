"""A tiny encoder with random weights, saved as any checkpoint is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lossmith.models.tokenizer import train_encoder_tokenizer


def save_tiny_encoder(folder: Path, texts: Sequence[str], *, longest: int = 16) -> Path:
    """A BERT of width 12 that reads `longest` tokens, with a tokenizer of these texts."""
    from transformers import BertConfig, BertModel

    tokenizer = train_encoder_tokenizer(texts, vocab_size=400)
    tokenizer.model_max_length = longest
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=longest + 4, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    BertModel(shape, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
