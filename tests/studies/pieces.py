"""Work for worker processes: functions of a configuration as plain values."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.errors import DataError


def work(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration's name says: fail, die, stay, or tell of this process."""
    name = values["name"]
    if name.startswith("bad"):
        raise DataError("no record is left", got="0 records", fix="give it some")
    if name.startswith("odd"):
        raise ZeroDivisionError("by zero")
    if name.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("stays"):
        (Path(values["runs_dir"]) / name).write_text(str(os.getpid()))
        time.sleep(600)
    print("noise on standard output")
    return {"pid": os.getpid(), "seed": values["seed"], "threads": os.environ.get("OMP_NUM_THREADS")}
