"""Device and number format: each choice is told, and what cannot be is refused."""

from __future__ import annotations

import pytest
import torch

from lossmith.errors import ConfigError, InputError
from lossmith.models import precision as of
from lossmith.models.precision import choose_precision

cpu_only = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="for machines without a GPU"
)


@cpu_only
def test_auto_without_a_gpu_is_fp32_on_the_cpu_and_says_so():
    chosen = choose_precision()
    assert (chosen.device.type, chosen.dtype, chosen.warnings) == ("cpu", torch.float32, ())
    assert "no GPU was found" in chosen.notes[0]
    assert "float32, as always on a CPU" in chosen.notes[1]


def test_fp32_needs_no_autocast_and_bf16_has_it():
    weight = torch.randn(4, 4)
    with choose_precision(device="cpu", dtype="float32").autocast():
        assert (weight @ weight).dtype == torch.float32
    with choose_precision(device="cpu", dtype="bfloat16").autocast():
        assert (weight @ weight).dtype == torch.bfloat16


@pytest.mark.parametrize(("hardware", "warned"), [(True, 0), (False, 1)])
def test_bf16_on_a_cpu_is_allowed_and_warned_about_without_hardware(monkeypatch, hardware, warned):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": hardware})
    chosen = choose_precision(device="cpu", dtype="bfloat16")
    assert chosen.dtype == torch.bfloat16
    assert len(chosen.warnings) == warned


def test_a_gpu_without_bf16_falls_back_to_fp32_and_says_so(monkeypatch):
    monkeypatch.setitem(of._BF16_HARDWARE, "cuda", lambda: False)
    dtype, note = of._default_dtype(torch.device("cuda"))
    assert dtype == torch.float32
    assert "does not multiply bfloat16" in note


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="float16 cannot train on a CPU"):
        choose_precision(device="cpu", dtype="float16")
    with pytest.raises(InputError, match="did you mean 'bfloat16'"):
        choose_precision(device="cpu", dtype="bfloat61")
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        choose_precision(device="cudda")


@cpu_only
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="the device 'cuda:1' is not there"):
        choose_precision(device="cuda:1")
