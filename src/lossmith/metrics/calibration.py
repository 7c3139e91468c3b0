"""Scores that mean what they say: one temperature for all logits, and how far confidence is from being right."""

from __future__ import annotations

import numpy as np

COLDEST, HOTTEST = 0.02, 50.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray, *, multi_label: bool) -> float:
    """The temperature T that makes the mean negative log-likelihood of softmax(logits / T) smallest (Guo 2017).

    `logits` (records, classes); `labels` (records,) class numbers, or for `multi_label`, where sigmoid(logits / T) is
    meant, (records, classes) of 0 and 1. The likelihood is concave in 1 / T, so that the one optimum is found; it is
    kept within [0.02, 50], since logits that order every record rightly would take T to 0. 1.0 where there is nothing
    to fit: no record, or only one class among the labels, from which every temperature but an extreme one is worse.

    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    >>> round(fit_temperature(logits, np.array([0, 0, 1, 1]), multi_label=False), 3)
    3.641
    """
    from scipy.optimize import minimize_scalar

    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    if not np.isfinite(logits).all():
        raise ValueError("logits are finite; leave failed records out")
    expected = logits.shape if multi_label else logits.shape[:1]
    if logits.ndim != 2 or labels.shape != expected:
        raise ValueError(f"labels of logits {logits.shape} have the shape {expected}, not {labels.shape}")
    if labels.size == 0 or (labels == labels.flat[0]).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if multi_label:
            # log(1 + e^z) - y z
            return float(np.mean(np.logaddexp(0.0, scaled) - labels * scaled))
        chosen = np.take_along_axis(scaled, labels[:, None].astype(np.int64), axis=1)[:, 0]
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - chosen))

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))
