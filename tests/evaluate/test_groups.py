from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score, roc_auc_score

from lossmith.errors import ConfigError, GateMissedError
from lossmith.evaluate.outcomes import group_members
from lossmith.evaluate.run import evaluate_run
from lossmith.stages import check_gates

from .classified_files import LABELS, THREE, settings, two_scores, write_run, write_two

SIZE = 240


def records(seed: int = 0):
    gold = (np.random.default_rng(seed).random(SIZE) < 0.4).astype(int)
    return gold, two_scores(gold, seed=seed)


def grouped(small: int = 3) -> list[str | None]:
    """Groups of very different sizes, one of `small` records, and some records without one."""
    names = ["women"] * 100 + ["arab"] * 60 + ["lgbtq"] * (SIZE - 180 - small) + ["rare"] * small + [None] * 20
    return [names[place] for place in np.random.default_rng(1).permutation(SIZE)]


def rate(gold, said, inside, name):
    gold, said = gold[inside], said[inside]
    over = {"fpr": gold == 0, "fnr": gold == 1, "tpr": gold == 1, "selection_rate": np.ones(len(gold), bool)}[name]
    hit = ~said if name == "fnr" else said
    return int((hit & over).sum()), int(over.sum())


def test_every_group_has_its_counts_rates_and_areas(tmp_path):
    gold, score = records()
    groups = grouped()
    result = evaluate_run(write_two(tmp_path, gold, score, group=groups), settings(metrics=["f1", "accuracy"]))
    said = score >= 0.5
    assert list(result["groups"]) == ["arab", "lgbtq", "rare", "women"]
    for group, found in result["groups"].items():
        inside = np.array([one == group for one in groups])
        assert (found["n"]["value"], found["positives"]["value"]) == (inside.sum(), gold[inside].sum())
        for name in ("fpr", "fnr", "tpr", "selection_rate"):
            hits, trials = rate(gold, said, inside, name)
            if trials == 0:
                assert found[name]["value"] is None and found[name]["reason"]
                continue
            expected = binomtest(hits, trials).proportion_ci(method="wilson")
            entry = found[name]
            assert entry["value"] == pytest.approx(hits / trials)
            assert (entry["low"], entry["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)
            assert (entry["n"], entry["trials"]) == (inside.sum(), trials)
        if group != "rare":
            assert found["f1"]["value"] == pytest.approx(f1_score(gold[inside], said[inside]))
        positive = gold == 1
        for name, rows in {
            "subgroup_auc": inside,
            "bpsn_auc": positive != inside,
            "bnsp_auc": positive == inside,
        }.items():
            if len(set(gold[rows])) == 2:
                assert found[name]["value"] == pytest.approx(roc_auc_score(gold[rows], score[rows]))
                assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_a_group_of_three_says_that_it_is_too_small_and_does_not_count(tmp_path):
    gold, score = records()
    groups = grouped()
    result = evaluate_run(write_two(tmp_path, gold, score, group=groups), settings(metrics=["accuracy"]))
    assert result["groups"]["rare"]["accuracy"]["reason"] == "too small: 3 of at least 10 records"
    assert result["groups"]["rare"]["n"]["reason"].startswith("too small")
    values = {name: found["fpr"]["value"] for name, found in result["groups"].items() if name != "rare"}
    gap = result["metrics"]["fpr_gap"]
    assert gap["value"] == pytest.approx(max(values.values()) - min(values.values()))
    assert any("rare (3 of at least 10 records)" in note for note in gap["notes"])
    strict = evaluate_run(tmp_path, settings(metrics=["accuracy"], smallest_group=70))
    assert "too small: 60 of at least 70" in strict["groups"]["arab"]["fpr"]["reason"]
    assert strict["metrics"]["fpr_gap"]["value"] is None
    assert "fewer than two groups" in strict["metrics"]["fpr_gap"]["reason"]


def test_figures_across_groups_stand_among_the_metrics(tmp_path):
    gold, score = records()
    groups = grouped(small=12)
    result = evaluate_run(write_two(tmp_path, gold, score, group=groups), settings(metrics=["f1"]))
    found, inside = result["metrics"], result["groups"]
    fpr, tpr, fnr = ([one[name]["value"] for one in inside.values()] for name in ("fpr", "tpr", "fnr"))
    odds = max(max(fpr) - min(fpr), max(tpr) - min(tpr))
    assert found["equalized_odds_difference"]["value"] == pytest.approx(odds)
    assert found["bias_score"]["value"] == pytest.approx(1 - np.mean((np.array(fpr) + np.array(fnr)) / 2))
    assert "does not measure gaps" in found["bias_score"]["notes"][0]
    assert found["worst_group_f1"]["value"] == pytest.approx(min(one["f1"]["value"] for one in inside.values()))
    assert found["fpr"]["value"] == pytest.approx(((score >= 0.5) & (gold == 0)).sum() / (gold == 0).sum())
    assert result["asked"] == ["f1"]


def test_two_columns_give_their_groups_and_the_intersections(tmp_path):
    gold, score = records()
    chance = np.random.default_rng(2)
    one, two = chance.choice(["women", "men"], SIZE), chance.choice(["young", "old"], SIZE)
    cells = [f"{a} & {b}" for a, b in zip(one, two, strict=True)]
    result = evaluate_run(write_two(tmp_path, gold, score, group=cells), settings(metrics=["f1"]))
    names = {"women", "men", "young", "old"} | {f"{a} & {b}" for a in ("women", "men") for b in ("young", "old")}
    assert set(result["groups"]) == names
    inside = (one == "women") & (two == "old")
    hits, trials = rate(gold, score >= 0.5, inside, "fpr")
    assert result["groups"]["women & old"]["fpr"]["value"] == pytest.approx(hits / trials)
    assert result["groups"]["old"]["n"]["value"] == (two == "old").sum()


def test_a_name_of_two_columns_is_one_group_and_says_so(tmp_path):
    gold, score = records()
    cells = ["other & old", "women & other"] * (SIZE // 2)
    run = write_two(tmp_path, gold, score, group=cells)
    asked = settings(metrics=["accuracy"], data={"group": ["gender", "age"]})
    result = evaluate_run(run, asked)
    assert result["groups"]["other"]["n"]["value"] == SIZE
    assert any(note.startswith("'other' is one group") for note in result["notes"])


def test_a_cell_of_three_names_is_in_each_pair_of_them():
    found = group_members(["a & b & c", None, "b"], smallest=10)
    assert found.names == ("a", "a & b", "a & c", "b", "b & c", "c")
    assert found.members.sum(axis=1).tolist() == [6, 0, 1]


def test_without_a_positive_class_groups_have_figures_of_each(tmp_path):
    generator = np.random.default_rng(3)
    gold = generator.integers(3, size=90)
    scores = generator.dirichlet([1, 1, 1], size=90) * 0.5 + 0.5 * np.eye(3)[gold]
    groups = ["x", "y"] * 45
    run = write_run(tmp_path, THREE, gold.tolist(), scores, group=groups)
    result = evaluate_run(run, settings(metrics=["f1_macro", "fpr_gap"], require=["fpr.b.y <= 1", "fpr.b <= 1"]))
    said, inside = scores.argmax(axis=1), np.arange(90) % 2 == 1
    expected = (said[inside & (gold != 1)] == 1).mean()
    assert result["groups"]["y"]["fpr.b"]["value"] == pytest.approx(expected)
    assert result["groups"]["y"]["positives.b"]["value"] == (gold[inside] == 1).sum()
    assert result["groups"]["y"]["subgroup_auc.c"]["value"] == pytest.approx(
        roc_auc_score(gold[inside] == 2, scores[inside, 2])
    )
    assert result["metrics"]["fpr_gap"]["value"] is None and result["metrics"]["fpr_gap.b"]["value"] is not None
    assert result["metrics"]["worst_group_f1_macro"]["value"] == min(
        found["f1_macro"]["value"] for found in result["groups"].values()
    )
    assert [gate["passed"] for gate in result["gates"]] == [True, True]
    assert result["gates"][0]["value"] == pytest.approx(expected)


def test_labels_have_groups_too(tmp_path):
    generator = np.random.default_rng(4)
    gold = generator.integers(2, size=(60, 2))
    scores = np.clip(0.3 + 0.4 * gold + generator.normal(0, 0.2, gold.shape), 0, 1)
    run = write_run(tmp_path, LABELS, gold.tolist(), scores, group=["x", "y"] * 30)
    found = evaluate_run(run, settings(metrics=["f1_macro"]))["groups"]["x"]
    hits, trials = rate(gold[::2, 1], scores[::2, 1] >= 0.5, np.ones(30, bool), "fnr")
    assert found["fnr.wrong"]["value"] == pytest.approx(hits / trials)


def test_gates_on_groups_bounds_and_gaps(tmp_path):
    gold, score = records()
    run = write_two(tmp_path / "runs" / "one", gold, score, group=grouped())
    write_two(tmp_path / "runs" / "prompted", gold, two_scores(gold, seed=0, spread=0.6), group=grouped())
    rules = [
        "fpr.lgbtq <= 1",
        "fpr.lgbtq.high <= 0.0001",
        "f1 >= runs/prompted",
        "equalized_odds_difference >= 0",
        "mcc >= -1",
        "fpr.rare <= 1",
        "fpr.martian <= 1",
        "equalized_odds_difference.women <= 1",
        "worst_group_f1.low >= 0",
        "f1.yes >= 0",
    ]
    result = evaluate_run(run, settings(metrics=["f1"], require=rules))
    passed = [gate["passed"] for gate in result["gates"]]
    assert passed == [True, False, True, True, True, False, False, False, True, True]
    reasons = [gate["reason"] for gate in result["gates"]]
    assert "is not <=" in reasons[1]
    assert reasons[5] == "too small: 3 of at least 10 records"
    assert "no group 'martian'" in reasons[6]
    assert "no value inside a group" in reasons[7]
    with pytest.raises(GateMissedError, match="4 of 10 gates missed") as missed:
        check_gates(result)
    assert missed.value.exit_code == 3


def test_an_undefined_figure_misses_its_gate(tmp_path):
    gold = np.zeros(60, dtype=int)
    run = write_two(tmp_path, gold, two_scores(gold), group=["a", "b"] * 30)
    gates = evaluate_run(run, settings(metrics=["fpr"], require=["fnr.a <= 1", "tpr >= 0", "fpr_gap <= 1"]))["gates"]
    assert [gate["passed"] for gate in gates] == [False, False, True]
    assert gates[0]["reason"] == "undefined: no record is of the class"
    with pytest.raises(ConfigError, match="did you mean 'fpr'"):
        evaluate_run(run, settings(metrics=["fpr"], require=["fprr.a <= 1"]))


def test_a_class_and_a_group_of_one_name_are_not_confused(tmp_path):
    gold = np.array([0, 1, 2] * 30)
    run = write_run(tmp_path, THREE, gold.tolist(), np.eye(3)[gold], group=["y", "z", "a"] * 30)
    rules = ["fpr.a <= 1", "fpr.b <= 1", "accuracy.a >= 0", "fpr.a.a <= 1"]
    gates = evaluate_run(run, settings(metrics=["f1_macro"], require=rules))["gates"]
    assert [gate["passed"] for gate in gates] == [False, True, True, True]
    assert gates[0]["reason"] == "a class and a group are both called 'a'"
