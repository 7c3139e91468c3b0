"""The numbers per position that a loss may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lossmith.errors import InputError
from lossmith.names import Reads

# One number per position, in nats unless said otherwise; p is the softmax of the position's final logits z.
POSITION_STATISTICS = {
    "label_log_prob": "log p of the label",
    "mean_log_prob": "mean over the vocabulary of log p",
    "expected_log_prob": "sum_v p_v log p_v, the negative entropy",
    "log_normalizer": "log sum_v exp z_v",
}
# For set losses alone.
SET_STATISTICS = {
    "class_log_probs": "log p of every class present among the labels of the scope, at every position of the scope",
    "expected_embedding": "sum_v p_v E_v, (positions, width), and beside it label_embedding and embedding_scale",
}
# For losses over the outputs of heads: a row per example that is kept.
CLASS_STATISTICS = {
    "logits": "scores of the classes or labels before softmax or sigmoid, (examples, classes)",
    "labels": "the class of each example, int64 (examples,), or the truth of each label, 0 to 1, (examples, labels)",
    "queries": "learnt queries of the head, (queries, width), the same for all examples",
}
REGRESSION_STATISTICS = {
    "predictions": "predicted numbers, (examples, slots) or (examples,)",
    "targets": "true numbers, of the same shape",
    "present": "whether the target is known, bool of the same shape",
}

HEAD_STATISTICS: Mapping[Reads, Mapping[str, str]] = {
    "class head": CLASS_STATISTICS,
    "regression head": REGRESSION_STATISTICS,
}


class Statistics(SimpleNamespace):
    """What one loss reads; it holds the statistics named in the loss's `needs` and nothing else.

    A statistic over tokens has a row per position that the term reads. A set loss over tokens also finds here
    `example` (positions,) numbers 0 .. examples-1, `examples` (how many values it must return),
    `classes` (a ClassPairs, with `class_log_probs`), `item` (positions,) numbers or None, and `notes`, a dict into
    which it may put further figures, one per example.

    >>> Statistics(label_log_prob=-1.0).mean_log_prob
    Traceback (most recent call last):
    lossmith.errors.InputError: the loss reads 'mean_log_prob' without asking for it
      got: needs that give label_log_prob
      expected: 'mean_log_prob' among its needs
      fix: add 'mean_log_prob' to the function's `needs`
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(
            f"the loss reads '{name}' without asking for it",
            got="needs that give " + ", ".join(sorted(vars(self))),
            expected=f"'{name}' among its needs",
            fix=f"add '{name}' to the function's `needs`",
        )
