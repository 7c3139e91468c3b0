from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossmith.config.schema import Config
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.evaluate.measures import Resampling, figure, find_measure
from lossmith.evaluate.rows import figure_rows
from lossmith.evaluate.run import evaluate_run
from lossmith.metrics.overlap import rouge1
from lossmith.metrics.scores import mean_of
from lossmith.metrics.text import exact_match

from .conftest import sentences, spoiled


def settings(**evaluate) -> Config:
    evaluate.setdefault("metrics", ["rouge1", "exact_match", "bleu"])
    evaluate.setdefault("baselines", "none")
    return Config.model_validate({"evaluate": evaluate})


def word_share(predictions):
    right = [p is not None and p.split()[:1] == t.split()[:1] for p, t in _pairs(predictions)]
    return np.array(right, dtype=float), np.ones(len(right))


word_share.direction = "up"


def mean_length(predictions):
    return float(np.mean([len(p or "") for p, _ in _pairs(predictions)]))


mean_length.direction = "down"


def never_defined(predictions):
    return 0, 0


never_defined.direction = "up"


def without_direction(predictions):
    return 1.0


def broken(predictions):
    return predictions["nothing"]


broken.direction = "up"


def wrong_shape(predictions):
    return [1.0], [1.0]


wrong_shape.direction = "up"


def _pairs(table):
    return list(zip(table["prediction"].to_pylist(), table["target"].to_pylist(), strict=True))


OWN = f"{__name__}:"


def test_the_file_has_the_shape_that_programs_rely_on(make_run):
    run = make_run("one")
    result = evaluate_run(run, settings())
    written = json.loads((run / "metrics.json").read_text())
    assert written == json.loads(json.dumps(result))
    assert {"split", "n", "metrics", "baselines", "groups", "gates", "beats_constant"} <= set(written)
    assert (written["split"], written["n"], written["beats_constant"], written["groups"]) == ("test", 40, None, {})
    for entry in written["metrics"].values():
        assert {"value", "low", "high", "n", "direction", "reason"} <= set(entry)
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert written["metrics"]["bleu"]["signature"].startswith("nrefs:1|")
    assert written["metrics"]["exact_match"]["interval"] == "wilson"


def test_values_are_those_of_the_metrics(make_run):
    targets = sentences(40, 0)
    predictions = spoiled(targets, 0.3, 1)
    found = evaluate_run(make_run("one"), settings())["metrics"]
    assert found["rouge1"]["value"] == rouge1(predictions, targets).value()
    assert found["exact_match"]["value"] == exact_match(predictions, targets).value()


def test_the_same_files_give_the_same_bytes(make_run):
    run = make_run("one", group=["a", "b"] * 20, cluster=[str(place // 3) for place in range(40)])
    evaluate_run(run, settings(baselines="auto"))
    first = (run / "metrics.json").read_bytes()
    evaluate_run(run, settings(baselines="auto"))
    assert (run / "metrics.json").read_bytes() == first


def test_another_split_has_a_file_of_its_own(make_run):
    run = make_run("one", split="validation")
    evaluate_run(run, settings(), split="validation")
    assert (run / "metrics.validation.json").exists()
    assert not (run / "metrics.json").exists()


def test_failed_rows_are_wrong_and_counted(make_run):
    targets = sentences(40, 0)
    run = make_run("one", prediction=targets, error=["out of room"] * 10 + [None] * 30)
    result = evaluate_run(run, settings())
    assert (result["n"], result["failed"]) == (40, 10)
    assert result["metrics"]["exact_match"]["value"] == 0.75
    assert result["metrics"]["exact_match"]["n"] == 40


def test_clusters_make_the_interval_of_a_proportion_a_bootstrap(make_run):
    run = make_run("one", cluster=[str(place // 4) for place in range(40)])
    result = evaluate_run(run, settings())
    assert result["clusters"] == 10
    assert result["metrics"]["exact_match"]["interval"] == "bootstrap"


def test_groups_have_figures_and_small_ones_say_so(make_run):
    groups = ["soups"] * 25 + ["pies"] * 9 + [None] * 6
    run = make_run("one", group=groups)
    result = evaluate_run(run, settings(metrics=["rouge1", "distinct_1"]))
    assert list(result["groups"]) == ["pies", "soups"]
    soups = result["groups"]["soups"]
    targets = sentences(40, 0)
    assert soups["rouge1"]["value"] == rouge1(spoiled(targets, 0.3, 1)[:25], targets[:25]).value()
    assert soups["rouge1"]["n"] == 25
    assert soups["rouge1"]["reason"] is None
    assert result["groups"]["pies"]["rouge1"]["reason"] == "too small: 9 of at least 10 records"
    # Few words told apart over 25 texts, fewer over 40: a group is scored anew.
    assert soups["distinct_1"]["value"] > result["metrics"]["distinct_1"]["value"]


def test_baselines_are_scored_by_the_same_code(make_run, tmp_path):
    prompts = [f"please cook {text}" for text in sentences(40, 5)]
    train = tmp_path / "train.parquet"
    targets = sentences(40, 0)
    pq.write_table(pa.table({"prompt": prompts[::-1], "target": targets[::-1]}), train)
    run = make_run("one", prompt=prompts)
    result = evaluate_run(run, settings(baselines="auto"), prepared=tmp_path)
    assert set(result["baselines"]) == {"prompt_copied", "nearest_training_record"}
    assert result["baselines"]["nearest_training_record"]["rouge1"]["value"] == 1.0
    assert result["baselines"]["prompt_copied"]["rouge1"]["value"] == rouge1(prompts, targets).value()
    assert result["against_baselines"]["prompt_copied"]["beats"] is True
    assert result["against_baselines"]["nearest_training_record"]["beats"] is False
    assert result["notes"][0].startswith("The model does not beat the target of the training record")
    row = figure_rows(result)[0]
    assert (row["metric"], row["nearest_training_record"]) == ("rouge1", 1.0)


def test_a_baseline_that_can_not_be_given_says_why(make_run):
    run = make_run("one")
    result = evaluate_run(run, settings(baselines="auto"))
    assert set(result["baselines"]) == {"prompt_copied"}
    assert "training split" in result["baselines_absent"]["nearest_training_record"]
    without = evaluate_run(make_run("two", prompt=[""] * 40), settings(baselines="auto"))
    assert set(without["baselines_absent"]) == {"prompt_copied", "nearest_training_record"}


def test_the_training_split_is_found_through_the_manifest(make_run, tmp_path):
    run = make_run("one")
    pq.write_table(pa.table({"prompt": ["cook"], "target": ["stir"]}), tmp_path / "train.parquet")
    (run / "manifest.json").write_text(json.dumps({"data": {"folder": str(tmp_path)}}))
    result = evaluate_run(run, settings(baselines=["nearest_training_record"]))
    assert list(result["baselines"]) == ["nearest_training_record"]


def test_a_users_metric_of_sums_and_counts_has_an_interval(make_run):
    result = evaluate_run(make_run("one"), settings(metrics=[OWN + "word_share"]))
    entry = result["metrics"][OWN + "word_share"]
    assert entry["low"] < entry["value"] < entry["high"]
    assert entry["direction"] == "up"


def test_a_users_number_has_no_interval_and_says_why(make_run):
    run = make_run("one", group=["a", "b"] * 20)
    result = evaluate_run(run, settings(metrics=[OWN + "mean_length"]))
    entry = result["metrics"][OWN + "mean_length"]
    assert entry["value"] > 0 and entry["low"] is None
    assert "one number" in entry["reason"]
    inside = [result["groups"][group][OWN + "mean_length"]["value"] for group in "ab"]
    assert np.mean(inside) == pytest.approx(entry["value"])


def test_an_undefined_value_is_null_with_a_reason(make_run):
    result = evaluate_run(make_run("one"), settings(metrics=["ingredient_f1", OWN + "never_defined"]))
    entry = result["metrics"]["ingredient_f1"]
    assert (entry["value"], entry["low"], entry["high"]) == (None, None, None)
    assert entry["reason"] == "no target reads as a recipe with ingredients"
    assert "40 of 40 targets do not read as a recipe" in entry["notes"]
    assert result["metrics"][OWN + "never_defined"]["reason"]


def test_several_references_are_read_from_a_list_column(make_run):
    targets = [[text, "nothing like it"] for text in sentences(40, 0)]
    run = make_run("one", target=targets, prediction=sentences(40, 0), prompt=["x"] * 40)
    assert evaluate_run(run, settings())["metrics"]["bleu"]["value"] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ["rouge_1"]}, "did you mean 'rouge1'"),
        ({"metrics": []}, "names no metric"),
        ({"baselines": ["prompt_copy"]}, "did you mean 'prompt_copied'"),
        ({"metrics": [OWN + "without_direction"]}, "direction"),
        ({"metrics": [OWN + "broken"]}, "KeyError"),
        ({"metrics": [OWN + "wrong_shape"]}, "returned what is no metric"),
        ({"metrics": [OWN + "word_shar"]}, "word_share"),
        ({"require": ["rouge1 >= runs/none"]}, "not there"),
    ],
)
def test_mistakes_of_the_user_are_told_before_anything_is_written(make_run, change, message):
    run = make_run("one")
    with pytest.raises(InputError, match=re.escape(message)):
        evaluate_run(run, settings(**change))
    assert not (run / "metrics.json").exists()


def test_damaged_predictions_are_told(make_run, tmp_path):
    with pytest.raises(InputError, match="lossmith predict"):
        evaluate_run(tmp_path / "runs" / "none", settings())
    twice = make_run("twice", id=["r0"] * 40)
    with pytest.raises(DataError, match="more than once"):
        evaluate_run(twice, settings())
    lacking = make_run("lacking", target=[None, *sentences(39, 0)], prediction=["x"] * 40, prompt=["x"] * 40)
    with pytest.raises(DataError, match=r"1 records .* have no target"):
        evaluate_run(lacking, settings())
    (twice / "predictions" / "test.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match="no readable parquet"):
        evaluate_run(twice, settings())


def test_gates_are_judged_and_told(make_run):
    other = make_run("other", share=0.9)
    run = make_run("one", group=["soups"] * 35 + ["pies"] * 5)
    rules = [
        "rouge1 >= 0.1",
        "rouge1.low >= 0.99",
        "rouge1.soups > 0.1",
        "rouge1.pies >= 0",
        "rouge1.cakes >= 0",
        "rouge1 >= runs/other",
        f"exact_match <= {other}",
    ]
    gates = evaluate_run(run, settings(require=rules))["gates"]
    assert [gate["passed"] for gate in gates] == [True, False, True, False, False, True, False]
    assert [gate["rule"] for gate in gates] == rules
    assert gates[1]["metric"] == "rouge1.low" and "is not >=" in gates[1]["reason"]
    assert "too small: 5" in gates[3]["reason"]
    assert "no group 'cakes'" in gates[4]["reason"]
    assert 0 < gates[5]["bound"] < gates[5]["value"]


def test_a_gate_against_other_records_is_missed(make_run):
    make_run("other", id=[f"s{place}" for place in range(40)])
    gates = evaluate_run(make_run("one"), settings(require=["rouge1 >= runs/other"]))["gates"]
    assert gates[0]["passed"] is False
    assert "other records: 80 ids" in gates[0]["reason"]


def test_a_gate_on_an_undefined_figure_is_missed(make_run):
    gates = evaluate_run(make_run("one"), settings(metrics=["ingredient_f1"], require=["ingredient_f1 >= 0"]))["gates"]
    assert gates[0]["passed"] is False
    assert gates[0]["reason"] == "undefined: no target reads as a recipe with ingredients"


def test_bad_rules_are_configuration_errors(make_run):
    with pytest.raises(ConfigError, match=r"rouge1 at least 0\.3"):
        evaluate_run(make_run("one"), settings(require=["rouge1 at least 0.3"]))


def test_a_proportion_on_which_all_clusters_agree_says_how_its_interval_was_found():
    found = figure(find_measure("exact_match"), mean_of([1.0] * 6), list("aabbcc"), how=Resampling())
    assert (found["value"], found["high"], found["interval"]) == (1.0, 1.0, "wilson over clusters")
    assert 0 < found["low"] < 0.5
    assert found["notes"] == [
        "all 3 clusters agree, so that resampling has no spread: the interval is Wilson's on their number"
    ]
