"""`lossmith list losses --check`: the laws on a loss of the table and on one of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lossmith.losses.laws import LAWS

OWN = """
def poly1(stats, *, epsilon=1.0):
    return -stats.label_log_prob + epsilon * (1 - stats.label_log_prob.exp())
poly1.kind, poly1.needs, poly1.low = "separable", ("label_log_prob",), 0.0

def frozen(stats):
    return -stats.label_log_prob.detach()
frozen.kind, frozen.needs = "separable", ("label_log_prob",)

def nameless(stats):
    return -stats.label_log_prob
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder."""
    Path("own_checked.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_checked", raising=False)
    return "own_checked"


def test_a_line_for_each_law(lossmith, own: str):
    shown = lossmith("list", "losses", "--check", f"{own}:poly1", "--set", "epsilon=2")
    assert (shown.code, shown.err) == (0, "")
    head, *lines = shown.out.splitlines()
    assert head == f"{own}:poly1: separable, reads label_log_prob, epsilon=2"
    assert [line.split()[:2] for line in lines] == [["pass", law] for law in LAWS]


def test_a_broken_law_exits_1(lossmith, own: str):
    shown = lossmith("list", "losses", "--check", f"{own}:frozen", "--json")
    assert shown.code == 1
    found = json.loads(shown.out)
    assert {each["law"]: each["passed"] for each in found["laws"]} == {
        **dict.fromkeys(LAWS, True), "range": None, "gradient": False, "alive": False
    }  # fmt: skip
    assert (found["kind"], found["needs"], found["parameters"]) == ("separable", ["label_log_prob"], {})
    assert "breaks 2 of 11 laws" in shown.err


@pytest.mark.parametrize("loss", ["focal", "topological", "huber"])
def test_losses_of_the_table_are_checked_by_name(lossmith, loss: str):
    shown = lossmith("list", "losses", "--check", loss)
    assert (shown.code, shown.err) == (0, "")
    assert "FAIL" not in shown.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--check", "own_checked:poly2"], "did you mean 'own_checked:poly1'?"),
        (["--check", "own_checked:nameless"], "does not say what kind it is"),
        (["--check", "own_absent:poly1"], "No module named 'own_absent'"),
        (["--check", "focl"], "did you mean 'focal'?"),
        (["--check", "focal", "--set", "gama=1"], "did you mean 'gamma'?"),
        (["--check", "focal", "--set", "gamma=-1"], "out of range"),
        (["--check", "focal", "--set", "weight=2"], "parameters of the loss itself"),
        (["--check", "focal", "--set", "gamma"], "key=value"),
        (["--set", "gamma=1"], "--set goes with --check"),
    ],
)
def test_what_cannot_be_read_exits_2(lossmith, own: str, arguments: list[str], says: str):
    shown = lossmith("list", "losses", *arguments)
    assert shown.code == 2
    assert says in shown.err
    assert lossmith("list", "metrics", "--check", "focal").code == 2
