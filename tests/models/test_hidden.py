"""Hidden states without the vocabulary product, and the numbers of the head that would have followed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lossmith.errors import LossmithError
from lossmith.models.heads import embedding_scale, head_of, input_embedding
from lossmith.models.hidden import capture_hidden, unwrap

from .families import VOCABULARY, batch_for, build, with_lora


@pytest.fixture
def batch():
    return batch_for("qwen3")


def check(model, batch):
    model.eval()
    with capture_hidden(model) as captured:
        model(**batch)
    torch.testing.assert_close(head_of(model).logits(captured.hidden), model(**batch).logits)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_trained_rows_are_part_of_head_and_embedding(batch, tied):
    layers = ["model.embed_tokens"] if tied else ["model.embed_tokens", "lm_head"]
    model = with_lora(build("qwen3", tied=tied), trainable_token_indices={name: [5, 9] for name in layers})
    for name, parameter in model.named_parameters():
        if "trainable_tokens_delta" in name:
            nn.init.normal_(parameter)
    check(model, batch)
    with capture_hidden(model) as captured:
        model(**batch)
    head_of(model).logits(captured.hidden).logsumexp(-1).sum().backward()
    deltas = {name: p for name, p in model.named_parameters() if "trainable_tokens_delta" in name}
    assert len(deltas) == len(layers)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in deltas.values())
    assert torch.equal(input_embedding(model)[[5, 9]], next(iter(deltas.values())))


@pytest.mark.parametrize("peft", [False, True], ids=["plain", "lora"])
def test_under_ddp_the_wrapper_is_called_and_gradients_arrive(batch, tmp_path, peft):
    model = build("qwen3", tied=True)
    model = with_lora(model) if peft else model
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert unwrap(wrapped) is unwrap(model)
        for _ in range(2):
            with capture_hidden(wrapped) as captured:
                wrapped(**batch)
            head_of(wrapped).logits(captured.hidden).logsumexp(-1).sum().backward()
        missing = [n for n, p in wrapped.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []
    finally:
        torch.distributed.destroy_process_group()


def test_a_capture_is_reusable_and_leaves_nothing_behind(batch):
    model = build("llama", tied=True).eval()
    capture = capture_hidden(model)
    seen = []
    for _ in range(2):
        with capture as captured:
            model(**batch)
        seen.append(captured.hidden)
    assert torch.equal(*seen)
    assert "forward" not in model.lm_head.__dict__
    with pytest.raises(RuntimeError, match="stop"), capture:
        raise RuntimeError("stop")
    assert model(**batch).logits.shape[-1] == VOCABULARY
    with pytest.raises(LossmithError, match="cannot nest"), capture, capture:
        pass
    with capture as empty:
        pass
    with pytest.raises(LossmithError, match="does not call its output embedding"):
        _ = empty.hidden


def test_a_model_without_head_is_an_error():
    with pytest.raises(LossmithError, match="no output embedding"):
        capture_hidden(unwrap(build("llama", tied=True)).model)


def test_scale_is_the_spread_of_real_rows():
    model = build("qwen3", tied=True)
    rows = input_embedding(model)[:90].double()
    expected = (rows - rows.mean(0)).square().sum(1).mean().sqrt()
    assert embedding_scale(model, 90) == pytest.approx(float(expected), rel=1e-9)
    assert embedding_scale(model, 90) != pytest.approx(embedding_scale(model, VOCABULARY), rel=1e-6)
    model.get_input_embeddings().weight.data.fill_(0.25)
    with pytest.raises(LossmithError, match="all rows"):
        embedding_scale(model, 90)


@pytest.mark.parametrize("layer", ["lm_head", "model.embed_tokens"])
def test_lora_is_the_matrix_that_peft_would_merge(layer):
    model = with_lora(build("llama", tied=False), targets=[layer], use_rslora=True).eval()
    wrapped = model.get_base_model().get_submodule(layer)
    expected = wrapped.get_base_layer().weight + wrapped.get_delta_weight("default")
    found = head_of(model).weight if layer == "lm_head" else input_embedding(model)
    torch.testing.assert_close(found, expected)
    with model.disable_adapter():
        found = head_of(model).weight if layer == "lm_head" else input_embedding(model)
        assert torch.equal(found, wrapped.get_base_layer().weight)
