"""What learnt queries begin as: directions that tell classes apart, centres of the chunks that do, and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossmith.models.encoders.encoder import unit_length

ROUNDS = 10
# Softmax temperature, over cosines, of the chunks that stand for a document while a direction is looked for: all of
# them at first, and in the end those that are nearest to it.
SHARPER = (0.3, 0.2, 0.1, 0.1, 0.1)
# Of the ridge, per document, for vectors of length 1 at most.
RIDGE = 0.01
# Documents of a class, and of the others, without which there is no direction to find.
FEWEST = 4


@dataclass(frozen=True)
class Question:
    """Documents of one kind against others: chunks (chunks, width) of all, one document after another, of which each
    has one at least; `until` (documents + 1,) where each begins; `truth` (documents,) bool. `criterion` is the text
    that the documents were judged by, None where there is none.
    """

    chunks: np.ndarray
    until: np.ndarray
    truth: np.ndarray
    criterion: str | None = None

    @property
    def can_be_told(self) -> bool:
        """Whether there are documents of both kinds."""
        return FEWEST <= int(self.truth.sum()) <= len(self.truth) - FEWEST

    def of(self, documents: np.ndarray) -> Question:
        """The same question about some of the documents, by their numbers."""
        counts = np.diff(self.until)[documents]
        until = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(until[-1]) - np.repeat(until[:-1], counts)
        chunks = self.chunks[np.repeat(self.until[documents], counts) + within]
        return Question(chunks, until, self.truth[documents], self.criterion)


@dataclass(frozen=True)
class Beginning:
    """What queries (queries, width) begin as, unit vectors in float32, and of what kinds they are, in words.

    The first of them are the directions of `questions`, in their order.
    """

    queries: np.ndarray
    questions: tuple[Question, ...]
    kinds: tuple[str, ...]


def first_queries(questions: Sequence[Question], count: int, *, width: int, seed: int) -> Beginning:
    """What `count` queries begin as.

    A direction for each question that can be told, the clearest first where there are more than queries; half of the
    others are centres of the chunks that those directions find in their documents, which may be of several kinds; what
    is left is noise, which reads chunks of all kinds at first. Plain centres of all chunks begin at what is frequent:
    no query reads the one decisive sentence among sixty, and no gradient leads there.
    """
    found = [(question, direction_of(question)) for question in questions if question.can_be_told]
    found.sort(key=lambda each: -clearness(*each))
    found = found[:count]
    directions = np.array([direction for _, direction in found], dtype=np.float32).reshape(len(found), width)
    near = [nearest_chunks_of(question, direction) for question, direction in found]
    wanted = (count - len(found)) // 2 if near else 0
    pool = np.concatenate(near) if near else np.zeros((0, width), dtype=np.float32)
    centres = centres_of(pool, min(wanted, len(pool)), seed=seed)
    noise = np.random.default_rng(seed).normal(size=(count - len(found) - len(centres), width))
    kinds = {
        "directions that tell classes apart": len(found),
        "centres of the chunks found so": len(centres),
        "noise": len(noise),
    }
    return Beginning(
        np.concatenate([directions, centres, unit_length(noise)]),
        tuple(question for question, _ in found),
        tuple(f"{kind} ({number})" for kind, number in kinds.items() if number),
    )


def direction_of(question: Question) -> np.ndarray:
    """The direction (width,) whose nearest chunks tell the documents of a question apart, of length 1.

    A linear discriminant of attention-weighted means (ridge regression on the truth), found in turn with the chunks
    that it attends to: from the mean of all chunks to those that are nearest to the direction. Every round is in closed
    form, and needs no labels of chunks (multiple-instance learning, Dietterich 1997; attention, Ilse 2018).

    >>> chunks = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
    >>> question = Question(chunks, np.array([0, 2, 4]), np.array([True, False]))
    >>> (chunks @ direction_of(question)).round(1).tolist()
    [-0.7, 0.7, -0.7, -0.0]
    """
    first = question.until[:-1]
    counts = np.diff(question.until)
    means = np.add.reduceat(question.chunks, first) / counts[:, None]
    direction = _discriminant(means / max(float(means.std()), 1e-12), question.truth)
    for temperature in SHARPER:
        shares = attention(question.chunks @ direction, question.until, temperature)
        direction = _discriminant(np.add.reduceat(question.chunks * shares[:, None], first), question.truth)
    return direction


def clearness(question: Question, direction: np.ndarray) -> float:
    """By how many standard errors the nearest chunks of documents of the kind are nearer than those of the others."""
    nearest = np.maximum.reduceat(question.chunks @ direction, question.until[:-1])
    own, others = nearest[question.truth], nearest[~question.truth]
    error = np.sqrt(own.var() / len(own) + others.var() / len(others))
    return float((own.mean() - others.mean()) / max(float(error), 1e-12))


def nearest_chunks_of(question: Question, direction: np.ndarray) -> np.ndarray:
    """The chunk (documents of the kind, width) of each document of the kind that is nearest to a direction."""
    cosines = question.chunks @ direction
    spans = zip(question.until[:-1], question.until[1:], question.truth, strict=True)
    places = [start + int(cosines[start:end].argmax()) for start, end, is_of_it in spans if is_of_it]
    return np.asarray(question.chunks[places], dtype=np.float32)


def centres_of(vectors: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Directions (count, width) of spherical k-means on unit vectors (vectors, width), of which there are as many.

    >>> found = centres_of(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 2, seed=0)
    >>> sorted(found.round(1).tolist())
    [[0.0, 1.0], [1.0, 0.0]]
    """
    vectors = vectors.astype(np.float32)
    centres = vectors[np.random.default_rng(seed).permutation(len(vectors))[:count]]
    for _ in range(ROUNDS if count else 0):
        nearest = (vectors @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, vectors)
        there = np.bincount(nearest, minlength=count) > 0
        centres[there] = sums[there]
        centres = unit_length(centres)
    return centres


def attention(cosines: np.ndarray, until: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax (chunks,) of cosines inside each document.

    >>> attention(np.array([0.0, 0.0, 1.0]), np.array([0, 2, 3]), 0.1).tolist()
    [0.5, 0.5, 1.0]
    """
    first, counts = until[:-1], np.diff(until)
    largest = np.repeat(np.maximum.reduceat(cosines, first), counts)
    shares = np.exp((cosines - largest) / temperature)
    return np.asarray(shares / np.repeat(np.add.reduceat(shares, first), counts))


def _discriminant(means: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The direction of ridge regression of a truth (documents,) on means (documents, width)."""
    centred = means - means.mean(axis=0)
    aim = truth - truth.mean()
    squares = centred.T @ centred + RIDGE * len(centred) * np.eye(centred.shape[1], dtype=centred.dtype)
    return np.asarray(unit_length(np.linalg.solve(squares, centred.T @ aim)[None])[0])
