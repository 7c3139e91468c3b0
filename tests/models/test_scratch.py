"""Scratch bases: their size, their seed, their learning."""

from __future__ import annotations

import pytest
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError
from lossmith.models.scratch import DECODERS, SIZES, build_scratch, scratch_vocab_size, size_of


@pytest.mark.parametrize("architecture", DECODERS)
@pytest.mark.parametrize(("base", "millions"), [("scratch-tiny", 1.0), ("scratch-small", 10.0)])
def test_size_beside_the_embeddings(tokenizer, base, millions, architecture):
    model = build_scratch(ModelConfig(base=base, architecture=architecture), tokenizer, seed=0)
    assert model.config.model_type == architecture
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.vocab_size == len(tokenizer)
    own = model.num_parameters() - model.get_input_embeddings().weight.numel()
    assert own / 1e6 == pytest.approx(millions, rel=0.06)
    assert set(SIZES) == {"scratch-tiny", "scratch-small"}


def test_same_seed_same_weights_and_the_global_seed_is_left_alone(tokenizer):
    config = ModelConfig(base="scratch-tiny", hidden_size=32, num_hidden_layers=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_scratch(config, tokenizer, seed=1).state_dict()
    assert torch.equal(torch.rand(3), expected)
    again, other = (build_scratch(config, tokenizer, seed=seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_a_given_width_keeps_the_proportions():
    size = size_of(ModelConfig(base="scratch-tiny", hidden_size=64))
    assert (size.hidden_size, size.intermediate_size, size.num_attention_heads) == (64, 256, 2)
    assert scratch_vocab_size(ModelConfig(base="scratch-small")) == 8192


def test_a_width_the_heads_cannot_share_is_refused():
    with pytest.raises(ConfigError, match=r"model\.num_attention_heads among \[1, 5, 25\]"):
        size_of(ModelConfig(base="scratch-tiny", hidden_size=50, num_attention_heads=4))
    with pytest.raises(InputError, match="did you mean 'scratch-tiny'"):
        size_of(ModelConfig(base="scratch-tiney"))


@pytest.mark.parametrize("architecture", DECODERS)
def test_it_learns_a_text_by_heart(tokenizer, texts, architecture):
    config = ModelConfig(base="scratch-tiny", architecture=architecture, hidden_size=64, num_hidden_layers=2)
    model = build_scratch(config, tokenizer, seed=0)
    ids = torch.tensor([tokenizer(texts[2])["input_ids"]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss.detach()) < 0.1
