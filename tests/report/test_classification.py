"""The page of a classification: what its reader finds of gates, decisions, groups and mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from lossmith.cli.screen import print_comparison, print_metrics
from lossmith.evaluate.compare import compare_runs
from lossmith.evaluate.predictions import Predictions, read_predictions
from lossmith.report.classification.confusion import confusion, label_counts
from lossmith.report.classification.mistakes import mistakes
from lossmith.report.classification.outcomes import Outcomes, read_outcomes
from lossmith.report.classification.precision_recall import curve, decided, precision_recall
from lossmith.report.classification.reliability import binned, reliability
from lossmith.report.page import write_report
from lossmith.runs import RunFolder, read_json, write_json

from .orchard import crates, faulty, graded, write_classified
from .reading import Page, read_page

GATES = ["f1 >= 0.5", "fpr.plums <= 0.001", "fpr.quinces <= 0.9"]


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of classes that exclude each other or not, and one that is worse than a constant."""
    root = tmp_path_factory.mktemp("orchard")
    crate, asked = crates(320, skill=0.8, failed=[5, 40]), ["f1", "recall", "roc_auc", "fpr_gap"]
    write_classified(root / "crates", crate, metrics=asked, require=GATES)
    few = ["majority_class", "always_positive"]
    write_classified(root / "blind", crates(320, skill=0.0, seed=3), metrics=asked, baselines=few)
    write_classified(root / "grades", graded(120, skill=1.5, failed=[3]), metrics=["f1_macro", "f1"], baselines="none")
    write_classified(root / "faults", faulty(120, skill=1.0), metrics=["f1_macro"], baselines="none")
    return root


@pytest.fixture(scope="module")
def page(orchard: Path) -> Page:
    return read_page(write_report([orchard / "crates"]))


def outcomes(table: Any) -> Outcomes:
    found = read_outcomes(Predictions(table, "predictions"))
    assert found is not None
    return found


def test_gates_stand_above_the_verdict_and_the_missed_ones_first(page: Page) -> None:
    top = page.text
    assert top.index("Misses 2 of its 3 gates") < top.index("a constant answer") < top.index("What was run")
    rules = [top.index(rule) for rule in ("fpr.plums <= 0.001", "fpr.quinces <= 0.9", "f1 >= 0.5")]
    assert rules[2] == max(rules)
    assert "too small: 3 of at least 10 records" in top[rules[1] : rules[2]]


def test_one_line_says_what_is_beaten(page: Page, orchard: Path) -> None:
    assert re.search(r"Beats a constant answer(,| and)[^.]*“TF-IDF \+ logistic regression”", page.text)
    blind = read_page(write_report([orchard / "blind"])).text
    found = read_json(RunFolder(orchard / "blind").metrics())
    assert found["beats_constant"] is False
    assert "Does not beat a constant answer" in blind and "Bad: Does not" in blind


def test_values_of_the_file_stand_with_interval_baselines_and_n(page: Page, orchard: Path) -> None:
    found = read_json(RunFolder(orchard / "crates").metrics())
    for name in ("f1", "recall"):
        facts = found["metrics"][name]
        assert f"{facts['value']:.3f} {facts['low']:.3f} to {facts['high']:.3f}" in page.text, name
    assert f"of {found['metrics']['recall']['trials']}" in page.text
    prior = found["baselines"]["training_prior"]["f1"]["value"]
    assert f"{prior:.3f}" in page.text and "training prior" in page.text
    groups = page.text[page.text.index("Between the groups") :]
    gap = found["metrics"]["fpr_gap"]
    assert f"{gap['value']:.3f} {gap['low']:.3f} to {gap['high']:.3f}" in groups
    for group, facts in found["groups"].items():
        assert f"{facts['fpr']['value']:.3f} ({facts['fpr']['low']:.3f} to {facts['fpr']['high']:.3f})" in groups, group


def test_groups_are_ordered_by_their_rate_and_the_small_one_is_marked(page: Page, orchard: Path) -> None:
    found = read_json(RunFolder(orchard / "crates").metrics())["groups"]
    drawing = page.text[page.text.index("fpr lower is better; worst") : page.text.index("fnr lower is better; worst")]
    order = sorted(found, key=lambda group: -found[group]["fpr"]["value"])
    places = [drawing.index(group) for group in order]
    assert places == sorted(places)
    assert re.search(r"quinces \(\d\), too small", drawing) and "all records" in drawing
    assert "Too small to be judged: quinces" in page.text
    hollow = [held for tag, held in page.tags if tag == "line" and "faint" in (held.get("class") or "")]
    assert len(hollow) >= 2


def test_threshold_and_calibration_say_what_was_asked_and_not_reached(page: Page) -> None:
    assert "spoiled from a score of 0.400 on" in page.text
    assert "recall: >= 0.9, NOT reached, since validation has no positive record" in page.text
    assert "validation (120 records)" in page.text
    assert "scores divided by a temperature of 1.300" in page.text
    assert "weight class_focal, class_weight: balanced" in page.text


def test_texts_are_there_and_closed(page: Page, orchard: Path) -> None:
    assert "from the slope behind the mill" in page.text
    closed = [held for held in page.all("details") if held.get("class") == "withheld"]
    assert len(closed) >= 5 and not any("open" in held for held in closed)
    # Every text stands inside of one of them.
    parts = re.split(r'<details class="withheld">.*?</details>', page.source, flags=re.DOTALL)
    assert "from the slope behind the mill" not in "".join(parts)
    assert "details:not([open]):not(.withheld)" in page.source


def test_the_page_is_whole_for_every_kind_of_labels(orchard: Path) -> None:
    for name in ("crates", "grades", "faults"):
        found = read_page(write_report([orchard / name]))
        assert found.mismatched == [] and found.open == [], name
        ids = [held["id"] for _, held in found.tags if "id" in held]
        assert len(ids) == len(set(ids))
        assert len(found.all("table")) == len(found.all("caption"))
        assert not re.search(r"https?://", found.source)


def test_classes_have_a_table_of_their_own(orchard: Path) -> None:
    text = read_page(write_report([orchard / "grades"])).text
    facts = read_json(RunFolder(orchard / "grades").metrics())["metrics"]["f1.juice"]
    by_class = text[text.index("Each class against the rest") :]
    assert f"{facts['value']:.3f} {facts['low']:.3f} to {facts['high']:.3f}" in by_class
    assert "f1.juice" not in text[: text.index("Decisions How a score")]
    assert "the class with the highest score" in text and "Surest of a wrong class" in text
    faults = read_page(write_report([orchard / "faults"])).text
    assert "wormy 0.300" in faults and "Decisions by label" in faults and "rightly not said" in faults


def test_without_predictions_the_metrics_still_stand(orchard: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "bare")
    run.path.mkdir()
    for name in ("config.yaml", "metrics.json"):
        (run.path / name).write_bytes((orchard / "crates" / name).read_bytes())
    text = read_page(write_report([run.path])).text
    assert "Misses 2 of its 3 gates" in text and "Groups" in text
    assert "missing: there are no predictions" in text.replace("bare: ", "") or "there are no predictions" in text


def test_two_runs_are_compared_with_their_groups(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [orchard / "crates", orchard / "blind"]
    comparison = compare_runs(folders)
    held = {(one["metric"], one["group"]): one for one in comparison["groups"]}
    metrics = [read_json(RunFolder(folder).metrics())["groups"] for folder in folders]
    assert set(held) == {(rate, group) for rate in ("fpr", "fnr") for group in metrics[0]}
    for (rate, group), one in held.items():
        assert one["values"] == [side[group][rate]["value"] for side in metrics]
        assert one["difference"] == pytest.approx(one["values"][1] - one["values"][0])
    assert "too small" in held["fpr", "quinces"]["reason"]
    found = read_page(write_report(folders, orchard / "comparison.html", comparison=comparison))
    assert found.mismatched == [] and found.open == []
    assert "crates misses 2 of its 3 gates" in found.text
    assert "blind is worse than crates on f1" in found.text or "blind less crates" in found.text
    plums = held["fpr", "plums"]
    assert f"{plums['difference']:+.3f}" in found.text[found.text.index("By group: blind less crates") :]
    print_comparison(comparison)
    assert "differences of error rates by group" in capsys.readouterr().out


def test_a_damaged_file_is_a_sentence(orchard: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    run = RunFolder(tmp_path / "damaged")
    run.predictions("test").parent.mkdir(parents=True)
    (run.path / "config.yaml").write_bytes((orchard / "crates" / "config.yaml").read_bytes())
    table = crates(30, skill=1.0).drop_columns(["score.spoiled"])
    pq.write_table(table, run.predictions("test"))
    text = read_page(write_report([run.path])).text
    assert "has no column 'score.spoiled'" in text


@pytest.mark.parametrize("seed", [0, 1])
def test_the_curve_is_that_of_scikit_learn(seed: int) -> None:
    found = outcomes(crates(300, skill=0.6, seed=seed))
    truth, scores = found.truth[:, 1], np.round(found.scores[:, 1], 2)
    precision, recall, thresholds = curve(truth, scores)
    theirs = precision_recall_curve(truth, scores)
    assert precision[::-1] == pytest.approx(theirs[0][:-1]) and recall[::-1] == pytest.approx(theirs[1][:-1])
    assert thresholds[::-1].tolist() == theirs[2].tolist()
    steps = np.diff(np.concatenate([[0.0], recall]))
    assert float((steps * precision).sum()) == pytest.approx(average_precision_score(truth, scores))


def test_the_operating_point_counts_failed_records_as_missed() -> None:
    table = crates(300, skill=0.8, failed=[0, 40])
    found = outcomes(table)
    labels, said = table["label"].to_pylist(), table["predicted"].to_pylist()
    hits = sum(one == two == "spoiled" for one, two in zip(labels, said, strict=True))
    assert labels[0] == labels[40] == "spoiled"
    assert decided(found, 1) == pytest.approx((hits / labels.count("spoiled"), hits / said.count("spoiled")))
    drawn = precision_recall(found)
    assert drawn is not None and drawn.about.startswith("298 records")


def test_confusion_keeps_failed_records_apart_and_adds_up() -> None:
    table = crates(300, skill=0.8, failed=[0, 40, 41])
    shown = confusion(outcomes(table))
    assert shown is not None and shown.heads == ("sound", "spoiled", "failed")
    assert sum(cell.count for _, _, cells in shown.rows for cell in cells) == 300
    assert [cells[-1].count for _, _, cells in shown.rows] == [1, 2]
    assert "other class than its own" in shown.note
    labels = label_counts(outcomes(faulty(150, skill=1.0)))
    assert all(one.found + one.missed + one.false + one.clear == 150 for one in labels)


def test_reliability_reads_the_positive_class_and_every_score_once() -> None:
    found = outcomes(crates(300, skill=0.8, failed=[1]))
    bins = binned(found.scores[found.scored][:, 1], found.truth[found.scored][:, 1])
    assert sum(one.n for one in bins) == 299
    assert all(one.low <= one.score <= one.high for one in bins)
    assert sum(round(one.share * one.n) for one in bins) == int(found.truth[found.scored][:, 1].sum())
    several = reliability(outcomes(graded(100, skill=1.0)))
    assert several is not None and several.x_name == "score of the likeliest class"


def test_the_surest_mistakes_come_first() -> None:
    table = crates(300, skill=0.4)
    predictions = Predictions(table, "predictions")
    alarms, misses = mistakes(predictions, outcomes(table))
    scores = [float(one.score.rpartition(" ")[2]) for one in alarms.rows]
    assert scores == sorted(scores, reverse=True) and alarms.title.startswith("False alarms")
    assert {(one.label, one.said) for one in alarms.rows} == {("sound", "spoiled")}
    assert {(one.label, one.said) for one in misses.rows} == {("spoiled", "sound")}
    wrong = sum(a != b for a, b in zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True))
    assert int(alarms.told.split()[0]) + int(misses.told.split()[0]) == wrong


def test_before_and_after_show_the_paired_difference(orchard: Path) -> None:
    run = RunFolder(orchard / "crates")
    held = read_json(run.metrics())
    theirs = {"f1": held["metrics"]["f1"] | {"value": 0.111}}
    change = {"metric": "f1", "difference": 0.555, "low": 0.444, "high": 0.666, "beats": True, "reason": None}
    held["baselines"]["runs/base"] = theirs
    held["against_baselines"]["runs/base"] = change | {"differences": {"f1": change}}
    copy = RunFolder(orchard / "tuned")
    copy.path.mkdir()
    (copy.path / "config.yaml").write_bytes(run.config.read_bytes())
    write_json(copy.metrics(), held)
    text = read_page(write_report([copy.path])).text
    assert "Before and after: runs/base, then tuned" in text and "+0.555 +0.444 to +0.666" in text


def test_predictions_of_a_run_are_read_as_metrics_read_them(orchard: Path) -> None:
    predictions = read_predictions(RunFolder(orchard / "crates").predictions("test"))
    found = read_outcomes(predictions)
    assert found is not None and int(found.failed.sum()) == 2 and not found.predicted[found.failed].any()
    kept = ~found.failed
    assert (found.predicted[kept] == predictions.outcomes.said[kept]).all()
    assert (found.wrong == (predictions.outcomes.gold != predictions.outcomes.said).any(axis=1)).all()


def test_the_terminal_tells_classes_groups_and_decisions(orchard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = read_json(RunFolder(orchard / "crates").metrics())
    print_metrics(held, decision=RunFolder(orchard / "crates").manifest()["decision"])
    told = capsys.readouterr().out
    order = [line.split()[0] for line in told[told.index("by group, the worst first") :].splitlines()[2:7]]
    mean = {group: (facts["fpr"]["value"] + facts["fnr"]["value"]) / 2 for group, facts in held["groups"].items()}
    assert order[-1] == "quinces" and "too small" in told
    assert order[:-1] == sorted(order[:-1], key=lambda group: -mean[group])
    assert told.index("between groups") < told.index("fpr_gap") < told.index("gate f1")
    assert "positive class spoiled, from a score of 0.4 on" in told and "NOT reached: validation has" in told
    print_metrics(read_json(RunFolder(orchard / "grades").metrics()))
    grades = capsys.readouterr().out
    assert re.search(r"by class *\nclass +f1 *\nfancy", grades)
    assert "classes fancy, good, juice: the one with the highest score" in grades
