"""The pieces of an estimate against what they stand for: the objective, the optimizer, batches, and what is proposed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from lossmith.config.load import load_config
from lossmith.config.train import TrainConfig
from lossmith.doctor.plan.batches import largest_rows, usual_rows
from lossmith.doctor.plan.changes import changes
from lossmith.doctor.plan.duration import Speed
from lossmith.doctor.plan.live import LiveBytes
from lossmith.doctor.plan.machine import Machine
from lossmith.doctor.plan.memory import Memory, Phase
from lossmith.doctor.plan.objective_bytes import objective_bytes
from lossmith.doctor.plan.optimizer_bytes import optimizer_needs
from lossmith.losses import Head, Objective
from lossmith.models.precision import choose_precision
from lossmith.tasks.prepare import prepare_config
from lossmith.train.loop import training_rows

CPU = choose_precision(device="cpu", dtype="float32")
SPEED = Speed(flops=1e9, bytes=1e9, calls=1e6)
TERMS = {"cross_entropy": 0.6, "sinkhorn": {"weight": 0.2, "span": "last"}, "lovasz_softmax": 0.2}


@pytest.mark.parametrize("trains", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("dense", [False, True], ids=["engine", "dense"])
@pytest.mark.parametrize("terms", [{"cross_entropy": 1.0}, TERMS], ids=["one", "three"])
def test_an_objective_at_full_size(terms, dense, trains):
    positions, width, vocab = 96, 192, 30_000
    objective = Objective(terms)
    draw = torch.Generator().manual_seed(1)
    head = torch.randn(vocab, width, generator=draw).requires_grad_(trains)
    hidden = torch.randn(positions, width, generator=draw, requires_grad=True)
    batch = {
        "labels": torch.randint(0, vocab, (positions,), generator=draw),
        "spans": {"last": (torch.arange(positions) % 12) - 2},
        "examples": torch.arange(positions) // 24,
    }
    said = objective_bytes(objective, batch, head, dense=dense, dtype=torch.float32, device=CPU.device)
    named = {"spans": batch["spans"], "examples": batch["examples"]}
    if objective.needs_embeddings:
        named["embeddings"] = (head.detach(), 1.0)
    with LiveBytes() as live:
        (objective.dense if dense else objective)(hidden, Head(head), batch["labels"], **named).total.backward()
    held = live.peak - (head.numel() * 4 if trains else 0)
    assert said == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize(("optim", "kept"), [("adamw_torch", 8), ("sgd", 0), ("adafactor", 0), ("rmsprop", 4)])
def test_an_optimizer_says_what_it_keeps(optim, kept):
    needs = optimizer_needs(TrainConfig(optim=optim), precision=CPU, speed=SPEED)
    assert needs.kept == pytest.approx(kept, abs=0.1)
    assert needs.seconds > 0


def test_a_step_goes_parameter_by_parameter_or_takes_them_all():
    alone = optimizer_needs(TrainConfig(), precision=CPU, speed=SPEED)
    assert not alone.together
    assert alone.in_a_step(10_000_000, 1000) == round(alone.briefly * 1000) > 0
    assert replace(alone, together=True).in_a_step(10_000_000, 1000) == round(alone.briefly * 10_000_000)


def test_an_optimizer_in_eight_bits():
    pytest.importorskip("bitsandbytes", reason="the extra 'quant' is not installed")
    needs = optimizer_needs(TrainConfig(optim="paged_adamw_8bit"), precision=CPU, speed=SPEED)
    assert needs.kept == pytest.approx(2.0, abs=0.2)


def test_an_optimizer_that_is_not_here_is_taken_by_its_kind():
    assert optimizer_needs(TrainConfig(optim="adalomo"), precision=CPU, speed=SPEED).kept == 8.0


def test_batches_hold_the_longest_rows_of_both_sides(configured):
    preset, *overrides = configured("seq2seq")
    config = load_config(preset, overrides)
    rows = training_rows(prepare_config(config), config.train, seed=0, columns=("id", "input_ids", "prompt_length"))
    rows = rows["train"]
    sources = [rows[number]["prompt_length"] for number in range(len(rows))]
    targets = [len(rows[number]["input_ids"]) - sources[number] for number in range(len(rows))]
    chosen = largest_rows(rows, 3)
    assert len({row["row"] for row in chosen}) == 3
    assert max(row["prompt_length"] for row in chosen) == max(sources)
    assert max(len(row["input_ids"]) - row["prompt_length"] for row in chosen) == max(targets)
    usual = usual_rows(rows, 3, seed=0)
    longest = max(len(row["input_ids"]) for row in usual)
    assert min(rows.lengths) < longest <= max(rows.lengths)
    assert len(largest_rows(rows, 10_000)) == len(usual_rows(rows, 10_000, seed=0)) == len(rows)


def test_a_peak_is_the_highest_phase_with_all_its_parts():
    memory = Memory([Phase("forward", weights=5, activations=9), Phase("optimizer step", weights=5, optimizer=10)], 15)
    assert (memory.peak.name, memory.peak.total, memory.fits) == ("optimizer step", 15, True)
    assert memory.most("activations") == 9
    assert memory.as_json()["at_peak_bytes"]["activations"] == 0


def test_changes_add_up_until_one_fits(configured):
    preset, *overrides = configured("causal", "model.base=some/model", "model.adapter=none")
    config = load_config(preset, overrides)
    machine = Machine(CPU, SPEED, process=0, room=100, keeps=0.0)
    peaks = iter([400, 500, 300, 90])
    tried = []

    def peak_of(more):
        tried.append(more)
        load_config(config, more)  # every proposal is a configuration that goes
        return next(peaks)

    found = changes(config, machine, peak_of)
    assert [change.peak_bytes for change in found] == [400, 300, 90]
    assert [change.fits for change in found] == [False, False, True]
    assert found[0].overrides == ("train.per_device_train_batch_size=1", "train.gradient_accumulation_steps=3")
    for before, after in pairwise(found):
        assert after.overrides[: len(before.overrides)] == before.overrides
    # The second lowered nothing: the third was tried without it.
    assert not set(tried[1]) - set(tried[0]) & set(tried[2])
    assert found[-1].overrides[-1] == "model.adapter=lora"


def test_a_peak_is_that_of_the_process_and_not_of_the_one_that_started_it():
    code = "from lossmith.train.facts import peak_memory_bytes; print(peak_memory_bytes())"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    held = (
        f"import subprocess, sys; ballast = b'x' * ({alone} + 2**29); "
        f"print(subprocess.run([sys.executable, '-c', {code!r}], capture_output=True, text=True, check=True).stdout)"
    )
    beside = subprocess.run([sys.executable, "-c", held], capture_output=True, text=True, check=True).stdout
    assert json.loads(beside) == pytest.approx(json.loads(alone), rel=0.2)
