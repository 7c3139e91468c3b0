"""A retrieval classifier before it is trained: its encoder, its shape, and queries found among the training chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError
from lossmith.models.encoders.encoder import ChunkEncoder
from lossmith.models.encoders.find import find_encoder
from lossmith.models.first_classifier import begin_classifier
from lossmith.models.query_init import Question, first_queries
from lossmith.models.retrieval import SAME, RetrievalClassifier, RetrievalShape
from lossmith.tasks.chunk_texts import chunk_texts
from lossmith.tasks.class_labels import classes_of, head_of
from lossmith.tasks.document_vectors import DocumentVectors, embed, text_vectors
from lossmith.tasks.task import Given

# Vectors of the documents that first queries are found among: 150 MB at a width of 384.
SAMPLED_VECTORS = 100_000


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
    apart = told_apart(encoder, criteria) if shape.criterion == "heads" else None
    if task.aggregate == "mean":
        return RetrievalClassifier(shape, criteria=apart, encoder=encoder, seed=config.seed), ()
    texts = text_vectors(encoder, task.query_texts)
    asked = [] if task.query_init == "random" else list(questions(given, vectors))
    first = first_queries(asked, task.queries - len(texts), width=encoder.width, seed=config.seed)
    queries = torch.from_numpy(np.concatenate([texts, first.queries]))
    found = RetrievalClassifier(shape, queries=queries, criteria=apart, encoder=encoder, seed=config.seed)
    if task.classifier == "linear" and shape.criterion != "text":
        _begin_classifier(found, first.questions, asked, given)
    kinds = [f"vectors of task.query_texts ({len(texts)})"] * bool(len(texts)) + list(first.kinds)
    return found, (f"queries begin as {', '.join(kinds)}",)


def _begin_classifier(
    model: RetrievalClassifier, found: Sequence[Question], asked: Sequence[Question], given: Given
) -> None:
    """Begin the classifier of documents alone, or that of each criterion, whose queries come after given texts."""
    names, outputs = classes_of(given).names, model.shape.outputs
    texts = len(given.config.task.query_texts)
    for number, criterion in enumerate(model.shape.criteria or (None,)):
        own = {texts + query: each for query, each in enumerate(found) if each.criterion == criterion}
        if own:
            truths = [each.truth for each in asked if each.criterion == criterion]
            wanted = np.stack([truths[names.index(name)] for name in outputs], axis=1)
            begin_classifier(model, own, wanted, first=number * len(outputs), seed=given.config.seed)


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


def questions(given: Given, vectors: DocumentVectors) -> Iterator[Question]:
    """Each class or label against the others, among training documents; under criteria, under each of them.

    Of the documents of a seeded sample, which bounds memory.
    """
    file = given.prepared.split_file("train")
    assert file is not None
    classes = classes_of(given)
    table = pq.read_table(file, columns=["label", "pair"])
    chosen = sampled_rows(vectors, SAMPLED_VECTORS, seed=given.config.seed)
    labels, pairs = (table.column(name).take(chosen).to_pylist() for name in ("label", "pair"))
    of_pair: dict[str | None, list[int]] = {}
    for place, pair in enumerate(pairs):
        of_pair.setdefault(pair, []).append(place)
    for pair, places in of_pair.items():
        documents = [vectors.rows(int(chosen[place])) for place in places]
        until = np.cumsum([0, *map(len, documents)])
        chunks = np.concatenate(documents)
        for number, name in enumerate(classes.names):
            own = [labels[place] for place in places]
            truth = np.array([label[number] == 1 if classes.multi_label else label == name for label in own])
            yield Question(chunks, until, truth, pair)


def sampled_rows(vectors: DocumentVectors, count: int, *, seed: int) -> np.ndarray:
    """Numbers of the rows of a seeded sample that have about `count` vectors together at most, each one at least."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    order = order[vectors.lengths[order] > 0]
    until = int(np.searchsorted(np.cumsum(vectors.lengths[order]), count, side="right"))
    return np.sort(order[: max(1, until)])
