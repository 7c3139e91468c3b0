"""A model without weights is, but for its numbers, the model that training loads."""

from __future__ import annotations

import pytest

from lossmith.config.load import load_config
from lossmith.models.class_head import ClassHead
from lossmith.models.classifier import load_classifier
from lossmith.models.load import load_model
from lossmith.models.precision import choose_precision
from lossmith.models.pretrained import CAUSAL, SEQ2SEQ
from lossmith.models.save import save_model
from lossmith.models.skeleton import classifier_skeleton, training_skeleton
from lossmith.tasks.prepare import prepare_config, prepared_tokenizer, starting_model

CPU = choose_precision(device="cpu", dtype="float32")
HEAD = ClassHead(("warm", "cold"), "softmax")


def shapes(model) -> dict[str, tuple]:
    return {name: (tuple(p.shape), p.dtype, p.requires_grad) for name, p in model.named_parameters()}


def tied(model) -> list[list[str]]:
    """Names of parameters that are one."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return sorted(own for own in names.values() if len(own) > 1)


@pytest.fixture(scope="module")
def saved(configured, tmp_path_factory):
    """Folders of a base for each task, and of an adapter on a causal one."""
    folder = tmp_path_factory.mktemp("saved")
    made = {}
    for preset, kind in (("causal", CAUSAL), ("seq2seq", SEQ2SEQ)):
        config = load_config(*split(configured(preset)))
        tokenizer = prepared_tokenizer(prepare_config(config))
        loaded = load_model(starting_model(config), tokenizer, precision=CPU, kind=kind)
        save_model(loaded.model, tokenizer, folder / preset, end_ids=loaded.end_ids)
        made[preset] = folder / preset
    model = config_of(
        "causal", configured, f"model.base={made['causal']}", "model.adapter=lora", "model.lora_r=3"
    ).model
    loaded = load_model(model, tokenizer, precision=CPU)
    save_model(loaded.model, tokenizer, folder / "adapter", end_ids=loaded.end_ids)
    return {**made, "adapter": folder / "adapter"}


def split(arguments: list[str]) -> tuple[str, list[str]]:
    return arguments[0], arguments[1:]


def config_of(preset, configured, *more):
    return load_config(*split([*configured(preset), *more]))


@pytest.mark.parametrize("preset", ["causal", "seq2seq"])
@pytest.mark.parametrize(
    "more",
    [
        ["model.adapter=none"],
        ["model.adapter=lora"],
        ["model.adapter=lora", "model.lora_target_modules=all-linear"],
        ["model.adapter=lora", "model.add_tokens=[soup]"],
        ["model.adapter=lora", "model.lora_modules_to_save=[lm_head]"],
    ],
    ids=["all", "lora", "all-linear", "tokens", "whole"],
)
def test_a_language_model(saved, configured, preset, more):
    if preset == "seq2seq" and "lm_head" in more[-1]:
        more = ["model.adapter=lora", "model.lora_r=5"]  # its shared embedding cannot be copied whole
    config = config_of(preset, configured, f"model.base={saved[preset]}", *more)
    tokenizer = prepared_tokenizer(prepare_config(config))
    kind = SEQ2SEQ if preset == "seq2seq" else CAUSAL
    real = load_model(starting_model(config), tokenizer, precision=CPU, kind=kind)
    found = training_skeleton(starting_model(config), tokenizer, dtype=CPU.dtype, kind=kind)
    assert shapes(found.model) == shapes(real.model)
    assert tied(found.model) == tied(real.model)
    assert (found.trainable, found.total) == (real.trainable, real.total)
    assert {parameter.device.type for parameter in found.model.parameters()} == {"meta"}


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_an_adapter_that_trains_on_or_is_merged(saved, configured, adapter):
    config = config_of("causal", configured, f"model.base={saved['adapter']}", f"model.adapter={adapter}")
    tokenizer = prepared_tokenizer(prepare_config(config))
    real = load_model(starting_model(config), tokenizer, precision=CPU)
    found = training_skeleton(starting_model(config), tokenizer, dtype=CPU.dtype)
    assert shapes(found.model) == shapes(real.model)


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["model.adapter=lora"],
        ["model.pooling=mean"],
        ["model.pooling=mean", "model.adapter=lora"],
        ["model.freeze_backbone=true"],
    ],
    ids=["all", "lora", "pooled", "pooled-lora", "frozen"],
)
def test_a_model_with_a_head(configured, more):
    config = config_of("classification", configured, *more)
    tokenizer = prepared_tokenizer(prepare_config(config))
    real = load_classifier(starting_model(config), tokenizer, HEAD, precision=CPU)
    found = classifier_skeleton(starting_model(config), tokenizer, HEAD, dtype=CPU.dtype)
    assert shapes(found.model) == shapes(real.model)


def test_four_bits_take_what_they_are_told_to(tmp_path, configured, saved):
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    from lossmith.models.four_bits import packed_bytes, packed_weights

    config = config_of("causal", configured, f"model.base={saved['causal']}", "model.load_in_4bit=true")
    tokenizer = prepared_tokenizer(prepare_config(config))
    real = load_model(starting_model(config), tokenizer, precision=CPU)
    found = training_skeleton(starting_model(config), tokenizer, dtype=CPU.dtype)
    quantised = {name: p for name, p in real.model.named_parameters() if type(p).__name__ == "Params4bit"}
    packed = packed_weights(found.model)
    numbers = sum(weight.numel() for weight in packed)
    assert numbers == sum(2 * weight.numel() * weight.element_size() for weight in quantised.values()) > 0
    others = {name: shape for name, shape in shapes(real.model).items() if name not in quantised}
    ids = {id(weight) for weight in packed}
    assert others == shapes_without(found.model, ids)
    held = sum(weight.untyped_storage().nbytes() + _scales(weight.quant_state) for weight in quantised.values())
    assert packed_bytes(packed, double=config.model.bnb_4bit_use_double_quant) == pytest.approx(held, rel=0.1)


def shapes_without(model, ids: set[int]) -> dict[str, tuple]:
    return {
        name: (tuple(p.shape), p.dtype, p.requires_grad) for name, p in model.named_parameters() if id(p) not in ids
    }


def _scales(state) -> int:
    nested = state.state2.absmax.untyped_storage().nbytes() if state.nested else 0
    return state.absmax.untyped_storage().nbytes() + nested
