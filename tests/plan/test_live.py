"""Bytes that are alive: as many as autograd and its owners really hold."""

from __future__ import annotations

import gc

import torch
from torch import nn

from lossmith.doctor.plan.live import LiveBytes

KIB = 1024


def test_what_autograd_keeps_is_alive_until_backward():
    states = torch.randn(KIB, requires_grad=True)
    with LiveBytes([states]) as live:
        out = states.exp().sin().sum()  # exp keeps its result, which sin keeps as its input: one storage
        assert live.now == 4 * KIB + out.untyped_storage().nbytes()
        out.backward()
        del out
        assert live.now == 4 * KIB  # the gradient
        states.grad = None
    assert live.now == 0


def test_views_and_outside_tensors_hold_nothing():
    matrix = torch.randn(64, 64)
    with LiveBytes([matrix]) as live:
        held = [matrix.t(), matrix[3:], matrix.view(-1)]
        assert live.now == live.peak == 0
        held.append(matrix.clone())
        assert live.now == 64 * 64 * 4


def test_the_peak_says_what_was_watched_then():
    watched = 1
    with LiveBytes(watch=lambda: watched) as live:
        one = torch.ones(KIB)
        watched = 2
        both = one, torch.ones(KIB)
        del both, one
        gc.collect()
        watched = 3
        torch.ones(KIB)
    assert (live.peak, live.of_peak) == (8 * KIB, 2)
    live.restart()
    assert live.peak == live.now == 0


def test_a_module_frees_what_it_does_not_keep():
    layers = nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 16))
    batch = torch.randn(8, 16)
    with LiveBytes([batch, *layers.parameters()]) as live, torch.no_grad():
        out = layers(batch)
        assert live.now == out.numel() * 4
        assert live.peak == 2 * 8 * 256 * 4  # both sides of the ReLU
