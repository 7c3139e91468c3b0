"""A worker process: imports once, then carries out one piece of work after another.

Work comes as lines of JSON on standard input and goes as lines of JSON to what standard output was; whatever else
prints goes to standard error, which the study keeps in workers.log. When the study's own process is gone, standard
input ends and the worker stops at once: a run is resumed from its last checkpoint, never carried out twice at a time.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from lossmith.errors import LossmithError


def attempt(work: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome of one piece of work: `state` done or failed, `seconds`, and its `result` or `error`.

    Whatever the work raises is an outcome; only what ends the process itself (Ctrl-C, SystemExit) passes through.

    >>> attempt(lambda values: values["a"] + 1, {"a": 1})["result"]
    2
    """
    start = time.monotonic()
    outcome: dict[str, Any]
    try:
        outcome = {"state": "done", "result": work(values), "error": None}
    except Exception as error:
        outcome = {"state": "failed", "result": None, "error": told(error)}
    return {**outcome, "seconds": round(time.monotonic() - start, 3)}


def told(error: Exception) -> dict[str, Any]:
    """An error's block as plain values, with the traceback of one that was not foreseen.

    >>> from lossmith.errors import InputError
    >>> told(InputError("no such file", got="a.csv", fix="look"))["fix"]
    'look'
    """
    name = type(error).__name__
    if isinstance(error, LossmithError):
        return {
            "type": name,
            "message": error.message,
            "got": error.got,
            "expected": error.expected,
            "fix": error.fix,
            "exit_code": error.exit_code,
        }
    return {
        "type": name,
        "message": f"{name}: {error}",
        "fix": "this was not foreseen; study.json has the traceback",
        "exit_code": 1,
        "traceback": "".join(traceback.format_exception(error)),
    }


def serve() -> None:
    """Take work until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    start = json.loads(lines.get())
    # Functions of the user's own are found where the study's process finds them.
    sys.path[:] = start["path"]
    from lossmith.names import load_attribute

    work = load_attribute(start["work"], what="work")
    while True:
        outcome = attempt(work, json.loads(lines.get()))
        replies.write(json.dumps(outcome) + "\n")
        replies.flush()
        _free()


def _listen(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _free() -> None:
    """Give back what one piece of work held before the next begins."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    serve()
