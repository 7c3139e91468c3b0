"""How much what a prediction shows as its evidence has to do with it, and what queries look for: formulas alone."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from lossmith.labels import Classes
from lossmith.metrics.intervals import RESAMPLES, bootstrap
from lossmith.metrics.paired import paired_bootstrap
from lossmith.metrics.scores import mean_of

# Pseudo-counts of a term's prior for each of its occurrences in the corpus.
PRIOR_SHARE = 0.1


def log_odds(logits: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """Log-odds (..., classes) in nats of each class against the others, of logits of that shape.

    With two classes those of one are the negative of the other's. Labels that do not exclude each other have their own
    logits as log-odds. Any real number.

    >>> log_odds(np.array([0.0, 2.0]), multi_label=False).tolist()
    [-2.0, 2.0]
    """
    logits = np.asarray(logits, dtype=np.float64)
    if multi_label:
        return logits
    columns = np.arange(logits.shape[-1])
    others = [logsumexp(logits[..., columns != column], axis=-1) for column in columns]
    return np.asarray(logits - np.stack(others, axis=-1))


def asked_about(logits: np.ndarray, predicted: np.ndarray, classes: Classes) -> np.ndarray:
    """What the evidence of a document speaks for or against: a mask (classes,), never empty.

    logits, predicted: (classes,), of the whole document. Of two classes it is the positive one, whatever is predicted:
    that something is absent stands in no chunk, and a document that was missed shows what came nearest. Of more it is
    what is predicted; of labels that do not exclude each other those predicted, or the likeliest where none is.

    >>> asked_about(np.zeros(2), np.array([True, False]), Classes(("no", "yes"), positive="yes")).tolist()
    [False, True]
    """
    if classes.positive is not None:
        return np.arange(len(classes)) == classes.index(classes.positive)
    return predicted if predicted.any() else np.arange(len(classes)) == int(np.argmax(logits))


def importance(apart: np.ndarray, without: np.ndarray, asked: np.ndarray, *, multi_label: bool) -> np.ndarray:
    """How far the log-odds of what is asked about fall (chunks,) without each chunk, in nats; leave-one-out.

    apart: logits (chunks, classes) of the document without the other chunks that share text with each, which is the
    whole document where chunks do not overlap; without: without that chunk too; asked: (classes,) bool. Of several
    labels it is the mean. Any real number; below 0 for a chunk that speaks against what is asked about.

    >>> whole = np.array([[0.0, 2.0], [0.0, 2.0]])
    >>> importance(whole, np.array([[0.0, 0.5], [0.0, 2.5]]), np.array([False, True]), multi_label=False)
    array([ 1.5, -0.5])
    """
    before, after = log_odds(apart, multi_label=multi_label), log_odds(without, multi_label=multi_label)
    return np.asarray((before - after)[..., asked].mean(axis=-1))


def by_importance(falls: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Order (chunks,) of chunks by importance (chunks,), the largest first; equal ones by weight (chunks,), then place.

    >>> by_importance(np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.2, 0.7])).tolist()
    [1, 2, 0]
    """
    return np.lexsort((np.arange(len(falls)), -np.asarray(weights), -np.asarray(falls)))


def first_of(order: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Masks (sizes, chunks) of the first so many chunks of an order (chunks,), for each size.

    >>> first_of(np.array([2, 0, 1]), [1, 2]).astype(int).tolist()
    [[0, 0, 1], [1, 0, 1]]
    """
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[None] < np.asarray(sizes)[:, None])


def curve(
    falls: np.ndarray, clusters: Sequence[Hashable] | None, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[dict[str, Any]]:
    """Means of the columns of `falls` (records, points), each with a 95 % bootstrap interval over clusters.

    nan leaves a record out of a point, and the point's `n` says so; a point without records has no value.

    >>> curve(np.array([[0.0, 1.0], [1.0, np.nan]]), None)[1]
    {'value': 1.0, 'low': None, 'high': None, 'n': 1}
    """
    points = []
    for column in np.asarray(falls, dtype=np.float64).T:
        scores = mean_of(column)
        found = bootstrap(scores, clusters=clusters, resamples=resamples, seed=seed) if scores.n > 1 else None
        bounds = (None, None) if found is None else (found.low, found.high)
        points.append({"value": scores.value(), "low": bounds[0], "high": bounds[1], "n": scores.n})
    return points


def beyond_chance(
    evidence: np.ndarray,
    chance: np.ndarray,
    clusters: Sequence[Hashable] | None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """How much larger the falls of evidence are than those of random chunks, over all points of their curves.

    Both (records, points), nan where a record has no such point. Each record has its mean over its points (the area
    under its curve; AOPC, Samek 2017; over bins, DeYoung 2020, ERASER), and the value is the mean difference over
    records; its interval is a paired bootstrap over clusters.

    >>> found = beyond_chance(np.array([[0.4, 0.6], [0.4, np.nan]]), np.array([[0.1, 0.1], [0.2, np.nan]]), None)
    >>> round(found["value"], 9), found["n"]
    (0.3, 2)
    """
    one, two = mean_of(_areas(chance)), mean_of(_areas(evidence))
    if not one.n:
        return {"value": None, "low": None, "high": None, "n": 0}
    found = paired_bootstrap(one, two, clusters=clusters, resamples=resamples, seed=seed)
    value = float(np.nanmean(_areas(evidence) - _areas(chance)))
    return {"value": value, "low": found.low, "high": found.high, "n": one.n}


def _areas(falls: np.ndarray) -> np.ndarray:
    """The mean of each record over the points that it has, nan where it has none."""
    there = ~np.isnan(falls)
    sums = np.where(there, falls, 0.0).sum(axis=1)
    return np.asarray(np.where(there.any(axis=1), sums / np.maximum(1, there.sum(axis=1)), np.nan))


def overlap(read: np.ndarray) -> np.ndarray:
    """Share (queries, queries) of the chunks that two queries both read among those that either reads, in 0..1.

    `read` (queries, chunks) marks what each query reads in one document. nan where neither reads any (Jaccard 1901).

    >>> overlap(np.array([[1, 1, 0], [0, 1, 1]])).round(3).tolist()
    [[1.0, 0.333], [0.333, 1.0]]
    """
    marks = np.asarray(read, dtype=np.float64)
    both = marks @ marks.T
    sizes = marks.sum(axis=1)
    either = sizes[:, None] + sizes[None] - both
    return np.asarray(np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0))


def similarity(queries: np.ndarray) -> np.ndarray:
    """Cosines (queries, queries) of queries (queries, width), in -1..1; 0 for a query of length 0.

    >>> similarity(np.array([[2.0, 0.0], [1.0, 1.0]])).round(3).tolist()
    [[1.0, 0.707], [0.707, 1.0]]
    """
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    directions = queries / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(np.clip(directions @ directions.T, -1.0, 1.0))


def usage(falls: np.ndarray) -> np.ndarray:
    """Each query's share (queries,) of what speaks for a class, in 0..1 with sum 1.

    `falls` (documents, queries): how much the log-odds of the class fall where the query finds nothing. Falls below 0
    speak against the class and count as 0; the shares of a document add up to 1, and the value is their mean over the
    documents that have any. nan where none has.

    >>> usage(np.array([[3.0, 1.0], [-1.0, 2.0]])).tolist()
    [0.375, 0.625]
    """
    for_it = np.clip(np.asarray(falls, dtype=np.float64), 0.0, None)
    sums = for_it.sum(axis=1)
    if not (sums > 0).any():
        return np.full(for_it.shape[1], np.nan)
    return np.asarray((for_it[sums > 0] / sums[sums > 0, None]).mean(axis=0))


def weighted_log_odds(counts: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """How much more often each term occurs in a part of a corpus than in its rest, in standard deviations.

    counts, rest: occurrences (terms,) in the part and outside it. The log-odds-ratio of a term with an informative
    Dirichlet prior, divided by its standard deviation (Monroe, Colaresi and Quinn 2008, "Fightin' Words", equations 16
    and 22): the prior of a term is PRIOR_SHARE pseudo-counts for each of its occurrences in the corpus, so that a rare
    term needs more to stand out. Positive where the part has more of it; 0 where both are empty of it.

    >>> weighted_log_odds(np.array([9, 1, 50]), np.array([1, 9, 50])).round(2).tolist()
    [2.23, -2.23, 0.0]
    """
    counts, rest = np.asarray(counts, dtype=np.float64), np.asarray(rest, dtype=np.float64)
    prior = PRIOR_SHARE * (counts + rest)
    inside, outside = counts + prior, rest + prior
    others, others_outside = inside.sum() - inside, outside.sum() - outside
    # A term that is the only one has no other to set it against.
    there = (prior > 0) & (others > 0) & (others_outside > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(inside) - np.log(others) - np.log(outside) + np.log(others_outside)
        found = ratio / np.sqrt(1 / inside + 1 / outside)
    return np.where(there, found, 0.0)
