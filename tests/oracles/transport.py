"""Converged entropic transport through POT's plans, in float64: values and gradients from the plans alone."""

from __future__ import annotations

import numpy as np
import ot


def _cost(x: np.ndarray, y: np.ndarray, p: float) -> np.ndarray:
    return np.array([[np.linalg.norm(u - v) ** p / p for v in y] for u in x])


def plan(x: np.ndarray, y: np.ndarray, *, p: float, blur: float) -> np.ndarray:
    a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    return ot.sinkhorn(
        a, b, _cost(x, y, p), blur**p, method="sinkhorn_log", numItermax=20_000, stopThr=1e-10, warn=True
    )


def entropic_cost(x: np.ndarray, y: np.ndarray, *, p: float, blur: float) -> float:
    """<plan, cost> + eps KL(plan | a b)."""
    pi, cost = plan(x, y, p=p, blur=blur), _cost(x, y, p)
    product = 1.0 / (len(x) * len(y))
    total = 0.0
    for i in range(len(x)):
        for j in range(len(y)):
            if pi[i, j] > 0:
                total += pi[i, j] * cost[i, j] + blur**p * pi[i, j] * np.log(pi[i, j] / product)
    return total


def divergence(x: np.ndarray, y: np.ndarray, *, p: float, blur: float) -> float:
    cross = entropic_cost(x, y, p=p, blur=blur)
    own = entropic_cost(x, x, p=p, blur=blur) + entropic_cost(y, y, p=p, blur=blur)
    return cross - own / 2


def divergence_gradient(x: np.ndarray, y: np.ndarray, *, p: float, blur: float) -> np.ndarray:
    """By the envelope theorem: mass draws each point to its images, and pushes it from those in its own cloud."""
    cross, own = plan(x, y, p=p, blur=blur), plan(x, x, p=p, blur=blur)
    gradient = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(y)):
            gradient[i] += cross[i, j] * _slope(x[i] - y[j], p)
        for j in range(len(x)):
            gradient[i] -= own[i, j] * _slope(x[i] - x[j], p)
    return gradient


def _slope(difference: np.ndarray, p: float) -> np.ndarray:
    distance = np.linalg.norm(difference)
    return difference * distance ** (p - 2) if distance > 0 else difference
