"""A step of `lossmith train` against one of the plain transformers Trainer with dense cross-entropy.

    python benchmarks/training.py [--width 256 --layers 4 --vocab 32000 --length 256 --batch 8] [--json FILE]

One small Qwen3 of random weights, half of the tokens in prompts, the same records, batches, optimizer and schedule in
fp32. Four sides take turns by blocks of steps in one process, each in a thread of its own that rests while another has
its turn: both trainers, and for each a loop written by hand around the same loss, which is the floor its trainer stands
on. Peaks of memory are taken in a process for each side. Then both trainers run with clocks inside, which tell apart
where a step's time goes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from clocks import PARTS, Clocks
from measuring import (
    MIB,
    add_flags,
    add_numbers,
    extra_peaks,
    interleaved,
    machine_facts,
    print_extra_peak,
    summary,
    table,
    write_json,
)
from training_sides import SIDES, TRAINERS, Turns, side, write_base, write_records

TARGET_RATIO = 1.3
SPEED = "lossmith over trainer, tokens a second"


def timed(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds a step and tokens a second of each side, blocks taking turns."""
    turns = {name: Turns(side(name, flags), block=flags.block) for name in SIDES}
    times = interleaved(turns, repeat=flags.repeat)
    for each in turns.values():
        each.stop()
    rows = []
    for name, seconds in times.items():
        facts = {key.replace("_s", "_step_s"): value / flags.block for key, value in summary(seconds).items()}
        tokens = flags.batch * flags.accumulation * flags.length * (1 - flags.spread / 2)
        rows.append({"side": name, **facts, "tokens_per_s": tokens / facts["median_step_s"]})
    return rows


def parted(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of a step by part, of both trainers in turns."""
    clocks = {name: Clocks() for name in TRAINERS}
    turns = {name: Turns(side(name, flags, clocks[name]), block=flags.block) for name in TRAINERS}
    for each in turns.values():
        each()
    for clock in clocks.values():
        clock.clear()
    for _ in range(flags.repeat):
        for name, each in turns.items():
            with clocks[name].running():
                each()
    for each in turns.values():
        each.stop()
    steps = flags.repeat * flags.block
    rows: list[dict[str, Any]] = [
        {"part": part} | {f"{name}_ms": 1000 * clock.seconds[part] / steps for name, clock in clocks.items()}
        for part in PARTS
    ]
    whole = {f"{name}_ms": 1000 * sum(clock.seconds[part] for part in PARTS) / steps for name, clock in clocks.items()}
    return [*rows, {"part": "step", **whole}]


def memory(flags: argparse.Namespace, given: list[str]) -> list[dict[str, Any]]:
    """Peaks beyond the model itself, and beyond its gradients and the two moments of Adam, which all sides hold."""
    from safetensors.torch import load_file

    held = 3 * sum(value.nbytes for value in load_file(flags.folder / "base" / "model.safetensors").values())
    peaks = extra_peaks(__file__, SIDES, [*given, "--folder", str(flags.folder)])
    return [
        {"side": name, "extra_MiB": peak / MIB, "beyond_optimizer_MiB": (peak - held) / MIB}
        for name, peak in peaks.items()
    ]


def read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_numbers(
        parser,
        (
            ("width", 256, "of the model"),
            ("layers", 4, "of the model"),
            ("vocab", 32_000, "words"),
            ("length", 256, "tokens of a record, half of them in its prompt"),
            ("batch", 8, "records of a micro-batch"),
            ("accumulation", 1, "micro-batches of a step"),
            ("records", 256, "records to train on"),
            ("block", 2, "steps of a turn"),
            ("logging-steps", 10, "steps between log lines"),
            ("share-steps", 0, "steps between measurements of the terms' shares; 0: chosen for a run without end"),
        ),
    )
    parser.add_argument("--spread", type=float, default=0.0, help="records are up to this share shorter")
    parser.add_argument("--objective", default="{cross_entropy: 1}", help="of lossmith's sides")
    parser.add_argument("--optim", default="adamw_torch", help="of all sides, by transformers' name")
    parser.add_argument("--folder", type=Path, help="where model and records lie, or are made")
    add_flags(parser, repeat=5)
    return parser.parse_args()


def make_folder(flags: argparse.Namespace) -> bool:
    """Model and records for all sides and processes; whether they were made here."""
    fresh = flags.folder is None
    if fresh:
        flags.folder = Path(tempfile.mkdtemp(prefix="lossmith-benchmark-"))
        write_base(flags.folder / "base", flags)
        write_records(flags.folder / "records.jsonl", flags)
    os.environ["LOSSMITH_CACHE"] = str(flags.folder / "cache")
    return fresh


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How the sides compare, by the fastest block and by the one in the middle."""
    found = {}
    for kind in ("min", "median"):
        seconds = {row["side"]: row[f"{kind}_step_s"] for row in rows}
        found[f"{SPEED}, {kind}"] = seconds["trainer"] / seconds["lossmith"]
        found[f"lossmith over its loop, seconds, {kind}"] = seconds["lossmith"] / seconds["loop"]
        found[f"Trainer over its loop, seconds, {kind}"] = seconds["trainer"] / seconds["dense loop"]
    return found


def report(flags: argparse.Namespace) -> int:
    """Measure and tell; 1 where a target is missed."""
    facts: dict[str, Any] = {
        "machine": machine_facts(flags.device),
        "sizes": {name: str(value) for name, value in vars(flags).items()},
        "sides": SIDES,
    }
    facts["time"] = timed(flags)
    print(table(facts["time"]), end="\n\n")
    facts["ratios"] = ratios(facts["time"])
    for what, ratio in facts["ratios"].items():
        print(f"{what}: {ratio:.3f}")
    print()
    facts["parts"] = parted(flags)
    print(table(facts["parts"]), end="\n\n")
    passed = all(facts["ratios"][f"{SPEED}, {kind}"] >= TARGET_RATIO for kind in ("min", "median"))
    if not flags.no_memory:
        facts["memory"] = memory(flags, sys.argv[1:])
        print(table(facts["memory"]))
        peaks = {row["side"]: row["extra_MiB"] for row in facts["memory"]}
        passed = passed and peaks["lossmith"] < peaks["trainer"]
    write_json(flags.json, facts | {"target_ratio": TARGET_RATIO, "passed": passed})
    return 0 if passed else 1


def main() -> int:
    flags = read_flags()
    import torch

    torch.set_num_threads(flags.threads)
    fresh = make_folder(flags)
    try:
        if flags.memory:
            method = Turns(side(flags.only, flags), block=2)
            print_extra_peak(method, device=flags.device)
            return 0
        return report(flags)
    finally:
        if fresh:
            shutil.rmtree(flags.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
