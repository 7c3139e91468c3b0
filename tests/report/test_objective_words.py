"""The objective in words: terms by task, losses of one's own, dead terms; and shares of many terms in one chart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lossmith.report.objective_words import formula, terms
from lossmith.report.page import write_report
from lossmith.report.run_files import Run
from lossmith.report.training import loss_charts, share_charts
from lossmith.report.verdicts import verdicts
from lossmith.runs import RunFolder, append_jsonl, write_text

OBJECTIVE: dict[str, Any] = {
    "cross_entropy": 1.0,
    "by_task": {
        "maths": {"cross_entropy": 0.6, "sharp": {"loss": "focal", "weight": 0.4, "gamma": 5}},
        "chem": {"poly1": {"loss": "my_losses:poly1", "weight": 0.5, "epsilon": 2}},
    },
}
NAMES = ("cross_entropy", "maths.cross_entropy", "maths.sharp", "chem.poly1")


def line(step: int, names: tuple[str, ...], **more: Any) -> dict[str, Any]:
    held = {name: {"value": 3.0 / step, "weight": 1.0, "share": 1 / len(names)} for name in names}
    return {"step": step, "loss": 3.0 / step, "terms": held, **more}


def run_of(tmp_path: Path, *history: dict[str, Any], manifest: dict[str, Any] | None = None) -> Run:
    return Run("one", RunFolder(tmp_path), {"objective": OBJECTIVE}, manifest or {}, None, history, None, {}, [])


def test_terms_are_named_after_their_task_and_beside_it_for_whom_they_are(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert [term.name for term in terms(run)] == list(NAMES)
    assert formula(run) == (
        "1 × cross_entropy(answer, all other tasks) + 0.6 × maths.cross_entropy(answer) + "
        "0.4 × maths.sharp(answer; gamma = 5) + 0.5 × chem.poly1(answer; epsilon = 2)"
    )
    by_name = {term.name: term for term in terms(run)}
    assert by_name["maths.sharp"].source == "Lin et al. 2017"
    assert by_name["chem.poly1"].about == "a loss of your own: my_losses:poly1"
    assert [term.unit for term in terms(run)] == ["nats", "nats", "nats", ""]


def test_the_manifest_says_the_same(tmp_path: Path) -> None:
    facts = [
        {"name": "focal", "loss": "focal", "task": None, "weight": 1.0, "span": ["answer"], "parameters": {"gamma": 2.0}},
        {"name": "maths.mine", "loss": "m:f", "task": "maths", "weight": 0.5, "span": ["answer"], "parameters": {}},
    ]  # fmt: skip
    run = run_of(tmp_path, manifest={"objective": facts})
    assert formula(run) == "1 × focal(answer, all other tasks) + 0.5 × maths.mine(answer)"


def test_a_dead_term_is_the_first_thing_said(tmp_path: Path) -> None:
    alive, dead = line(1, NAMES), line(2, NAMES, dead=["maths.sharp"])
    assert verdicts([run_of(tmp_path, alive)], {})[0].statement == "Nothing is measured yet"
    run = run_of(tmp_path, alive, dead, {"step": 2, "eval_loss": 1.0})
    first = verdicts([run], {})[0]
    assert (first.kind, first.statement) == ("bad", "The term maths.sharp of the objective is dead")
    notes = {term.name: term.notes for term in terms(run)}
    assert notes["maths.sharp"] == ("dead: it had no share of the gradient and trained nothing",)
    assert notes["maths.cross_entropy"] == ()
    revived = run_of(tmp_path, alive, dead, line(3, NAMES))
    assert not [verdict for verdict in verdicts([revived], {}) if verdict.kind == "bad"]


def test_every_term_has_a_chart_with_its_unit_and_a_line_of_its_own_among_the_shares(tmp_path: Path) -> None:
    names = (*NAMES, *(f"law.focal{n}" for n in range(8)))
    run = run_of(tmp_path, *(line(step, names) for step in (1, 2, 3)))
    charts = {chart.title: chart for chart in loss_charts([run])}
    assert {f"{name}, unweighted" for name in names} <= set(charts)
    assert charts["maths.cross_entropy, unweighted"].unit.startswith("nats")
    (shares,) = share_charts([run])
    assert [label for label, _ in shares.keys] == list(names)
    drawn = [re.findall(r"stroke:([^;]+);stroke-dasharray:([^\"]+)", str(key))[0] for _, key in shares.keys]
    assert len(set(drawn)) == len(names) == 12, "no two lines look alike"


def test_shares_are_joined_over_steps_at_which_a_task_was_absent(tmp_path: Path) -> None:
    absent = line(2, NAMES)
    absent["terms"]["chem.poly1"] = {"value": None, "weight": 1.0, "share": None}
    (shares,) = share_charts([run_of(tmp_path, line(1, NAMES), absent, line(3, NAMES))])
    points = {each["label"]: each["points"] for each in shares.data["lines"]}
    assert [step for step, _ in points["chem.poly1"]] == [1, 3]
    assert [step for step, _ in points["maths.sharp"]] == [1, 2, 3]


def test_a_page_of_such_a_run_can_be_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write_text(
        folder.config,
        "data: {task: kind}\nmodel: {base: scratch-tiny}\n"
        "objective: {cross_entropy: 1, by_task: {maths: {focal: 0.5}, chem: {focal: {weight: 1, gamma: 1}}}}\n",
    )
    for step in (1, 2):
        append_jsonl(folder.history, line(step, ("cross_entropy", "maths.focal", "chem.focal"), dead=["chem.focal"]))
    page = write_report([folder.path], None).read_text()
    for told in ("Share of the gradient", "maths.focal, unweighted", "The term chem.focal of the objective is dead"):
        assert told in page
