"""A tiny tokenizer, and a tiny base model saved as any checkpoint is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lossmith.models.tokenizer import train_tokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = [
    f"Whisk {n} eggs with {n * 50} g of flour, then fold in the butter and bake for {n * 7} minutes."
    for n in range(1, 60)
]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return TEXTS


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=340, chat_template=CHATML)


def tiny_qwen3(tokenizer, *, tied: bool = True, rows: int | None = None, width: int = 32):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=rows or len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory, tokenizer) -> dict[str, Path]:
    """Saved bases: `tied`, `untied` (in bf16), and `padded`, whose embedding has rows to spare."""
    folder = tmp_path_factory.mktemp("bases")
    made = {
        "tied": tiny_qwen3(tokenizer),
        "untied": tiny_qwen3(tokenizer, tied=False).to(torch.bfloat16),
        "padded": tiny_qwen3(tokenizer, rows=len(tokenizer) + 64),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {name: folder / name for name in made}
