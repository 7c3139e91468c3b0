"""Log lines are exact whatever the micro-batches were, and dead terms are found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lossmith.losses import Objective
from lossmith.train.tally import Tally


def tally_of(weights: dict[str, float]) -> Tally:
    terms = {name: {"loss": "focal", "weight": weight} for name, weight in weights.items()}
    return Tally(Objective(terms).terms)


def test_a_line_divides_sums_by_counts_once():
    tally = tally_of({"a": 0.5, "b": 2.0})
    tally.add({"a": torch.tensor(1.0), "b": torch.tensor(0.0)}, {"a": 1, "b": 0}, 10)
    tally.add({"a": torch.tensor(800.0), "b": torch.tensor(3.0)}, {"a": 400, "b": 1}, 500)
    tally.gather(torch.device("cpu"))
    line = tally.line()
    assert line["terms"]["a"]["value"] == 801 / 401
    assert line["loss"] == 0.5 * 801 / 401 + 2.0 * 3.0
    assert tally.tokens == 510


def test_a_term_without_positions_has_no_value():
    tally = tally_of({"a": 1.0})
    tally.add({"a": torch.tensor(0.0)}, {"a": 0}, 1)
    assert tally.line()["terms"]["a"]["value"] is None


def test_state_survives_exactly(tmp_path: Path):
    tally = tally_of({"a": 1.0})
    tally.add({"a": torch.tensor(1 / 3)}, {"a": 7}, 5)
    tally.gather(torch.device("cpu"))
    tally.save(tmp_path / "t.json")
    again = tally_of({"a": 1.0})
    again.restore(tmp_path / "t.json", first=True)
    assert again.line() == tally.line()
    assert again.tokens == 5


def test_further_figures_are_means_over_units_and_survive(tmp_path: Path):
    tally = tally_of({"a": 1.0, "b": 1.0})
    tally.add_notes({"a": {"error": torch.tensor(0.5)}}, {"a": 3, "b": 0})
    tally.save(tmp_path / "t.json")
    again = tally_of({"a": 1.0, "b": 1.0})
    again.restore(tmp_path / "t.json", first=True)
    again.add_notes({"a": {"error": torch.tensor(0.1)}}, {"a": 1, "b": 7})
    assert again.mean_notes() == {"a": {"error": pytest.approx((3 * 0.5 + 0.1) / 4)}}
    assert tally_of({"a": 1.0}).mean_notes() == {}


def measure(tally: Tally, share: float, *, value: float = 0.5, present: bool = True, warm: bool = True) -> list[str]:
    sums = {"a": torch.tensor(1.0), "b": torch.tensor(value)}
    return tally.add_shares({"a": 1.0} | ({"b": share} if present else {}), sums, warm=warm)


def test_a_term_is_dead_after_five_quiet_measurements_running():
    tally = tally_of({"a": 1.0, "b": 1.0})
    assert [measure(tally, 1e-6) for _ in range(5)] == [[], [], [], [], ["b"]]


def test_a_loud_measurement_an_absent_span_and_warm_up_do_not_count():
    tally = tally_of({"a": 1.0, "b": 1.0})
    for _ in range(10):
        assert measure(tally, 1e-6, present=False) == []
        assert measure(tally, 1e-6, warm=False) == []
    for _ in range(4):
        assert measure(tally, 1e-6) == []
    assert measure(tally, 0.1) == []
    assert [measure(tally, 1e-6) for _ in range(5)] == [[], [], [], [], ["b"]]


def test_a_penalty_that_is_met_is_not_dead():
    tally = tally_of({"a": 1.0, "b": 1.0})
    assert [measure(tally, 0.0, value=0.0) for _ in range(10)] == [[]] * 10
    assert "dead" not in tally.line()
    assert [measure(tally, 0.0) for _ in range(5)] == [[], [], [], [], ["b"]]
