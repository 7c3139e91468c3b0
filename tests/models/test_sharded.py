"""FSDP2: a sharded head is gathered once a call, and its gradient is scattered back as the single process has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .sharded_step import CASES

ROOT = Path(__file__).resolve().parents[2]


def test_gradients_of_two_sharded_processes_are_those_of_one():
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29741"]
    finished = subprocess.run(
        [*command, "-m", "tests.models.sharded_step"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    found = {line["case"]: line for line in map(json.loads, finished.stdout.splitlines())}
    assert found.keys() == CASES.keys()
    for case, line in found.items():
        assert line["processes"] == 2
        assert line["largest share of a parameter"] <= 0.6, "nothing was sharded"
        assert line["value"] < 1e-6, case
        assert line["gradient"] < 1e-5, case
        assert line["parameters"] >= 4
        # A head in the group of the whole model stands gathered after the call; one apart is gathered here.
        assert line["gathers of the head"] == (2 if CASES[case][2] else 0), case
