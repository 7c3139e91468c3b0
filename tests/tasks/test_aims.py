"""Thresholds for an aim: of all records, and of each criterion that has enough of its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossmith.errors import ConfigError
from lossmith.labels import Classes
from lossmith.tasks.aims import aim_at
from lossmith.tasks.classified import Decision, Scored, classified_table
from lossmith.tasks.rows import Rows

TWO = Classes(("no", "yes"), positive="yes")
CRITERIA = ["high"] * 40 + ["low"] * 40 + ["few"] * 6


def known() -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores in which each criterion is told apart without a mistake, by a threshold of its own."""
    truth = np.concatenate([np.arange(40) >= 20, np.arange(40) >= 20, np.arange(6) >= 3])
    scores = np.concatenate([np.linspace(0.5, 0.9, 40), np.linspace(0.0, 0.4, 40), np.linspace(0.2, 0.8, 6)])
    return np.stack([~truth, truth], axis=1), np.stack([1 - scores, scores], axis=1)


def test_records_are_decided_by_the_threshold_of_their_criterion(tmp_path):
    gold, given = known()
    logits = np.log(given + 1e-12)
    scores = Decision().scores(logits, TWO)
    aimed = aim_at(Decision(), {"max": "f1"}, (gold, scores), classes=TWO, criteria=CRITERIA)
    assert set(aimed.decision.by_criterion) == {"high", "low"}
    assert aimed.facts()["aim_by_criterion"]["few"]["reached"] is False
    file = tmp_path / "rows.parquet"
    named = ["yes" if one else "no" for one in gold[:, 1]]
    ids = [str(row) for row in range(len(gold))]
    columns = {"id": ids, "prompt": ids, "target": named, "label": named, "keep.criterion": CRITERIA}
    pq.write_table(pa.table(columns), file)
    told = [Scored(row, logits=each) for row, each in enumerate(logits)]
    table = classified_table(Rows(file, columns=None), iter(told), TWO, aimed.decision)
    right = np.array(table["predicted"].to_pylist()) == np.array(named)
    assert right[:80].all()
    shared = np.where(scores[:, 1] >= aimed.decision.threshold, "yes", "no") == np.array(named)
    assert not shared[:80].all()
    assert right[80:].tolist() == shared[80:].tolist()


def test_without_criteria_there_is_one_threshold():
    gold, scores = known()
    aimed = aim_at(Decision(), {"max": "f1"}, (gold, scores), classes=TWO, criteria=[None] * len(gold))
    assert (dict(aimed.decision.by_criterion), dict(aimed.by_criterion)) == ({}, {})
    assert "by_criterion" not in aimed.decision.as_json()
    assert Decision.from_json(aimed.decision.as_json()) == aimed.decision


def test_an_aim_that_is_not_reached_is_told():
    gold, scores = known()
    one_class = aim_at(Decision(), {"recall": ">= 0.9"}, (gold[:20], scores[:20]), classes=TWO, criteria=CRITERIA[:20])
    assert one_class.doubts() == [
        "the threshold of 'yes' is 0.5: recall: >= 0.9 was not reached (validation has no positive record)"
    ]
    with pytest.raises(ConfigError, match="two classes"):
        aim_at(Decision(), {"max": "f1"}, (gold, scores), classes=Classes(("a", "b", "c")), criteria=CRITERIA)
