"""`lossmith demo`: from nothing to a report that compares two objectives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossmith.config.load import load_config
from lossmith.demo import FULL, QUICK, RUNS

CONTINUED = "kept as an earlier call"


def _demo(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run the command in a process of its own; returns it and the processor seconds it took."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "lossmith.cli", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        # One thread each: on a machine that other work shares, threads that wait for each other take many times as long.
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    after = os.times()
    return done, after.children_user - before.children_user


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The quick demo, once, in a fresh folder."""
    out = tmp_path_factory.mktemp("demo")
    start = time.monotonic()
    done, processor = _demo("--quick", "--out", str(out))
    print(f"lossmith demo --quick: {time.monotonic() - start:.1f} s, {processor:.1f} s of one processor")
    return out, done


def test_the_last_line_is_the_path_of_the_report(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = first
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    page = Path(done.stdout.splitlines()[-1])
    assert page.is_file()
    assert out in page.parents
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in RUNS)
    assert "sinkhorn" in text


def test_both_runs_are_measured_and_compared(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = first
    for name in RUNS:
        metrics = json.loads((out / "quick" / name / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["n"] == QUICK.records // 10
        assert next(iter(metrics["metrics"])) == "ingredient_f1"
        figure = metrics["metrics"]["ingredient_f1"]
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert "nearest_training_record" in metrics["baselines"]
        history = (out / "quick" / name / "history.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line)["terms"]["cross_entropy"]["value"] for line in history if '"terms"' in line]
        assert losses[-1] < losses[0] / 4
    assert f"paired comparison on {QUICK.records // 10} records" in done.stdout
    assert "mixed" in done.stdout
    assert "cross-entropy on ingredient_f1." in done.stdout
    assert "proves the path, not the quality" in done.stdout


def test_no_test_title_is_a_training_title(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = first
    records = [json.loads(line) for line in (out / "quick" / "kitchen.jsonl").read_text(encoding="utf-8").splitlines()]
    titles = {split: {r["title"] for r in records if r["split"] == split} for split in ("train", "test")}
    assert len(records) == QUICK.records
    assert titles["test"]
    assert not titles["test"] & titles["train"]


def test_a_second_call_keeps_what_is_finished(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = first
    made = {file: file.stat().st_mtime_ns for file in (out / "quick").glob("*/model/*.safetensors")}
    assert len(made) == len(RUNS)
    again, _ = _demo("--quick", "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count(CONTINUED) == len(RUNS)
    assert done.stdout.count(CONTINUED) == 0
    assert {file: file.stat().st_mtime_ns for file in made} == made
    assert again.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]


def test_the_runs_differ_in_their_objective_alone() -> None:
    for size in (FULL, QUICK):
        given = [*size.overrides, "data.files=kitchen.jsonl", "name=demo"]
        first, second = (load_config(f"demo/{name}", given).model_dump() for name in RUNS)
        assert {key for key in first if first[key] != second[key]} == {"objective"}
