"""Hidden states and heads over families: what the engine multiplies must be the model's own logits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lossmith.errors import LossmithError
from lossmith.models.hidden import (
    capture_hidden,
    embedding_scale,
    head_of,
    input_embedding,
    unwrap,
    verify_head,
)

from .families import FAMILIES, VOCABULARY, build, with_lora


@pytest.fixture
def batch():
    ids = torch.arange(3, 17).reshape(2, 7)
    attention = torch.ones_like(ids)
    attention[1, 5:] = 0
    return {"input_ids": ids, "attention_mask": attention}


def check(model, batch):
    model.train()
    assert verify_head(model, batch) < 1e-5
    assert model.training, "the training mode is given back"
    model.eval()
    own = model(**batch).logits
    with capture_hidden(model) as captured:
        short = model(**batch).logits
    assert short.shape[-1] == 1, "the vocabulary product was made"
    assert captured.hidden.shape[:2] == batch["input_ids"].shape
    torch.testing.assert_close(head_of(model).logits(captured.hidden), own)
    torch.testing.assert_close(model(**batch).logits, own)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, tied, batch):
    model = build(family, tied=tied)
    head = head_of(model)
    assert head.exact
    assert (head.scale, head.softcap) == FAMILIES[family][1:]
    check(model, batch)
    check(with_lora(model), batch)


def test_families_were_all_seen():
    assert len(FAMILIES) == 20


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


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_whole_copies_are_the_head(batch, tied):
    saved = ["embed_tokens"] if tied else ["lm_head"]
    model = with_lora(build("llama", tied=tied), modules_to_save=saved, ensure_weight_tying=tied)
    for name, parameter in model.named_parameters():
        if "modules_to_save" in name:
            nn.init.normal_(parameter)
    check(model, batch)
    assert head_of(model).weight.requires_grad


def test_lora_on_the_head_is_one_matrix_without_dropout(batch):
    model = with_lora(build("llama", tied=False), more=["lm_head"], lora_dropout=0.0)
    check(model, batch)
    with capture_hidden(model) as captured:
        model(**batch)
    head_of(model).logits(captured.hidden).sum().backward()
    touched = [p.grad for name, p in model.named_parameters() if "lm_head" in name and "lora_" in name]
    assert len(touched) == 2
    assert all(grad is not None and grad.abs().sum() > 0 for grad in touched)


@pytest.mark.parametrize("extra", [{"lora_dropout": 0.5}, {"use_dora": True}], ids=["dropout", "dora"])
def test_a_head_that_is_no_matrix_is_told_apart(batch, extra):
    model = with_lora(build("llama", tied=False), more=["lm_head"], **extra).train()
    head = head_of(model)
    assert not head.exact
    with pytest.raises(LossmithError, match="no plain matrix"):
        _ = head.weight
    model.eval()
    with capture_hidden(model) as captured:
        model(**batch)
    torch.testing.assert_close(head_of(model).logits(captured.hidden), model(**batch).logits)


def test_gradients_are_those_of_the_model_itself(batch):
    model = build("gemma2", tied=True)
    reference = copy.deepcopy(model)
    labels = batch["input_ids"][:, 1:]
    with capture_hidden(model) as captured:
        model(**batch)
    ours = head_of(model).logits(captured.hidden[:, :-1])
    theirs = reference(**batch).logits[:, :-1]
    for logits in (ours, theirs):
        nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()
    for (name, parameter), own in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, own.grad, msg=lambda text, name=name: f"{name}: {text}")


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


def test_what_comes_after_the_layer_and_is_not_known_is_an_error(batch, monkeypatch):
    from lossmith.models import hidden

    monkeypatch.setattr(hidden, "_CAPPED", {})
    model = build("gemma2", tied=True)
    for parameter in model.parameters():
        parameter.data *= 1e-3  # logits so small that the soft-cap does not show on them
    with pytest.raises(LossmithError, match="gemma2 model differ in what follows the output embedding"):
        verify_head(model, batch)
    monkeypatch.setattr(hidden, "_DIVIDED", {})
    with pytest.raises(LossmithError, match="granite model differ in logits"):
        verify_head(build("granite", tied=True), batch)


def test_half_precision_is_judged_by_its_own_tolerance(batch):
    model = build("qwen3", tied=True).to(torch.bfloat16)
    assert verify_head(model, batch) < 4e-2


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
