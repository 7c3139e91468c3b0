"""The chunks of a corpus nearest to a few queries: exact in blocks against FAISS, on vectors mapped from the disk.

python benchmarks/corpus_search.py [--chunks 1000000] [--width 384] [--queries 8] [--k 10] [--threads 2] [--json FILE]

FAISS is no dependency: `pip install faiss-cpu` beside lossmith. Each side is given what a run has: the store's memory
map. What FAISS builds counts, since every run has queries and often documents of its own; its search alone is told
beside it. Chunks lie around centres, as those of texts do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.tasks.nearest_chunks import nearest_rows
from measuring import interleaved, machine_facts, summary, table, write_json

CENTRES = 2_000
NEAR_A_CENTRE = 0.7
# Lists of the inverted file that are looked into: the recall is told beside the time.
PROBES = 16


def write_vectors(file: Path, chunks: int, width: int) -> np.ndarray:
    """Unit vectors around centres, written block by block and mapped as the store maps them."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((CENTRES, width), dtype=np.float32)
    made = np.memmap(file, dtype=np.float32, mode="w+", shape=(chunks, width))
    for start in range(0, chunks, 50_000):
        count = min(50_000, chunks - start)
        block = draw.standard_normal((count, width), dtype=np.float32)
        block += NEAR_A_CENTRE * centres[draw.integers(CENTRES, size=count)]
        made[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    made.flush()
    return np.asarray(np.memmap(file, dtype=np.float32, mode="r", shape=(chunks, width)))


def exact(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Ours: every chunk is looked at, a block at a time."""
    return nearest_rows(vectors, np.arange(len(vectors)), queries, k)[1]


def faiss_brute(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """FAISS without an index: every chunk is looked at where it lies."""
    import faiss

    return np.asarray(faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1])


def faiss_flat(vectors: np.ndarray, queries: np.ndarray, k: int, *, searched: list[float]) -> np.ndarray:
    """FAISS's exact index, which copies all vectors."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return _timed(lambda: np.asarray(index.search(queries, k)[1]), searched)


def faiss_ivf(vectors: np.ndarray, queries: np.ndarray, k: int, *, searched: list[float]) -> np.ndarray:
    """FAISS's inverted file, which finds most of the nearest: as many lists as the square root of the chunks."""
    import faiss

    lists = max(1, int(len(vectors) ** 0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = 5
    index.train(vectors[:: max(1, len(vectors) // (40 * lists))])
    index.add(vectors)
    index.nprobe = PROBES
    return _timed(lambda: np.asarray(index.search(queries, k)[1]), searched)


def _timed(search: Callable[[], np.ndarray], searched: list[float]) -> np.ndarray:
    start = time.perf_counter()
    found = search()
    searched.append(time.perf_counter() - start)
    return found


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """Share of the nearest that were found."""
    return float(np.mean([len({*own} & {*all_}) / len(all_) for own, all_ in zip(found, true, strict=True)]))


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = {"chunks": 1_000_000, "width": 384, "queries": 8, "k": 10, "repeat": 3, "threads": 2}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="file for everything measured")
    given = parser.parse_args()
    import faiss
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(given.threads)
    faiss.omp_set_num_threads(given.threads)
    searched: dict[str, list[float]] = {"faiss flat index": [], "faiss inverted file": []}
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(given.threads):
        vectors = write_vectors(Path(folder) / "vectors.f32", given.chunks, given.width)
        queries = vectors[np.random.default_rng(1).integers(given.chunks, size=given.queries)].copy()
        queries += 0.05 * np.random.default_rng(2).standard_normal(queries.shape, dtype=np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        methods: dict[str, Callable[[], np.ndarray]] = {
            "exact in blocks": partial(exact, vectors, queries, given.k),
            "faiss without index": partial(faiss_brute, vectors, queries, given.k),
            "faiss flat index": partial(faiss_flat, vectors, queries, given.k, searched=searched["faiss flat index"]),
            "faiss inverted file": partial(
                faiss_ivf, vectors, queries, given.k, searched=searched["faiss inverted file"]
            ),
        }
        rows = measured(methods, searched, repeat=given.repeat)
    print(table(rows))
    write_json(given.json, {**machine_facts(), "sizes": {name: getattr(given, name) for name in sizes}, "rows": rows})


def measured(
    methods: dict[str, Callable[[], np.ndarray]], searched: dict[str, list[float]], *, repeat: int
) -> list[dict[str, Any]]:
    """A row for each method: seconds of everything, of the search alone, and the share of the nearest found."""
    true, rows = methods["exact in blocks"](), []
    for name, times in interleaved(methods, repeat=repeat, warmup=0).items():
        own = searched.get(name) or times
        rows.append({"method": name, **summary(times), "search_s": min(own), "recall": recall(methods[name](), true)})
    return rows


if __name__ == "__main__":
    main()
