"""A step followed without numbers holds what the same step holds with them."""

from __future__ import annotations

import pytest
import torch

from lossmith.config.load import load_config
from lossmith.doctor.plan.batches import largest_rows
from lossmith.doctor.plan.duration import Duration, Speed, operations
from lossmith.doctor.plan.subject import subject_of
from lossmith.doctor.plan.trace import trace_evaluation, trace_training, without_numbers
from lossmith.losses import Objective
from lossmith.models.precision import choose_precision
from lossmith.tasks.prepare import prepare_config, prepared_tokenizer
from lossmith.tasks.task import Given, task_of
from lossmith.train.arguments import enable_gradient_checkpointing
from lossmith.train.loop import training_rows

CPU = choose_precision(device="cpu", dtype="float32")
SPEED = Speed(flops=1e9, bytes=1e9, calls=1e6)


def given_and_batch(arguments: list[str]):
    config = load_config(arguments[0], arguments[1:])
    prepared, task = prepare_config(config), task_of(config)
    given = Given(config, prepared, prepared_tokenizer(prepared), CPU)
    objective, _ = task.weigh(Objective(config.objective), given)
    rows = training_rows(prepared, config.train, seed=config.seed, columns=task.columns)
    collate = task.collator(objective, given)
    return given, objective, collate, collate(largest_rows(rows["train"], config.train.per_device_train_batch_size))


def really(model):
    """The same model with numbers."""
    held = {}

    def placed(tensor):
        if id(tensor) not in held:
            made = torch.full(tensor.shape, 0.01, dtype=tensor.dtype) if tensor.is_floating_point() else None
            made = torch.zeros(tensor.shape, dtype=tensor.dtype) if made is None else made
            if isinstance(tensor, torch.nn.Parameter):
                made = torch.nn.Parameter(made, requires_grad=tensor.requires_grad)
            held[id(tensor)] = made
        return held[id(tensor)]

    for module in model.modules():
        for names in (module._parameters, module._buffers):
            names.update({name: placed(tensor) for name, tensor in names.items() if tensor is not None})
    return model


@pytest.mark.parametrize("windows", [1, 2])
@pytest.mark.parametrize(
    "arguments",
    [
        ["causal"],
        ["causal", "model.adapter=lora"],
        ["causal", "model.adapter=lora", "model.lora_target_modules=[q_proj, lm_head]"],
        ["seq2seq"],
        ["seq2seq", "model.adapter=lora"],
        ["classification"],
        ["classification", "model.pooling=mean"],
    ],
    ids=" ".join,
)
def test_without_numbers_and_with_them(configured, arguments, windows):
    given, objective, collate, batch = given_and_batch(configured(*arguments))
    imagined, real = (subject_of(given, objective, collate) for _ in range(2))
    how = {"precision": CPU, "windows": windows, "speed": SPEED}
    with without_numbers(imagined.loaded.model, CPU.device) as model:
        found = trace_training(model, imagined.forward, batch, **how)
        evaluated = trace_evaluation(model, imagined.forward, batch, precision=CPU, speed=SPEED)
    truth = trace_training(really(real.loaded.model), real.forward, batch, **how)
    assert (found.forward, found.kept, found.backward) == (truth.forward, truth.kept, truth.backward)
    # Real masks are looked at, which takes a few operations.
    assert found.seconds == pytest.approx(truth.seconds, rel=0.02)
    assert found.kept.activations > 10 * evaluated.kept.activations
    trained = sum(parameter.numel() * 4 for parameter in real.trained)
    held = sum(p.grad.numel() * 4 for p in real.loaded.model.parameters() if p.grad is not None)
    assert held == trained
    assert found.forward.gradients == (trained if windows == 2 else 0)


def test_checkpointing_keeps_less_and_takes_longer(configured):
    traces = []
    for checkpointing in (False, True):
        given, objective, collate, batch = given_and_batch(configured("causal", "model.num_hidden_layers=4"))
        subject = subject_of(given, objective, collate)
        if checkpointing:
            enable_gradient_checkpointing(subject.loaded.model)
        with without_numbers(subject.loaded.model, CPU.device) as model:
            traces.append(trace_training(model, subject.forward, batch, precision=CPU, windows=1, speed=SPEED))
    plain, less = traces
    assert less.kept.activations < plain.kept.activations / 3
    assert 1.15 * plain.seconds < less.seconds < 1.6 * plain.seconds


@pytest.mark.parametrize("backward", [False, True])
def test_attention_of_a_processor_has_the_operations_of_its_products(backward):
    query, key, value = (torch.randn(2, 4, tokens, 8, requires_grad=backward) for tokens in (16, 32, 32))
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            if "attention" in func.__name__:
                seen.append(operations(func, args, kwargs or {}, made))
            return made

    with Watch():
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        if backward:
            out.sum().backward()
    product = 2 * 2 * 4 * 16 * 32 * 8
    # Scores, and their sum of values; backward makes the scores again and four products more.
    assert seen == [2 * product, *([5 * product] if backward else [])]


def test_an_operation_takes_as_long_as_its_slowest_part():
    left, right = torch.ones(64, 64), torch.ones(64, 64)
    with Duration(Speed(flops=2 * 64**3, bytes=1e18, calls=1e18)) as products:
        left @ right
    with Duration(Speed(flops=1e18, bytes=3 * 64 * 64 * 4, calls=1e18)) as moved:
        left + right
    with Duration(Speed(flops=1e18, bytes=1e18, calls=1)) as called:
        left + right
        left.t()  # a view takes nothing
    assert [each.seconds for each in (products, moved, called)] == pytest.approx([1, 1, 1])
