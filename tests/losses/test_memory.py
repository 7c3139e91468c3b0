"""Peak memory of the engine, each measurement in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

POSITIONS, WIDTH = 512, 64
MIB = 2**20
# Every larger block is taken from the system and given back at once: what the allocator keeps for later, up to
# 10 MiB and another number each time, is no memory of the method.
EXACT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}

MEASURE = """
import sys
from pathlib import Path

import torch

from lossmith.losses import Head, Objective

positions, width, vocab, trained, tile, how = (int(each) for each in sys.argv[1:])
torch.set_num_threads(1)
draw = torch.Generator().manual_seed(0)
hidden = torch.randn(positions, width, generator=draw, requires_grad=True)
weight = torch.randn(vocab, width, generator=draw).requires_grad_(bool(trained))
labels = torch.randint(0, 50, (positions,), generator=draw)
examples = torch.arange(positions) // 64
terms = {"cross_entropy": 1.0, "focal": 0.5, "generalized_dice": 0.5, "lovasz_softmax": 0.5, "sinkhorn": 0.5}
objective = Objective(terms, tile_bytes=tile or None)
keywords = {"examples": examples, "embeddings": (weight.detach(), 8.0)}
if how == 1:  # what is loaded at first use is no memory of the method
    objective(hidden[:64], Head(weight[:100]), labels[:64], examples=examples[:64], embeddings=(weight[:100], 8.0))


def resident(mark):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(mark))


Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
(objective if how == 1 else objective.dense)(hidden, Head(weight), labels, **keywords).total.backward()
print(resident("VmHWM") - before)
"""


def extra_peak(vocab: int, *, trained: bool = False, tile: int = 0, dense: bool = False) -> int:
    """Bytes that a call and its backward need beyond its inputs."""
    sizes = [POSITIONS, WIDTH, vocab, int(trained), tile, 0 if dense else 1]
    command = [sys.executable, "-c", MEASURE, *map(str, sizes)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **EXACT})
    return int(ran.stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_peak_memory_does_not_grow_with_the_vocabulary() -> None:
    small, large = (extra_peak(vocab) for vocab in (20_000, 80_000))
    logits = POSITIONS * 80_000 * 4
    assert large < logits / 4
    assert large - small < 2 * MIB
    assert extra_peak(80_000, dense=True) > 3 * logits


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_a_trained_head_adds_its_gradient() -> None:
    small, large = (extra_peak(vocab, trained=True) for vocab in (20_000, 80_000))
    gradient = 60_000 * WIDTH * 4
    # Nothing else of the head's size: no copy on the way to .grad.
    assert large - small < gradient + 2 * MIB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_the_tile_can_be_made_smaller() -> None:
    assert extra_peak(80_000, tile=2 * MIB) < extra_peak(80_000, tile=64 * MIB)
