"""Where a model runs and in which number format, each choice with the sentence that tells it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from lossmith.errors import ConfigError, InputError, unknown_name

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Precision:
    """Device and number format of a run.

    `dtype` is that of frozen weights and of compute; parameters that train stay fp32 and meet it under autocast.
    `notes` tell the choices, `warnings` what will disappoint.
    """

    device: torch.device
    dtype: torch.dtype
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The number format by its configuration name."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context that forward passes run in: autocast to `dtype`, or nothing in fp32."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def choose_precision(*, device: str = "auto", dtype: str = "auto") -> Precision:
    """The device and number format for the configured names.

    `device` is auto (cuda, then mps, then cpu) or a torch device such as cuda:1; `dtype` is auto, float32, bfloat16 or
    float16. auto is bfloat16 where the hardware multiplies it, float32 elsewhere and always on a CPU.
    Raises InputError for a device that is not there, ConfigError for float16 on a CPU.

    >>> choose_precision(device="cpu").name
    'float32'
    """
    place, notes = _choose_device(device)
    if dtype == "auto":
        chosen, note = _default_dtype(place)
        return Precision(place, chosen, (*notes, note))
    if dtype not in DTYPES:
        raise unknown_name("number format", dtype, ["auto", *DTYPES], where="model.dtype")
    return Precision(place, DTYPES[dtype], notes, _doubts(place, DTYPES[dtype]))


def _choose_device(wanted: str) -> tuple[torch.device, tuple[str, ...]]:
    if wanted == "auto":
        if torch.cuda.is_available():
            # torchrun gives each process of a machine a card of its own.
            place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            return place, (f"device: {place} ({torch.cuda.get_device_name(place)})",)
        if torch.backends.mps.is_available():
            return torch.device("mps"), ("device: mps (Apple GPU)",)
        return torch.device("cpu"), (f"device: cpu ({torch.get_num_threads()} threads; no GPU was found)",)
    try:
        place = torch.device(wanted)
    except RuntimeError:
        raise unknown_name("device", wanted, ["auto", "cpu", "cuda", "mps"], where="train.device") from None
    count = torch.cuda.device_count() if place.type == "cuda" else 1
    there: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if place.type not in there or not there[place.type]() or (place.index or 0) >= count:
        raise InputError(
            f"the device '{wanted}' is not there",
            got=wanted,
            expected=", ".join(name for name, found in there.items() if found()),
            fix="train.device=auto takes the best one that is",
        )
    return place, ()


def _default_dtype(place: torch.device) -> tuple[torch.dtype, str]:
    if place.type == "cpu":
        return torch.float32, "number format: float32, as always on a CPU unless model.dtype says otherwise"
    if multiplies_bf16(place):
        return torch.bfloat16, "number format: bfloat16 for frozen weights and compute, float32 for what trains"
    return torch.float32, (
        f"number format: float32, because {place} does not multiply bfloat16 "
        "(model.dtype=float16 halves the memory, with loss scaling)"
    )


def _doubts(place: torch.device, dtype: torch.dtype) -> tuple[str, ...]:
    if dtype == torch.float16 and place.type == "cpu":
        raise ConfigError(
            "float16 cannot train on a CPU",
            got="model.dtype=float16 on cpu",
            expected="float32, or bfloat16 where the processor has it",
            fix="model.dtype=auto",
        )
    if dtype == torch.bfloat16 and not multiplies_bf16(place):
        return (f"{place} has no bfloat16 hardware: expect it to be many times slower than float32",)
    return ()


def multiplies_bf16(place: torch.device) -> bool:
    """Whether a device has hardware for bfloat16; of a kind of device that is not known here, that it has."""
    return _BF16_HARDWARE.get(place.type, lambda: True)()


def _cuda_multiplies_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_multiplies_bf16() -> bool:
    known = torch.cpu.get_capabilities()
    # ARM processors report the extension under its own name.
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16"))


# By device type; Apple's GPUs multiply bfloat16 from macOS 14 on.
_BF16_HARDWARE: Mapping[str, Callable[[], bool]] = {
    "cuda": _cuda_multiplies_bf16,
    "cpu": _cpu_multiplies_bf16,
    "mps": lambda: torch.backends.mps.is_macos_or_newer(14, 0),
}
