"""`evidence.json` of a run: what its queries look for, and whether its predictions rest on what they find."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from lossmith.config.load import evidence_hash
from lossmith.config.schema import Config
from lossmith.errors import DataError
from lossmith.evidence.faithfulness import Faithfulness
from lossmith.evidence.nearest import nearest_of_queries
from lossmith.evidence.opened import Opened, document_of, open_retrieval
from lossmith.evidence.query_facts import QueryFacts
from lossmith.evidence.reading import Reading
from lossmith.metrics.evidence import similarity
from lossmith.runs import RunFolder, write_json
from lossmith.tasks.document_vectors import DocumentVectors, embed
from lossmith.tasks.prepare import prepare_config
from lossmith.tasks.rows import Rows, sample

logger = logging.getLogger("lossmith")

Progress = Callable[[int, int | None], None]
SCHEMA = 1


def evidence_stage(
    run: RunFolder, config: Config, *, split: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the evidence of a split and note in the manifest what it was made from, so that `run` knows when it is
    stale; returns what was written.
    """
    asked = split or config.evaluate.split
    name = f"evidence.{asked}"
    run.update_manifest(made_from={name: None})
    found = run_evidence(run, config, asked, progress=progress)
    write_json(run.evidence(None if asked == config.evaluate.split else asked), found)
    run.update_manifest(made_from={name: evidence_hash(config, run.manifest(), split=asked)})
    return found


def run_evidence(run: RunFolder, config: Config, split: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """What the queries of a run look for in a split, and whether its predictions rest on what they find.

    Read are `evaluate.evidence_documents` records at most, drawn by seed. `nearest` are the chunks of the whole split
    with the largest cosine to a query, no text twice; `terms`, `usage` and `overlap` are of the records read, and
    `similarity` is that of the queries themselves. `about` is the class that evidence speaks for, None where that is
    what is predicted. Raises DataError for a split without records.
    """
    prepared = prepare_config(config)
    file = prepared.split_file(split)
    if file is None:
        raise DataError(f"there is no {split} split to explain", got=split, expected="a split with records")
    opened = open_retrieval(run, config, prepared)
    vectors = embed(file, opened.encoder, progress=progress)
    chosen = sample(len(vectors), config.evaluate.evidence_documents, seed=config.split_seed)
    rows = Rows(file, columns=None, keep=chosen)
    count = opened.queries
    facts, tested, read = QueryFacts(count, opened.judge.classes), Faithfulness(config.seed), 0
    for reading in _readings(opened, vectors, rows, progress):
        read += 1
        if count:
            facts.add(reading, _muted(opened, reading))
        _test(tested, opened, reading)
    queries = opened.model.queries.detach().cpu().numpy()[:count]
    nearest = nearest_of_queries(opened, vectors, file) if count else []
    logger.info("evidence of %s records of %s read", f"{read:,}", split)
    return {
        "schema": SCHEMA,
        "split": split,
        "n": read,
        "records": len(vectors),
        "about": opened.judge.classes.positive,
        "queries": [{"query": q, "nearest": nearest[q], **facts.of_query(q)} for q in range(count)],
        "similarity": similarity(queries).tolist(),
        "overlap": facts.overlap(),
        "faithfulness": tested.as_json(resamples=config.evaluate.resamples),
    }


def _readings(opened: Opened, vectors: DocumentVectors, rows: Rows, progress: Progress | None) -> Iterator[Reading]:
    """Documents as the model reads them, without those that it can say nothing of."""
    for place, number in enumerate(rows.numbers.tolist()):
        reading = opened.read(document_of(vectors, number, rows[place]))
        if isinstance(reading, Reading):
            yield reading
        if progress is not None:
            progress(place + 1, len(rows))


def _test(tested: Faithfulness, opened: Opened, reading: Reading) -> None:
    document = reading.document
    vectors, pair = document.tensors(opened.device)
    cluster = document.row["cluster"]
    with opened.given.precision.autocast():
        tested.add(opened.model, vectors, pair, order=reading.order, score=reading.score, cluster=cluster)


@torch.no_grad()
def _muted(opened: Opened, reading: Reading) -> np.ndarray:
    """Logits (queries, outputs) of a document where each query in turn finds nothing."""
    vectors, pair = reading.document.tensors(opened.device)
    weights = torch.from_numpy(reading.left.weights).to(vectors)
    answers = weights @ vectors
    count = len(answers)
    others = ~torch.eye(count, dtype=torch.bool, device=answers.device)
    criteria = None if pair is None else pair.expand(count, -1)
    return opened.model.decided(answers[None] * others[:, :, None], criteria).double().cpu().numpy()
