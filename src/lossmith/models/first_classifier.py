"""What the classifier of a retrieval model begins as: how well its first queries tell documents new to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lossmith.models.query_init import Question, attention, direction_of
from lossmith.models.retrieval import RetrievalClassifier

FOLDS = 4


def begin_classifier(
    model: RetrievalClassifier, questions: Mapping[int, Question], truths: np.ndarray, *, first: int, seed: int
) -> None:
    """Give a linear classifier, from its output `first` on, the weights with which queries decide that questions found.

    questions: by the number of the query whose direction they have, all about the documents that `truths` (documents,
    outputs) bool are of. A random classifier would have to learn in a few hundred steps which query speaks for which
    class, while it can learn by heart what else is in their answers. Here it reads of each answer how near it is to its
    query alone, weighed by a logistic regression on these cosines, each of a document that had no part in finding its
    direction: one that tells nothing is worth nothing.
    """
    found = [held_out_cosines(each, temperature=model.shape.temperature, seed=seed) for each in questions.values()]
    weights, bias = logistic(np.stack(found, axis=1), truths)
    if model.shape.activation == "softmax":
        # Odds of a class against the others are twice counted where both have an output.
        weights, bias = weights / 2, bias / 2
    linear: Any = model.classifier[-1]
    outputs = slice(first, first + len(bias))
    width = model.shape.width
    with torch.no_grad():
        directions = model.directions()
        linear.bias[outputs] = torch.from_numpy(bias)
        linear.weight[outputs] = 0.0
        for query, own in zip(questions, torch.from_numpy(weights).T, strict=True):
            linear.weight[outputs, query * width : (query + 1) * width] = own[:, None] * directions[query]


def held_out_cosines(question: Question, *, temperature: float, seed: int) -> np.ndarray:
    """Cosine (documents,) of what a direction finds in each document with it, the direction being found on others."""
    documents = len(question.truth)
    fold = np.random.default_rng(seed).permutation(documents) % FOLDS
    found = np.zeros(documents)
    for number in range(FOLDS):
        others = question.of(np.flatnonzero(fold != number))
        own = question.of(np.flatnonzero(fold == number))
        cosines = own.chunks @ direction_of(others if others.can_be_told else question)
        found[fold == number] = np.add.reduceat(cosines * attention(cosines, own.until, temperature), own.until[:-1])
    return found


def logistic(features: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (outputs, features) and bias (outputs,), float32, of a logistic regression of each output by itself.

    >>> weights, bias = logistic(np.array([[0.0], [0.1], [0.9], [1.0]]), np.array([[0], [0], [1], [1]], dtype=bool))
    >>> bool(weights[0, 0] > 0), bool(bias[0] < 0)
    (True, True)
    """
    from sklearn.linear_model import LogisticRegression

    mean, spread = features.mean(axis=0), features.std(axis=0).clip(min=1e-6)
    weights = np.zeros((truths.shape[1], features.shape[1]))
    bias = np.zeros(truths.shape[1])
    for output, truth in enumerate(truths.T):
        if truth.any() and not truth.all():
            fitted = LogisticRegression().fit((features - mean) / spread, truth)
            weights[output] = fitted.coef_[0] / spread
            bias[output] = fitted.intercept_[0] - weights[output] @ mean
    return weights.astype(np.float32), bias.astype(np.float32)
