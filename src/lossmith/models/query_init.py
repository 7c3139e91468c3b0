"""What learnt queries begin as: noise, centres of chunks, or the vectors of given texts."""

from __future__ import annotations

import numpy as np

from lossmith.models.encoders.encoder import unit_length

ROUNDS = 10


def centres_of(vectors: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Directions (count, width) of spherical k-means on unit vectors (vectors, width), float32.

    Centres without vectors of their own stay where they began; of fewer vectors than centres, the others are noise.

    >>> found = centres_of(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 2, seed=0)
    >>> sorted(found.round(1).tolist())
    [[0.0, 1.0], [1.0, 0.1]]
    """
    draw = np.random.default_rng(seed)
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 0].astype(np.float32)
    begin = vectors[draw.permutation(len(vectors))[:count]]
    noise = draw.normal(size=(count - len(begin), vectors.shape[1]))
    centres = unit_length(np.concatenate([begin, noise]))
    for _ in range(ROUNDS if len(vectors) else 0):
        nearest = (vectors @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, vectors)
        there = np.bincount(nearest, minlength=count) > 0
        centres[there] = unit_length(sums[there])
    return centres
