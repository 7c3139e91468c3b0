"""How long an epoch of a retrieval classifier takes, and how that grows with documents, chunks and queries.

    python benchmarks/retrieval_epoch.py [--documents 10000 --chunks 40 --width 384 --queries 8] [--json FILE]

Vectors are made up and lie in a memory-mapped file, as stored ones do, so no encoder has a part in it: rows, batches,
model, objective, trainer and optimizer are those of a run. Each figure is the median of epochs after the first. Then
each size is changed alone. `memory MiB` is what training adds at its peak to what was there before it, without pages of
the mapped file, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from measuring import MIB, add_numbers, machine_facts, table, write_json

STORED = 100_000


class MadeUp:
    """Vectors of documents, each a run of `chunks` of the stored ones from a place of its own."""

    def __init__(self, file: Path, documents: int, chunks: int, width: int) -> None:
        self.stored = np.memmap(file, dtype=np.float32, mode="r", shape=(STORED, width))
        self.lengths = np.full(documents, chunks)
        self.first = np.random.default_rng(1).integers(0, STORED - chunks, documents)

    def rows(self, row: int) -> np.ndarray:
        """The vectors (chunks, width) of a document."""
        return np.asarray(self.stored[self.first[row] + np.arange(self.lengths[row])])

    def pair(self, _row: int) -> None:
        """No criterion."""
        return


def write_vectors(file: Path, width: int) -> None:
    """Random unit vectors."""
    draw = np.random.default_rng(0)
    held = np.memmap(file, dtype=np.float32, mode="w+", shape=(STORED, width))
    for start in range(0, STORED, 10_000):
        block = draw.normal(size=(10_000, width)).astype(np.float32)
        held[start : start + 10_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
    held.flush()


def measured(size: Mapping[str, int], file: Path, flags: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch of one size, and what training adds to memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from transformers import TrainerCallback

    from lossmith.config.train import TrainConfig
    from lossmith.labels import Classes
    from lossmith.losses import Objective
    from lossmith.models.class_head import ClassHead
    from lossmith.models.precision import choose_precision
    from lossmith.models.retrieval import RetrievalClassifier, RetrievalShape
    from lossmith.runs import RunFolder
    from lossmith.tasks.class_labels import Truth, count
    from lossmith.tasks.retrieval import RetrievalForward
    from lossmith.tasks.rows import Rows
    from lossmith.tasks.vector_rows import VectorCollator, VectorRows
    from lossmith.train.arguments import training_arguments
    from lossmith.train.trainer import ObjectiveTrainer, Work

    ends: list[float] = []
    anonymous: list[int] = []

    class Watch(TrainerCallback):
        """The time at each epoch's end, and memory at each step."""

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            anonymous.append(anonymous_bytes())

    torch.manual_seed(0)
    documents = size["documents"]
    with tempfile.TemporaryDirectory() as folder:
        labels = [("no", "yes")[number % 2] for number in range(documents)]
        nothing = [None] * documents
        columns = {"id": [str(n) for n in range(documents)], "group": nothing, "task": nothing, "label": labels}
        pq.write_table(pa.table({**columns, "pair": nothing}), Path(folder) / "train.parquet")
        rows = Rows(Path(folder) / "train.parquet", columns=None)
        shape = RetrievalShape(flags.width, ("yes",), "sigmoid", queries=size["queries"], k=flags.k)
        objective = Objective({"binary_focal": 1.0, "query_diversity": 5.6})
        truth = Truth(Classes(("no", "yes"), positive="yes"), ClassHead(("yes",), "sigmoid"))
        train = TrainConfig(
            num_train_epochs=float(flags.epochs + 1), per_device_train_batch_size=flags.batch, learning_rate=1e-3,
            eval_strategy="no", save_strategy="no", load_best_model_at_end=False, logging_steps=100, device="cpu",
        )  # fmt: skip
        precision = choose_precision(device="cpu", dtype="float32")
        arguments = training_arguments(train, output_dir=Path(folder), seed=0, precision=precision, report_to=[])
        made_up: Any = MadeUp(file, documents, size["chunks"], flags.width)
        run = RunFolder(Path(folder) / "run")
        run.path.mkdir()
        work = Work(
            objective=objective,
            forward=RetrievalForward(),
            train=VectorRows(rows, made_up),
            validation=None,
            collate=VectorCollator(truth),
            count=count,
            run=run,
            warn=print,
            figures=("accuracy",),
        )
        trainer = ObjectiveTrainer(RetrievalClassifier(shape), arguments, work, callbacks=[Watch()])
        before = anonymous_bytes()
        trainer.train()
        work.progress.close()
    seconds = statistics.median(np.diff(ends).tolist())
    return {
        **size,
        "seconds": seconds,
        "documents / s": documents / seconds,
        "memory MiB": (max(anonymous) - before) / MIB,
    }


def anonymous_bytes() -> int:
    """Resident memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc/self/status")


def main() -> None:
    """Measure the size that is given, then each of its numbers halved twice and doubled."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_numbers(
        parser,
        (
            ("documents", 10_000, "documents of an epoch"),
            ("chunks", 40, "chunks of a document"),
            ("queries", 8, "learnt queries"),
            ("width", 384, "numbers in a vector"),
            ("k", 12, "chunks that a query reads"),
            ("batch", 32, "documents of a step"),
            ("epochs", 2, "timed epochs, after one that is not"),
            ("threads", 2, "torch's threads"),
        ),
    )
    parser.add_argument("--no-growth", action="store_true", help="the size that is given alone")
    parser.add_argument("--json", type=Path, help="file for everything measured")
    flags = parser.parse_args()
    # As the command line sets it: threads that spin for each other make small steps long on a shared machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

    import torch

    torch.set_num_threads(flags.threads)
    base = {"documents": flags.documents, "chunks": flags.chunks, "queries": flags.queries}
    sizes = [base]
    if not flags.no_growth:
        sizes += [{**base, name: int(base[name] * by)} for name in base for by in (0.25, 0.5, 2)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.f32"
        write_vectors(file, flags.width)
        for size in sizes:
            rows.append(measured(size, file, flags))
            print(table(rows[-1:]), flush=True)
    print(table(rows))
    write_json(flags.json, {"machine": machine_facts(), "width": flags.width, "batch": flags.batch, "rows": rows})


if __name__ == "__main__":
    main()
