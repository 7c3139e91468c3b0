from __future__ import annotations

import json

import pytest

from lossmith.config.schema import Config
from lossmith.errors import InputError
from lossmith.evaluate.compare import compare_runs
from lossmith.evaluate.rows import comparison_rows
from lossmith.evaluate.run import evaluate_run
from lossmith.metrics.overlap import rouge1
from lossmith.metrics.paired import permutation_test

from .conftest import sentences, spoiled


def test_the_difference_and_its_p_are_those_of_the_records(make_run):
    first, second = make_run("a", share=0.6), make_run("b", share=0.2)
    found = compare_runs([first, second], metrics=["rouge1"])
    entry = found["comparisons"][0]
    targets = sentences(40, 0)
    one, two = (rouge1(spoiled(targets, share, 1), targets) for share in (0.6, 0.2))
    assert entry["values"] == [one.value(), two.value()]
    assert entry["difference"] == two.value() - one.value() > 0
    assert entry["low"] <= entry["difference"] <= entry["high"]
    assert entry["p"] == permutation_test(one, two).p == entry["p_holm"] < 0.01
    assert (found["n"], found["clusters"]) == (40, None)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_records_are_paired_by_id_not_by_place(make_run):
    targets = sentences(40, 0)
    predictions = spoiled(targets, 0.5, 1)
    ids = [f"r{place}" for place in range(40)]
    first = make_run("a", prediction=predictions)
    turned = make_run("b", id=ids[::-1], target=targets[::-1], prediction=predictions[::-1])
    entry = compare_runs([first, turned], metrics=["chrf"])["comparisons"][0]
    assert (entry["difference"], entry["low"], entry["high"], entry["p"]) == (0.0, 0.0, 0.0, 1.0)


def test_several_runs_are_compared_with_the_first_under_holm(make_run):
    runs = [make_run("a", share=0.5), make_run("b", share=0.3), make_run("c", share=0.45, seed=9)]
    found = compare_runs(runs, metrics=["rouge1", "edit_distance"])
    assert [(entry["run"], entry["metric"]) for entry in found["comparisons"]] == [
        (str(runs[1]), "rouge1"),
        (str(runs[1]), "edit_distance"),
        (str(runs[2]), "rouge1"),
        (str(runs[2]), "edit_distance"),
    ]
    assert {entry["against"] for entry in found["comparisons"]} == {str(runs[0])}
    assert found["tests"] == 4
    smallest = min(entry["p"] for entry in found["comparisons"])
    assert min(entry["p_holm"] for entry in found["comparisons"]) == pytest.approx(4 * smallest)
    assert len(comparison_rows(found)) == 4


def test_clusters_are_the_unit(make_run):
    clusters = [str(place // 10) for place in range(40)]
    alone = compare_runs([make_run("a", share=0.4), make_run("b", share=0.2)], metrics=["rouge1"])
    whole = compare_runs(
        [make_run("c", share=0.4, cluster=clusters), make_run("d", share=0.2, cluster=clusters)], metrics=["rouge1"]
    )
    assert whole["clusters"] == 4
    # Four clusters, exchanged or not: no p below 1/8.
    assert whole["comparisons"][0]["p"] >= 0.12 > alone["comparisons"][0]["p"]


def test_metrics_and_split_default_to_what_both_runs_were_evaluated_on(make_run):
    first, second = make_run("a", split="validation"), make_run("b", split="validation", share=0.1)
    for run, metrics in ((first, ["rouge1", "chrf"]), (second, ["chrf", "exact_match"])):
        evaluate = {"metrics": metrics, "split": "validation", "baselines": "none"}
        evaluate_run(run, Config.model_validate({"evaluate": evaluate}))
    found = compare_runs([first, second])
    assert found["split"] == "validation"
    assert [entry["metric"] for entry in found["comparisons"]] == ["chrf"]


def test_a_metric_that_is_no_sum_has_a_difference_but_no_p(make_run):
    entry = compare_runs([make_run("a"), make_run("b", share=0.1)], metrics=["distinct_1"])["comparisons"][0]
    assert entry["difference"] is not None and entry["low"] is not None
    assert entry["p"] is None and entry["p_holm"] is None
    assert "no sum" in entry["reason"]


def test_runs_on_different_records_are_refused_with_number_and_ids(make_run):
    first = make_run("a")
    ids = [f"r{place}" for place in range(3, 43)]
    with pytest.raises(InputError, match=r"3 ids are only in .*3 only in") as caught:
        compare_runs([first, make_run("b", id=ids)], metrics=["rouge1"])
    assert "r0, r1, r2" in caught.value.got and "r40, r41, r42" in caught.value.got


def test_other_targets_or_clusters_for_one_id_are_refused(make_run):
    targets = sentences(40, 0)
    with pytest.raises(InputError, match="'target' for 1 records"):
        compare_runs([make_run("a"), make_run("b", target=["other", *targets[1:]])], metrics=["rouge1"])
    clusters = [str(place) for place in range(40)]
    runs = [make_run("c", cluster=clusters), make_run("d", cluster=["0"] * 40)]
    with pytest.raises(InputError, match="'cluster' for 39 records"):
        compare_runs(runs, metrics=["rouge1"])


def test_what_can_not_be_compared_says_so(make_run):
    with pytest.raises(InputError, match="two runs"):
        compare_runs([make_run("a")])
    with pytest.raises(InputError, match="no metric in common"):
        compare_runs([make_run("a"), make_run("b")])
    with pytest.raises(InputError, match="did you mean 'chrf'"):
        compare_runs([make_run("a"), make_run("b")], metrics=["chrff"])
