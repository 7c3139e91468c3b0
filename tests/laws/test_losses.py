"""The laws of losses, swept over the table: the same that `lossmith list losses --check` tries on a loss of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from lossmith.losses.laws import LAWS, check_loss, term_to_check
from lossmith.names import LOSSES

# Beside the defaults, parameters that change what a formula does.
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("cross_entropy", {"label_smoothing": 0.2}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 0.0}),
    ("generalized_dice", {"scope": "batch"}),
    ("lovasz_softmax", {"scope": "batch"}),
    ("tversky", {"alpha": 0.3, "beta": 0.7, "scope": "batch"}),
    ("self_adjusting_dice", {"alpha": 0.5, "smooth": 0.1}),
    ("sinkhorn", {"points": "items", "p": 1.0}),
    ("sinkhorn", {"normalize": False, "top_k": 4}),
    ("class_cross_entropy", {"class_weight": [0.5, 2.0, 1.0], "label_smoothing": 0.1}),
    ("class_focal", {"gamma": 0.5, "class_weight": [0.5, 2.0, 1.0]}),
    ("binary_cross_entropy", {"pos_weight": [3.0, 1.0, 2.0]}),
    ("binary_focal", {"gamma": 0.5, "alpha": 0.25}),
    ("multilabel_dice", {"over": "examples"}),
]
# What a loss does not promise, and says so.
NOT_PROMISED = {
    "engine": {name for name, row in LOSSES.items() if row.reads != "tokens"},
    "counting": {"scope batch"},
    "independence": {"scope batch", "query_diversity"},
}


@pytest.mark.parametrize(
    ("name", "parameters"), [*((name, {}) for name in LOSSES), *OTHERS], ids=lambda each: str(each) if each else ""
)
def test_every_loss_keeps_every_law(name: str, parameters: dict[str, Any]):
    term = term_to_check(name, parameters)
    verdicts = {verdict.law: verdict for verdict in check_loss(term)}
    assert list(verdicts) == list(LAWS)
    assert not [verdict for verdict in verdicts.values() if verdict.passed is False]
    calls_itself = {name, "scope batch"} if term.unit == "set" else {name}
    expected = {law for law, excused in NOT_PROMISED.items() if excused & calls_itself}
    assert {law for law, verdict in verdicts.items() if verdict.passed is None} == expected


def test_the_sweep_sees_every_loss_and_law():
    assert len(LOSSES) == 18
    assert list(LAWS) == [
        "shape", "gradient", "alive", "padding", "permutation", "range", "empty", "dtype", "engine", "counting",
        "independence",
    ]  # fmt: skip
