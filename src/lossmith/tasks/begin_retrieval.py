"""A retrieval classifier before it is trained: its encoder, its shape, and queries found among the training chunks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError
from lossmith.models.encoders.encoder import ChunkEncoder
from lossmith.models.encoders.find import find_encoder
from lossmith.models.query_init import centres_of
from lossmith.models.retrieval import SAME, RetrievalClassifier, RetrievalShape
from lossmith.tasks.chunk_texts import chunk_texts
from lossmith.tasks.class_labels import head_of
from lossmith.tasks.document_vectors import DocumentVectors, embed, text_vectors
from lossmith.tasks.task import Given

# Chunks that centres are found among: a seeded sample of documents that bounds time and memory.
SAMPLED_CHUNKS = 20_000


def begin_retrieval(model: ModelConfig, given: Given) -> tuple[RetrievalClassifier, tuple[str, ...]]:
    """A model on the encoder of `model.base`, with sentences that tell of it.

    Raises ConfigError where task.criterion=heads cannot tell the criteria of training apart.
    """
    config, task = given.config, given.config.task
    file = given.prepared.split_file("train")
    assert file is not None, "there is a training split where a model begins"
    criteria = criteria_of(file)
    encoder = find_encoder(
        model,
        precision=given.precision,
        training_chunks=lambda: fitted_texts(file, (*criteria, *task.query_texts)),
        seed=config.seed,
    )
    vectors = embed(file, encoder)
    head = head_of(given)
    shape = RetrievalShape(
        width=encoder.width,
        outputs=head.names,
        activation=head.activation,
        queries=task.queries,
        k=task.k,
        temperature=task.temperature,
        aggregate=task.aggregate,
        classifier=task.classifier,
        classifier_hidden_size=task.classifier_hidden_size,
        classifier_dropout=task.classifier_dropout,
        criterion=task.criterion if criteria else None,
        criteria=criteria if task.criterion == "heads" else (),
    )
    found = RetrievalClassifier(
        shape,
        queries=first_queries(given, encoder, vectors) if task.aggregate == "queries" else None,
        criteria=told_apart(encoder, criteria) if shape.criterion == "heads" else None,
        encoder=encoder,
        seed=config.seed,
    )
    return found, ()


def criteria_of(file: Path) -> tuple[str, ...]:
    """The second texts of the rows of a prepared file, each once, in their order; none where rows have none."""
    column = pq.read_table(file, columns=["pair"]).column("pair")
    return tuple(text for text in column.unique().to_pylist() if text is not None)


def fitted_texts(file: Path, others: tuple[str, ...]) -> Iterator[str]:
    """What an encoder of its own words learns them from: training chunks, and the texts that are to be near them."""
    return chain(chunk_texts(file), others)


def told_apart(encoder: ChunkEncoder, criteria: tuple[str, ...]) -> torch.Tensor:
    """The vectors (criteria, width) by which each criterion finds its own classifier.

    Raises ConfigError where two have one vector, or one has none.
    """
    vectors = text_vectors(encoder, criteria)
    found = (vectors @ vectors.T) > SAME
    alike = np.flatnonzero((found.sum(axis=1) != 1) | ~np.diagonal(found))
    if len(alike):
        raise ConfigError(
            "the encoder cannot tell the criteria of training apart, so none can have a classifier of its own",
            got="; ".join(repr(criteria[number]) for number in alike[:3]),
            expected="criteria of unlike words that the encoder knows",
            fix="task.criterion=text, or another model.base",
        )
    return torch.from_numpy(vectors)


def first_queries(given: Given, encoder: ChunkEncoder, vectors: DocumentVectors) -> torch.Tensor | None:
    """What queries (queries, width) begin as by task.query_init; None for noise."""
    task, seed = given.config.task, given.config.seed
    if task.query_init == "random":
        return None
    given_texts = text_vectors(encoder, task.query_texts)
    sampled = sampled_chunks(vectors, SAMPLED_CHUNKS, seed=seed)
    centres = centres_of(sampled, task.queries - len(given_texts), seed=seed)
    return torch.from_numpy(np.concatenate([given_texts, centres]))


def sampled_chunks(vectors: DocumentVectors, count: int, *, seed: int) -> np.ndarray:
    """Vectors (chunks, width) of the documents of a seeded sample, of about `count` chunks at most."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    until = np.searchsorted(np.cumsum(vectors.lengths[order]), count)
    return np.concatenate([vectors.rows(row) for row in np.sort(order[: max(1, until)])])
