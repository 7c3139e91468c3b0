"""Every family that is said to be run is run here: the engine's logits and gradients are the model's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError
from lossmith.losses import Head, Objective
from lossmith.models.adapters import add_lora
from lossmith.models.families import FAMILIES, families_not_run, families_run
from lossmith.models.head_check import verify_head
from lossmith.models.heads import head_of
from lossmith.models.hidden import capture_hidden
from lossmith.models.merging import merge_adapter

from .families import ENCODER_DECODERS, MODELS, VOCABULARY, batch_for, build, family, with_lora

TIED = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


def test_the_list_of_families_run_is_what_is_built_here():
    assert {family(name) for name in MODELS} == set(families_run())
    assert len(MODELS) == 51
    assert families_not_run() == ("gemma3n", "gemma4")


def check(model, batch):
    """The head check passes by the engine, and single logits are equal."""
    model.train()
    found = verify_head(model, batch)
    assert (found.dense, found.difference < 1e-5) == (None, True)
    assert model.training, "the training mode is given back"
    model.eval()
    own = model(**batch, use_cache=False).logits
    with capture_hidden(model) as captured:
        short = model(**batch, use_cache=False).logits
    assert short.shape[-1] == 1, "the vocabulary product was made"
    torch.testing.assert_close(head_of(model).logits(captured.hidden), own)
    torch.testing.assert_close(model(**batch, use_cache=False).logits, own)


def gradients(model, batch, *, by_engine: bool) -> tuple[float, dict[str, torch.Tensor]]:
    """Value and gradients of 0.7 cross-entropy + 0.3 focal over made-up labels."""
    model.zero_grad()
    objective = Objective({"cross_entropy": 0.7, "focal": 0.3})
    shape = batch.get("decoder_input_ids", batch["input_ids"]).shape
    labels = torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(1)).flatten()
    if by_engine:
        with capture_hidden(model) as captured:
            model(**batch, use_cache=False)
        plain = head_of(model)
        head = Head(plain.weight, bias=plain.bias, scale=plain.scale, softcap=plain.softcap)
        value = objective(captured.hidden.flatten(0, 1), head, labels)
    else:
        logits = model(**batch, use_cache=False).logits.flatten(0, 1)
        value = objective.dense(logits, lambda rows: rows, labels)
    value.total.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return float(value.total.detach()), found


def check_gradients(model, batch, *, through: str):
    """Through the engine they are those of the model's own logits; some parameter named `through` has one."""
    ours, found = gradients(model, batch, by_engine=True)
    theirs, true = gradients(model, batch, by_engine=False)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert found.keys() == true.keys()
    norm = torch.stack([g.norm() for g in true.values()]).norm()
    for name, gradient in true.items():
        assert (found[name] - gradient).norm() < 1e-5 * norm, name
    assert any(through in name and gradient.abs().sum() > 0 for name, gradient in found.items())


@TIED
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients_are_the_models_own(name: str, tied: bool):
    model, batch = build(name, tied=tied).eval(), batch_for(name)
    head = head_of(model)
    assert head.reason is None
    assert (head.scale, head.softcap) == MODELS[name][1:]
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (inputs is outputs) == tied
    check(model, batch)
    model.eval()
    check_gradients(model, batch, through="")
    adapted = with_lora(model)
    check(adapted, batch)


@pytest.mark.parametrize("name", MODELS)
def test_lora_on_the_output_layer_learns_through_the_engine(name: str):
    model = build(name, tied=False)
    layer = next(path for path, module in model.named_modules() if module is model.get_output_embeddings())
    adapted = with_lora(model, targets=[layer]).eval()
    batch = batch_for(name)
    check(adapted, batch)
    check_gradients(adapted.eval(), batch, through="lora_B")


@TIED
@pytest.mark.parametrize("name", MODELS)
def test_a_whole_copy_of_the_output_layer_is_the_head(name: str, tied: bool):
    model = build(name, tied=tied)
    layer = next(path for path, module in model.named_modules() if module is model.get_output_embeddings())
    config = ModelConfig(base="x", lora_r=4, lora_modules_to_save=[layer.rpartition(".")[2]])
    adapted = add_lora(model, config).model.eval()
    saved = [p for path, p in adapted.named_parameters() if "modules_to_save" in path]
    assert saved
    for parameter in saved:
        nn.init.normal_(parameter, std=0.3)
    batch = batch_for(name)
    check(adapted, batch)
    check_gradients(adapted.eval(), batch, through="modules_to_save")


@TIED
@pytest.mark.parametrize("name", MODELS)
def test_every_familys_targets_are_there_and_carry_lora(name: str, tied: bool):
    model = build(name, tied=tied)
    adapted = add_lora(model, ModelConfig(base="x", lora_r=4)).model
    found = [path.split(".lora_A")[0] for path, _ in adapted.named_parameters() if "lora_A" in path]
    targets = FAMILIES[family(name)].targets
    assert {path.rpartition(".")[2] for path in found} == set(targets)
    assert len(found) >= len(targets)
    assert adapted.get_base_model().get_output_embeddings() is model.get_output_embeddings()
    trained = {path for path, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert all("lora_" in path for path in trained)
    assert adapted.peft_config["default"].task_type == ("SEQ_2_SEQ_LM" if name in ENCODER_DECODERS else "CAUSAL_LM")


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "gpt2", "t5", "bart"])
def test_lora_on_a_tied_output_layer_unties_it_on_purpose(name: str):
    model, batch = build(name, tied=True), batch_for(name)
    reference = copy.deepcopy(model).eval()(**batch, use_cache=False).logits
    adapted = add_lora(model, ModelConfig(base="x", lora_r=4, lora_target_modules=["lm_head"]))
    assert "untied from the input embedding" in adapted.notes[0]
    torch.testing.assert_close(adapted.model.eval()(**batch, use_cache=False).logits, reference)
    for path, parameter in adapted.model.named_parameters():
        if "lora_" in path:
            nn.init.normal_(parameter, std=0.3)
    check(adapted.model, batch)
    own = adapted.model.eval()(**batch, use_cache=False).logits
    assert not torch.equal(own, reference)
    before = model.get_input_embeddings().weight.clone()
    merged = merge_adapter(adapted.model)
    assert torch.equal(merged.get_input_embeddings().weight, before), "merged into the input embedding as well"
    torch.testing.assert_close(merged(**batch, use_cache=False).logits, own)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        *(("qwen3", target) for target in ("lm_head", "embed_tokens")),
        ("gpt2", "wte"),
        *((name, "lm_head") for name in ("t5", "mt5", "umt5", "bart", "mbart")),
    ],
)
def test_lora_on_one_end_of_a_tied_embedding_survives_merging_and_loading(name: str, target: str, tmp_path):
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    model, batch = build(name, tied=True), batch_for(name)
    adapted = add_lora(model, ModelConfig(base="x", lora_r=4, lora_target_modules=[target]))
    assert "untied from the input embedding" in adapted.notes[0]
    for path, parameter in adapted.model.named_parameters():
        if "lora_" in path:
            nn.init.normal_(parameter, std=0.3)
    own = adapted.model.eval()(**batch, use_cache=False).logits
    merge_adapter(adapted.model).save_pretrained(tmp_path)
    loader = AutoModelForSeq2SeqLM if name in ENCODER_DECODERS else AutoModelForCausalLM
    loaded, info = loader.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    torch.testing.assert_close(loaded.eval()(**batch, use_cache=False).logits, own)


@pytest.mark.parametrize(("name", "target"), [("t5", "shared"), ("t5", "embed_tokens"), ("bart", "shared")])
def test_lora_on_an_embedding_that_encoder_and_decoder_share_is_refused(name: str, target: str):
    with pytest.raises(ConfigError, match=f"'{target}' is shared by encoder and decoder"):
        add_lora(build(name, tied=True), ModelConfig(base="x", lora_r=4, lora_target_modules=[target]))
