"""Before the first step: the engine where it is equal, the model's own layers where it is not, else an error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lossmith.errors import LossmithError
from lossmith.losses import Head, Objective
from lossmith.models import heads
from lossmith.models.families import FAMILIES
from lossmith.models.head_check import verify_head
from lossmith.models.heads import head_of, own_logits
from lossmith.models.hidden import capture_hidden, output_layer
from lossmith.tasks.token_forward import TokenForward
from lossmith.tasks.token_parts import TokenParts

from .families import SHAPE, VOCABULARY, WORDS, batch_for, build, with_lora

TERMS = {"cross_entropy": 0.5, "focal": 0.2, "generalized_dice": 0.3, "entropy_penalty": 0.1}


@pytest.fixture
def batch():
    return batch_for("llama")


def xlstm():
    """A family with a soft-cap that the table does not know."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("xlstm", **WORDS, **SHAPE, num_heads=4, num_blocks=2, output_logit_soft_cap=3.0)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def collated(batch):
    mask = batch["attention_mask"][:, 1:].bool()
    return {
        **batch,
        "mask": mask,
        "labels": batch["input_ids"][:, 1:][mask],
        "spans": {},
        "examples": torch.arange(2)[:, None].expand_as(mask)[mask],
    }


def parts_of(model, batch, *, dense: bool) -> TokenParts:
    forward = TokenForward(model, real_tokens=VOCABULARY, needs_embeddings=False, dense=dense)
    return forward(model, collated(batch))


def reference(model, batch) -> tuple[float, dict[str, torch.Tensor]]:
    """Value and gradients of the objective on the model's own logits, all of them."""
    model.zero_grad()
    given = collated(batch)
    logits = model(**batch, use_cache=False).logits[:, :-1][given["mask"]]
    value = Objective(TERMS).dense(logits, lambda rows: rows, given["labels"], examples=given["examples"])
    value.total.backward()
    return float(value.total.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def check_dense(model, batch):
    """Value, gradients, shares and evaluation on the dense path are those of the model's own logits."""
    model.eval()
    true, gradients = reference(model, batch)
    model.zero_grad()
    parts = parts_of(model, batch, dense=True)
    assert callable(parts.head)
    value = parts.value(Objective(TERMS))
    assert float(value.total.detach()) == pytest.approx(true, rel=1e-5)
    value.total.backward()
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == gradients.keys()
    assert all((found[n] - g).norm() < 1e-5 * norm for n, g in gradients.items())
    model.zero_grad()
    shares = parts.shares(Objective(TERMS))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) > 0
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        again = parts_of(model, batch, dense=True).value(Objective(TERMS))
    assert float(again.total) == pytest.approx(true, rel=1e-5)


# -- families -------------------------------------------------------------------------------------------------------


def test_an_unknown_family_that_is_equal_takes_the_engine_and_is_named(batch):
    from transformers import AutoConfig, AutoModelForCausalLM

    assert "arcee" not in FAMILIES
    config = AutoConfig.for_model("arcee", **WORDS, **SHAPE)
    found = verify_head(AutoModelForCausalLM.from_config(config, dtype=torch.float32), batch)
    assert found.dense is None
    assert "'arcee' is not among those run" in found.sentence
    assert "not among" not in verify_head(build("llama", tied=True), batch).sentence


def test_an_unknown_tail_takes_the_dense_path_and_says_so(batch):
    assert "xlstm" not in FAMILIES
    model = xlstm()
    found = verify_head(model.train(), batch)
    assert model.training
    assert found.dense is not None
    assert "this xlstm model takes the dense path" in found.sentence
    assert found.difference < 1e-5
    check_dense(model, batch)


def test_a_soft_cap_too_weak_to_show_is_still_seen(batch, monkeypatch):
    monkeypatch.setattr(heads, "FAMILIES", {})
    model = build("gemma2", tied=True)
    for parameter in model.parameters():
        parameter.data *= 1e-3
    found = verify_head(model, batch)
    assert "differ in what follows the output embedding" in found.dense
    granite = verify_head(build("granite", tied=True), batch)
    assert "differ in" in granite.dense


def test_fewer_logits_than_rows_take_the_dense_path(batch):
    class Cut(type(build("llama", tied=False))):
        def forward(self, **keywords):
            made = super().forward(**keywords)
            made.logits = made.logits[..., :90]
            return made

    model = build("llama", tied=False)
    model.__class__ = Cut
    found = verify_head(model, batch)
    assert found.dense is not None
    check_dense(model, batch)


def test_logits_that_no_hidden_state_gives_are_an_error(batch):
    class Mixed(type(build("llama", tied=False))):
        def forward(self, input_ids, **keywords):
            made = super().forward(input_ids=input_ids, **keywords)
            made.logits = made.logits + self.model.embed_tokens(input_ids).sum(-1, keepdim=True)
            return made

    model = build("llama", tied=False)
    model.__class__ = Mixed
    with pytest.raises(LossmithError, match="logits of this llama model cannot be made from its hidden states"):
        verify_head(model, batch)


def test_a_model_that_looks_at_single_logits_is_an_error_that_names_it(batch):
    class Masked(type(build("llama", tied=False))):
        def forward(self, **keywords):
            made = super().forward(**keywords)
            made.logits[..., 70] = -1e4
            return made

    model = build("llama", tied=False)
    model.__class__ = Masked
    with pytest.raises(LossmithError, match="llama model cannot run without its vocabulary product"):
        verify_head(model, batch)


# -- output layers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{"lora_dropout": 0.5}, {"use_dora": True}], ids=["dropout", "dora"])
def test_adapters_that_are_no_matrix_take_the_dense_path(batch, extra):
    model = with_lora(build("llama", tied=False), more=("lm_head",), **extra).train()
    with pytest.raises(LossmithError, match="no plain matrix"):
        _ = head_of(model).weight
    found = verify_head(model, batch)
    assert found.dense is not None
    assert found.difference < 1e-5
    check_dense(model, batch)
    touched = [name for name, p in model.named_parameters() if "lm_head" in name and p.requires_grad]
    assert touched


def test_dropout_on_the_output_layer_drops_on_the_dense_path(batch):
    model = with_lora(build("llama", tied=False), targets=["lm_head"], lora_dropout=0.5).train()
    parts = parts_of(model, batch, dense=True)
    first, second = (float(parts.value(Objective(TERMS)).total.detach()) for _ in range(2))
    assert first != second


def test_under_ddp_the_dense_path_reaches_every_parameter(batch, tmp_path):
    model = with_lora(build("llama", tied=False), more=("lm_head",), use_dora=True)
    true, gradients = reference(model, batch)
    model.zero_grad()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        forward = TokenForward(model, real_tokens=VOCABULARY, needs_embeddings=False, dense=True)
        for _ in range(2):
            model.zero_grad()
            value = forward(wrapped, collated(batch)).value(Objective(TERMS))
            value.total.backward()
            assert float(value.total.detach()) == pytest.approx(true, rel=1e-5)
        found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    finally:
        torch.distributed.destroy_process_group()
    assert found.keys() == gradients.keys()
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    assert all((found[name] - gradient).norm() < 1e-5 * norm for name, gradient in gradients.items())


def test_no_position_at_all_is_fine_on_the_dense_path(batch):
    model = xlstm()
    parts = parts_of(model, batch, dense=True)
    nothing = torch.zeros(0, dtype=torch.int64)
    value = Objective({"cross_entropy": 1.0}).dense(parts.hidden[:0], parts.head, nothing)
    value.total.backward()
    assert float(value.total.detach()) == 0.0


def test_the_engine_is_taken_where_the_layer_is_a_matrix(batch):
    parts = parts_of(build("gemma2", tied=True), batch, dense=False)
    assert isinstance(parts.head, Head)
    assert parts.head.softcap == 5.0


def test_only_the_positions_meet_the_vocabulary(batch):
    model = xlstm()
    seen = []
    hook = output_layer(model).register_forward_hook(lambda _, given, made: seen.append(made.shape))
    parts = parts_of(model, batch, dense=True)
    assert seen == [(2, 7, 1)]
    value = parts.value(Objective({"cross_entropy": 1.0}))
    hook.remove()
    assert seen[1:] == [(1, len(parts.labels), VOCABULARY)]
    assert torch.isfinite(value.total)


def linear_4bit(layer):
    from bitsandbytes.nn import Linear4bit, Params4bit

    made = Linear4bit(layer.in_features, layer.out_features, bias=False, compute_dtype=torch.float32, quant_type="nf4")
    made.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
    # As loading does: repacked on some CPUs, its gradients are wrong.
    made.support_avx512bf16_for_cpu = False
    return made.to("cpu")


def linear_8bit(layer):
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    made = Linear8bitLt(layer.in_features, layer.out_features, bias=False, has_fp16_weights=False)
    made.weight = Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
    return made.to("cpu")


@pytest.mark.parametrize("quantise", [linear_4bit, linear_8bit])
def test_quantised_output_layers_are_a_matrix_or_dense(batch, quantise):
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    model = build("llama", tied=False)
    model.lm_head = quantise(model.lm_head)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in ("model.layers.0.self_attn.q_proj.weight", "model.norm.weight"):
        model.get_parameter(name).requires_grad_()
    found = verify_head(model, batch)
    # Eight-bit products round the hidden states too, so no matrix gives their logits.
    assert (found.dense is None) == (quantise is linear_4bit)
    if found.dense is None:
        true, gradients = reference(model.eval(), batch)
        model.zero_grad()
        value = parts_of(model, batch, dense=False).value(Objective(TERMS))
        value.total.backward()
        assert float(value.total.detach()) == pytest.approx(true, rel=1e-5)
        for name, gradient in gradients.items():
            torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=1e-3, atol=1e-5)
    else:
        check_dense(model, batch)


# -- number formats -------------------------------------------------------------------------------------------------


def test_half_precision_is_judged_by_its_own_tolerance(batch):
    assert verify_head(build("qwen3", tied=True).to(torch.bfloat16), batch).difference < 4e-2


def test_a_whole_fp32_copy_on_a_bf16_base_is_checked_under_the_autocast_of_the_step(batch):
    from lossmith.config.model import ModelConfig
    from lossmith.models.adapters import add_lora
    from lossmith.models.precision import choose_precision

    base = build("llama", tied=False).to(torch.bfloat16)
    model = add_lora(base, ModelConfig(base="x", lora_modules_to_save=["lm_head"])).model
    assert {p.dtype for p in model.parameters()} == {torch.float32, torch.bfloat16}
    precision = choose_precision(device="cpu", dtype="bfloat16")
    found = verify_head(model, batch, autocast=precision.autocast)
    assert found.dense is None
    with pytest.raises(RuntimeError, match="same dtype"):
        verify_head(model, batch)
    with precision.autocast():
        parts = parts_of(model, batch, dense=False)
    assert parts.hidden.dtype == torch.bfloat16
    parts.value(Objective({"cross_entropy": 1.0})).total.backward()
    touched = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.dtype == torch.float32 for grad in touched.values())


def test_the_dense_path_runs_in_the_number_format_of_the_call(batch):
    model = with_lora(build("llama", tied=False), targets=["lm_head"], lora_dropout=0.5).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), capture_hidden(model) as captured:
        model(**batch)
    assert captured.autocast == torch.bfloat16
    logits = own_logits(model, batch, autocast=captured.autocast)(captured.hidden[0])
    assert logits.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(logits, model(**batch).logits[0])
