"""Work carried out by several processes at once, each of which imports once and takes many pieces.

The processes are programs of their own, not forks and not children of `multiprocessing`, which would import the
script or notebook that called and needs a guard there.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from lossmith.config.schema import Config
from lossmith.names import load_attribute
from lossmith.studies.children import RUN
from lossmith.studies.worker import attempt

Outcome = dict[str, Any]


class Piece(Protocol):
    """What a worker takes: `values` are plain."""

    @property
    def values(self) -> Mapping[str, Any]:
        """What its function is called with."""


P = TypeVar("P", bound=Piece)

# Of a process with torch and transformers loaded, and of fp32 weights with gradients and two moments of Adam.
_PROCESS_BYTES = 3 << 29
_COPIES_OF_WEIGHTS = 4


def carry_out(
    children: Iterable[P], *, processes: int, log: Path, work: str = RUN
) -> Generator[tuple[P, Outcome], None, None]:
    """Carry out every child's work; yields each with its outcome as soon as it has one.

    `work` names a function, module:attribute, of a child's values (of a run: its configuration); all of it is plain.
    `children` is read as processes become free, after the outcomes before have been yielded, so a search may choose
    the next child by what it was told of the last. An outcome has `state` (done or failed), `seconds`, `result` and
    `error`; a failure, or a process that was killed, leaves the other children as they are. One process is this one;
    several share the cores. Leaving the iterator (an error, Ctrl-C) ends the processes. What they print goes to `log`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        function = load_attribute(work, what="work")
        for child in children:
            with log.open("a", encoding="utf-8") as file, redirect_stderr(file):
                outcome = attempt(function, child.values)
            yield child, outcome
        return
    with _started(processes, work, log) as pool:
        yield from _dealt(iter(children), pool)


def processes_for(config: Config, count: int, *, asked: int | None) -> int:
    """How many processes carry out `count` runs of a configuration: as asked, or as cores and memory allow.

    One where a GPU does the work, or where the size of the base is not known.
    """
    if count < 2 or asked is not None:
        return max(1, min(asked or 1, count))
    weights = _weight_bytes(config.model.base or "")
    if weights is None or _on_gpu(config):
        return 1
    import psutil

    room = psutil.virtual_memory().available // (_PROCESS_BYTES + _COPIES_OF_WEIGHTS * weights)
    return max(1, min(count, cores(), int(room)))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    replies: queue.Queue[tuple[_Worker, str | None]]
    child: Any = None
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.replies.put((self, line))
        self.replies.put((self, None))

    def send(self, values: Any) -> None:
        """Hand over a line; a worker that is gone is told of by its reader."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(values) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return

    def end(self) -> None:
        """Stop the process and wait for it."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue


@dataclass
class _Pool:
    """The workers, and how another is started in place of one that was killed."""

    work: str
    threads: int
    size: int
    log: IO[str]
    replies: queue.Queue[tuple[_Worker, str | None]] = field(default_factory=queue.Queue)
    workers: list[_Worker] = field(default_factory=list)

    def start(self) -> _Worker:
        threads = str(self.threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": "false",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "lossmith.studies.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            text=True,
            # Ctrl-C is this process's to answer, which then ends them all.
            start_new_session=True,
        )
        worker = _Worker(process, self.replies)
        worker.send({"path": sys.path, "work": self.work})
        self.workers.append(worker)
        return worker


@contextmanager
def _started(processes: int, work: str, log: Path) -> Iterator[_Pool]:
    with log.open("a", encoding="utf-8") as file:
        pool = _Pool(work, max(1, cores() // processes), processes, file)
        try:
            yield pool
        finally:
            for worker in pool.workers:
                worker.end()


def _dealt(children: Iterator[P], pool: _Pool) -> Iterator[tuple[P, Outcome]]:
    """Deal the children out to workers that are free, and yield what comes back."""
    free: list[_Worker] = []
    busy = 0
    exhausted = False
    while True:
        while not exhausted and busy < pool.size:
            child = next(children, None)
            if child is None:
                exhausted = True
                break
            worker = free.pop() if free else pool.start()
            worker.child = child
            worker.send(child.values)
            busy += 1
        if not busy:
            return
        worker, line = pool.replies.get()
        child, worker.child = worker.child, None
        if child is None:
            # It was killed while it waited for work.
            free.remove(worker)
            continue
        busy -= 1
        if line is not None:
            free.append(worker)
        yield child, json.loads(line) if line is not None else _killed(worker)


def _killed(worker: _Worker) -> Outcome:
    """The outcome of the work whose process is gone."""
    code = worker.process.wait()
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    error = {
        "type": "ProcessEnded",
        "message": f"its process was ended {how}",
        "fix": "where memory ran out, use fewer processes; workers.log of the study has what was printed",
        "exit_code": 1,
    }
    return {"state": "failed", "result": None, "error": error, "seconds": None}


def _on_gpu(config: Config) -> bool:
    if config.train is not None and config.train.device != "auto":
        return config.train.device != "cpu"
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _weight_bytes(base: str) -> int | None:
    """Bytes of a base's weights, None where they are not on this machine."""
    if base.startswith("scratch-"):
        return 0
    folder = Path(base).expanduser()
    if not folder.is_dir():
        from huggingface_hub.constants import HF_HUB_CACHE

        folder = Path(HF_HUB_CACHE) / f"models--{base.replace('/', '--')}" / "snapshots"
    sizes = [path.stat().st_size for kind in ("*.safetensors", "*.bin") for path in folder.rglob(kind)]
    return sum(sizes) or None
