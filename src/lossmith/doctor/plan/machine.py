"""The device that a plan is made for: its room, its speed, and what is taken on it before a model is there."""

from __future__ import annotations

import ctypes
import gc
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from lossmith.doctor.plan.duration import Speed
from lossmith.models.precision import Precision

# Where Linux tells what a container may take, and takes; the first is version 2 of control groups.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
# What glibc does not find again of the memory that activations have passed through, as a share of it: between large
# blocks lie small ones that live longer. Found by runs with and without it, in docs/benchmarks.md.
KEPT_BY_GLIBC = 0.4


@dataclass(frozen=True)
class Machine:
    """Where a training is to run. `process` are bytes of the interpreter, its libraries and the rows, where they share
    the memory of the device; `room` the bytes that can be had, these among them; `keeps` what the
    allocator holds beside activations, as a share of all that pass.
    """

    precision: Precision
    speed: Speed
    process: int
    room: int
    keeps: float

    @classmethod
    def of(cls, precision: Precision, *, room: int | None = None) -> Machine:
        """The one that this runs on; `room` stands for that of another."""
        device = precision.device
        speed = Speed.of(device, precision.dtype)
        shared = device.type == "cpu"
        process = process_bytes() if shared else 0
        keeps = KEPT_BY_GLIBC if shared and platform.libc_ver()[0] == "glibc" else 0.0
        return cls(precision, speed, process, room or room_bytes(device) + process, keeps)


def process_bytes() -> int:
    """What this process holds in memory, once it gave back what it does not need."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def room_bytes(device: torch.device) -> int:
    """What can still be had on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    free = psutil.virtual_memory().available
    for limit, used in _LIMITS:
        allowed = _number(limit)
        if allowed is not None:
            return int(max(0, min(free, allowed - (_number(used) or 0))))
    return int(free)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there, or "max"
        return None
