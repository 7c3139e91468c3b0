"""How benchmarks measure: methods that take turns in one process, and peaks of memory in processes of their own.

A benchmark adds `add_flags` to its parser, times its methods with `interleaved`, asks `extra_peaks` for their memory,
and runs itself again for that: `python benchmarks/x.py --only NAME --memory` calls `print_extra_peak` on one method.
torch is imported where it is needed, so that benchmarks without it stay light.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MIB = 2**20


def add_numbers(parser: argparse.ArgumentParser, flags: Iterable[tuple[str, int, str]]) -> None:
    """A whole number for each (name, default, what it is)."""
    for name, default, what in flags:
        parser.add_argument(f"--{name}", type=int, default=default, help=what)


def add_flags(parser: argparse.ArgumentParser, *, repeat: int) -> None:
    """The flags that all benchmarks of torch code share."""
    parser.add_argument("--threads", type=int, default=2, help="torch's threads")
    parser.add_argument("--repeat", type=int, default=repeat, help="timed rounds over all methods")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="file for everything measured")
    parser.add_argument("--only", help="this method alone")
    parser.add_argument("--memory", action="store_true", help="with --only: print its extra peak memory in bytes")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks of memory out")


def interleaved(
    methods: Mapping[str, Callable[[], object]], *, repeat: int, warmup: int = 1, device: str = "cpu"
) -> dict[str, list[float]]:
    """Seconds of each method in each round; the first place of a round passes on, so that noise falls on all."""
    names = list(methods)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warmup + repeat):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            wait_for(device)
            start = time.perf_counter()
            methods[name]()
            wait_for(device)
            if number >= warmup:
                times[name].append(time.perf_counter() - start)
    return times


def wait_for(device: str) -> None:
    """Until the device has done what it was told."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def summary(times: Sequence[float]) -> dict[str, float]:
    """Minimum and median, in seconds."""
    return {"min_s": min(times), "median_s": statistics.median(times)}


def extra_peaks(script: str, names: Iterable[str], flags: Sequence[str]) -> dict[str, int]:
    """Bytes that each method needs at its peak beyond what stood before it, each in a process of its own.

    `flags` are the sizes, as the script itself was given them (`sys.argv[1:]`); later ones win.
    """
    peaks = {}
    for name in names:
        command = [sys.executable, script, *flags, "--only", name, "--memory"]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peaks[name] = int(told.splitlines()[-1])
    return peaks


def print_extra_peak(method: Callable[[], object], *, device: str = "cpu") -> None:
    """Call a method once in this fresh process and print its extra peak in bytes, for `extra_peaks` to read.

    Memory freed before, while inputs were made, goes back to the system first: used again it would not be counted.
    """
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kept = method()
        torch.cuda.synchronize()
        print(torch.cuda.max_memory_allocated() - before)
    else:
        ctypes.CDLL(None).malloc_trim(0)
        # Writing 5 sets the high-water mark back to what is resident now.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = resident_bytes("VmRSS")
        kept = method()
        print(resident_bytes("VmHWM") - before)
    del kept


def resident_bytes(mark: str = "VmHWM") -> int:
    """Resident memory of this process: VmRSS now, VmHWM at its highest. ru_maxrss would hold the parent's too."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{mark}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {mark} in /proc/self/status")


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same keys as a table that Markdown reads too; numbers to four digits, missing ones blank.

    >>> print(table([{"method": "ours", "min_s": 0.12345, "MiB": None}]))
    | method |  min_s | MiB |
    |--------|--------|-----|
    | ours   | 0.1235 |     |
    """
    heads = list(rows[0])
    cells = [[_cell(row.get(head)) for head in heads] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(heads, *cells, strict=True)]
    numbers = [any(isinstance(row.get(head), int | float) for row in rows) for head in heads]

    def line(texts: Sequence[str]) -> str:
        placed = zip(texts, widths, numbers, strict=True)
        return "| " + " | ".join(t.rjust(w) if right else t.ljust(w) for t, w, right in placed) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(heads), rule, *(line(texts) for texts in cells)])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def machine_facts(device: str = "cpu") -> dict[str, Any]:
    """Where a figure was measured."""
    import torch

    return {
        "processor": _processor(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": sys.argv,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def write_json(path: Path | None, facts: Mapping[str, Any]) -> None:
    """Write what was measured, where a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
