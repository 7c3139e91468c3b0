"""What a machine computes on: each device with a timed matrix product, its memory, and whether it multiplies bf16."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import psutil
import torch

from lossmith.doctor.health.finding import Finding
from lossmith.models.precision import multiplies_bf16

_AREA = "devices"
SIDE, ROUNDS = 1024, 5
GIB = 2**30
# A model of 0.1 B parameters with its gradients and Adam's moments in fp32 takes 1.6 GiB beside the libraries.
LITTLE_MEMORY = 3 * GIB


def device_findings() -> Iterator[Finding]:
    """The processor, every CUDA card, an Apple GPU, and memory; absent devices are told, with the reason if known."""
    threads = torch.get_num_threads()
    yield _timed(torch.device("cpu"), f"{threads} thread{'s' * (threads > 1)} on {os.cpu_count()} cores")
    yield _memory()
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            place = torch.device("cuda", number)
            free, total = torch.cuda.mem_get_info(place)
            yield _timed(
                place, f"{torch.cuda.get_device_name(place)}, {free / GIB:.1f} of {total / GIB:.1f} GiB memory free"
            )
    else:
        yield _without_cuda()
    if torch.backends.mps.is_available():
        yield _timed(torch.device("mps"), "Apple GPU")


def _timed(place: torch.device, about: str) -> Finding:
    formats = {"float32": torch.float32}
    if multiplies_bf16(place):
        formats["bfloat16"] = torch.bfloat16
    try:
        speeds = {name: gigaflops(place, dtype) for name, dtype in formats.items()}
    except RuntimeError as error:
        said = f"{about}: a matrix product failed ({str(error).splitlines()[0]})"
        return Finding(_AREA, str(place), "error", said, "train.device=cpu, or mend the driver: torch names it above")
    told = ", ".join(f"{name} {speed:,.0f} GFLOP/s" for name, speed in speeds.items())
    bf16 = "" if "bfloat16" in formats else "; no bf16 hardware, so number formats stay float32"
    return Finding(_AREA, str(place), "ok", f"{about}: {told}{bf16}", facts={"gflops": speeds})


def gigaflops(place: torch.device, dtype: torch.dtype) -> float:
    """Speed of the fastest of a few products of two square matrices, in 1e9 operations a second."""
    left = torch.ones(SIDE, SIDE, device=place, dtype=dtype)
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        # Reading one number waits for the device.
        float((left @ left)[0, 0])
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds[1:]) / 1e9


def _memory() -> Finding:
    held = psutil.virtual_memory()
    said = f"{held.available / GIB:.1f} of {held.total / GIB:.1f} GiB free"
    if held.available < LITTLE_MEMORY:
        fix = "close other programs; model=scratch-tiny, an adapter and small batches take the least"
        return Finding(_AREA, "memory", "warning", said, fix, {"bytes_free": held.available})
    return Finding(_AREA, "memory", "ok", said, facts={"bytes_free": held.available})


def _without_cuda() -> Finding:
    card = shutil.which("nvidia-smi") is not None
    if card and torch.version.cuda is None:
        said = f"there is an NVIDIA driver, and torch {torch.__version__} was built without CUDA"
        return Finding(_AREA, "cuda", "warning", said, "install a CUDA build of torch (pytorch.org names the index)")
    if card:
        said = f"there is an NVIDIA driver, and torch (CUDA {torch.version.cuda}) finds no card"
        return Finding(_AREA, "cuda", "warning", said, "look at nvidia-smi, CUDA_VISIBLE_DEVICES and the driver's age")
    return Finding(_AREA, "cuda", "ok", "no NVIDIA card")
