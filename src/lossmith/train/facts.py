"""What the manifest says of where and from what a run was made."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lossmith.config.load import training_hash
from lossmith.config.schema import Config
from lossmith.losses import Objective
from lossmith.names import code_hash, import_folders

_STATUS = Path("/proc/self/status")
_LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "numpy", "pyarrow", "hydra-core")


def peak_memory_bytes() -> int:
    """Peak resident memory of this process so far; what it holds on a GPU is no part of it."""
    if _STATUS.exists():
        # What getrusage tells on Linux begins with the peak of the process that started this one.
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def git_facts() -> dict[str, Any] | None:
    """Commit and cleanness of the working folder, None outside a repository."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        status = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.stdout.strip(), "changed": bool(status.stdout.strip())}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_facts(config: Config) -> dict[str, Any]:
    """The manifest's first entries."""
    return {
        "schema": 1,
        "lossmith": _version("lossmith"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        "platform": platform.platform(),
        "seed": config.seed,
        "command": sys.argv,
        "git": git_facts(),
        "config_hash": training_hash(config),
        "code": import_folders(),
    }


def objective_facts(
    objective: Objective, counted: Mapping[str, list[dict[str, Any]]] | None = None
) -> list[dict[str, Any]]:
    """The terms as the manifest keeps them; `counted` are the weights that were counted on the training split."""
    return [
        {
            "name": term.name,
            "loss": term.loss,
            "code": code_hash(term.loss, what="loss") if ":" in term.loss else None,
            "task": term.task,
            "weight": term.weight,
            "span": list(term.span),
            "kind": term.kind,
            "unit": term.unit,
            "scope": term.scope,
            "parameters": dict(term.params),
            "counted": (counted or {}).get(term.name, []),
        }
        for term in objective.terms
    ]
