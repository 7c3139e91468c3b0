from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sk

from lossmith.errors import ConfigError, DataError, InputError
from lossmith.evaluate.run import evaluate_run
from lossmith.labels import Classes

from .classified_files import LABELS, THREE, TWO, settings, two_scores, write_prepared, write_run, write_two

EVERY = [
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "f1_macro", "f1_micro", "mcc"),
    *("roc_auc", "pr_auc", "brier", "ece", "log_loss", "wss95", "fpr", "fnr", "tpr", "selection_rate"),
]


def rare(size: int = 400, share: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    gold = (np.random.default_rng(seed).random(size) < share).astype(int)
    return gold, two_scores(gold, seed=seed)


def values(result) -> dict[str, float]:
    return {name: entry["value"] for name, entry in result["metrics"].items()}


def by_hand_wss95(gold, score):
    for t in sorted(set(score), reverse=True):
        if (gold[score >= t] == 1).sum() >= 0.95 * gold.sum():
            return float((score < t).mean() - 0.05)
    raise AssertionError


def by_hand_ece(gold, score):
    top = np.maximum(score, 1 - score)
    right = (score >= 0.5) == gold
    return sum(
        abs((right[inside] - top[inside]).sum()) / len(gold)
        for low in range(15)
        if (inside := (top > low / 15) & (top <= (low + 1) / 15)).any()
    )


def test_two_classes_agree_with_scikit_learn(tmp_path):
    gold, score = rare()
    found = values(evaluate_run(write_two(tmp_path, gold, score), settings(metrics=EVERY)))
    said = (score >= 0.5).astype(int)
    tn, fp, fn, tp = sk.confusion_matrix(gold, said).ravel()
    expected = {
        "accuracy": sk.accuracy_score(gold, said),
        "balanced_accuracy": sk.balanced_accuracy_score(gold, said),
        "precision": sk.precision_score(gold, said),
        "recall": sk.recall_score(gold, said),
        "specificity": sk.recall_score(gold, said, pos_label=0),
        "f1": sk.f1_score(gold, said),
        "f1_macro": sk.f1_score(gold, said, average="macro"),
        "f1_micro": sk.f1_score(gold, said, average="micro"),
        "mcc": sk.matthews_corrcoef(gold, said),
        "roc_auc": sk.roc_auc_score(gold, score),
        "pr_auc": sk.average_precision_score(gold, score),
        "brier": sk.brier_score_loss(gold, score),
        "ece": by_hand_ece(gold, score),
        "log_loss": sk.log_loss(gold, score),
        "wss95": by_hand_wss95(gold, score),
        "fpr": fp / (fp + tn),
        "fnr": fn / (fn + tp),
        "tpr": tp / (fn + tp),
        "selection_rate": said.mean(),
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_three_classes_agree_with_scikit_learn(tmp_path):
    generator = np.random.default_rng(1)
    gold = generator.integers(3, size=300)
    logits = generator.normal(size=(300, 3)) + 1.5 * np.eye(3)[gold]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = scores.argmax(axis=1)
    result = evaluate_run(write_run(tmp_path, THREE, gold.tolist(), scores), settings(metrics=EVERY))
    found = values(result)
    expected = {
        "accuracy": sk.accuracy_score(gold, said),
        "balanced_accuracy": sk.balanced_accuracy_score(gold, said),
        "f1_macro": sk.f1_score(gold, said, average="macro"),
        "mcc": sk.matthews_corrcoef(gold, said),
        "roc_auc": sk.roc_auc_score(gold, scores, multi_class="ovr"),
        "pr_auc": np.mean([sk.average_precision_score(gold == one, scores[:, one]) for one in range(3)]),
        "log_loss": sk.log_loss(gold, scores),
        "brier": ((scores - np.eye(3)[gold]) ** 2).sum(axis=1).mean(),
        "f1.b": sk.f1_score(gold == 1, said == 1),
        "fpr.c": (said[gold != 2] == 2).mean(),
        "pr_auc.a": sk.average_precision_score(gold == 0, scores[:, 0]),
        "wss95.b": by_hand_wss95((gold == 1).astype(int), scores[:, 1]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["f1"] is None and "f1.CLASS" in result["metrics"]["f1"]["reason"]
    assert result["confusion"]["counts"] == [[*row, 0] for row in sk.confusion_matrix(gold, said).tolist()]


def test_labels_that_do_not_exclude_each_other_agree_with_scikit_learn(tmp_path):
    generator = np.random.default_rng(2)
    gold = (generator.random((200, 2)) < (0.3, 0.6)).astype(int)
    scores = np.clip(0.3 + 0.4 * gold + generator.normal(0, 0.25, gold.shape), 0.01, 0.99)
    said = (scores >= 0.5).astype(int)
    asked = [*EVERY, "roc_auc_macro", "roc_auc_micro", "pr_auc_macro", "pr_auc_micro"]
    result = evaluate_run(write_run(tmp_path, LABELS, gold.tolist(), scores), settings(metrics=asked))
    found = values(result)
    expected = {
        "accuracy": sk.accuracy_score(gold, said),
        "f1_macro": sk.f1_score(gold, said, average="macro"),
        "f1_micro": sk.f1_score(gold, said, average="micro"),
        "roc_auc": sk.roc_auc_score(gold, scores),
        "roc_auc_macro": sk.roc_auc_score(gold, scores),
        "roc_auc_micro": sk.roc_auc_score(gold, scores, average="micro"),
        "pr_auc_macro": sk.average_precision_score(gold, scores),
        "pr_auc_micro": sk.average_precision_score(gold, scores, average="micro"),
        "brier": ((scores - gold) ** 2).mean(),
        "log_loss": np.mean([sk.log_loss(gold[:, one], scores[:, one]) for one in range(2)]),
        "recall.rude": sk.recall_score(gold[:, 0], said[:, 0]),
        "specificity.wrong": sk.recall_score(gold[:, 1], said[:, 1], pos_label=0),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["mcc"] is None and "exclude" in result["metrics"]["mcc"]["reason"]
    assert result["confusion"]["rude"]["tp"] == int((gold[:, 0] & said[:, 0]).sum())


def test_a_failed_record_is_the_other_class_and_has_no_score(tmp_path):
    gold, score = rare(200)
    score[:7] = np.nan
    result = evaluate_run(write_two(tmp_path, gold, score), settings(metrics=EVERY))
    said = np.where(np.isnan(score), 1 - gold, score >= 0.5).astype(int)
    assert result["failed"] == 7
    assert result["metrics"]["f1"]["value"] == pytest.approx(sk.f1_score(gold, said))
    assert result["metrics"]["mcc"]["value"] == pytest.approx(sk.matthews_corrcoef(gold, said))
    assert (result["metrics"]["f1"]["n"], result["metrics"]["roc_auc"]["n"], result["metrics"]["ece"]["n"]) == (
        200,
        193,
        193,
    )
    assert result["metrics"]["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(gold[7:], score[7:]))


def test_of_three_classes_a_failed_record_is_in_a_column_outside(tmp_path):
    generator = np.random.default_rng(3)
    gold = generator.integers(3, size=90)
    scores = np.eye(3)[generator.integers(3, size=90)] * 0.8 + 0.1
    scores[:6] = np.nan
    result = evaluate_run(write_run(tmp_path, THREE, gold.tolist(), scores), settings(metrics=EVERY))
    said = np.where(np.isnan(scores[:, 0]), 3, np.nan_to_num(scores).argmax(axis=1))
    found = values(result)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(gold, said))
    assert found["f1_macro"] == pytest.approx(sk.f1_score(gold, said, labels=[0, 1, 2], average="macro"))
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(gold, said))
    assert found["balanced_accuracy"] == pytest.approx(np.mean([(said[gold == one] == one).mean() for one in range(3)]))
    assert found["fpr.a"] == pytest.approx((said[gold != 0] == 0).mean())
    assert sum(row[3] for row in result["confusion"]["counts"]) == 6
    assert result["confusion"]["columns"] == ["a", "b", "c", "failed"]


def test_an_absent_class_is_named_and_never_a_zero(tmp_path):
    gold, said = [0, 0, 1, 1, 0] * 6, [0, 1, 1, 1, 0] * 6
    scores = np.eye(3)[said] * 0.7 + 0.1
    result = evaluate_run(write_run(tmp_path, THREE, gold, scores), settings(metrics=["f1_macro", "roc_auc", "f1"]))
    assert result["metrics"]["f1_macro"]["value"] == pytest.approx(
        sk.f1_score(gold, said, labels=[0, 1], average="macro")
    )
    assert "c" in result["metrics"]["f1_macro"]["notes"][0]
    assert result["metrics"]["f1.c"]["value"] is None
    assert result["metrics"]["f1.c"]["reason"] == "no record is of the class or said to be"
    assert result["metrics"]["roc_auc"]["value"] == pytest.approx(
        np.mean([sk.roc_auc_score(np.array(gold) == one, scores[:, one]) for one in range(2)])
    )


def test_without_positives_what_is_undefined_is_null_and_says_why(tmp_path):
    score = two_scores(np.zeros(30, dtype=int))
    result = evaluate_run(write_two(tmp_path, np.zeros(30, dtype=int), score), settings(metrics=EVERY))
    undefined = {name for name, entry in result["metrics"].items() if entry["value"] is None}
    assert undefined == {"balanced_accuracy", "recall", "mcc", "roc_auc", "pr_auc", "wss95", "fnr", "tpr"}
    assert all(result["metrics"][name]["reason"] for name in undefined)
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


def test_few_positives_are_told(tmp_path):
    gold = np.array([1] * 4 + [0] * 96)
    result = evaluate_run(write_two(tmp_path, gold, two_scores(gold)), settings(metrics=["f1", "recall", "fpr"]))
    assert result["metrics"]["f1"]["notes"] == ["only 4 records are yes: fewer than 10, so the figure is unsure"]
    assert any("only 4 records are yes" in note for note in result["notes"])
    assert "notes" not in result["metrics"]["fpr"]


def test_proportions_have_wilsons_interval_of_their_own_trials(tmp_path):
    gold, score = rare()
    result = evaluate_run(write_two(tmp_path, gold, score), settings(metrics=EVERY))
    said = score >= 0.5
    for name, hits, trials in [
        ("accuracy", (said == gold).sum(), len(gold)),
        ("recall", (said & (gold == 1)).sum(), gold.sum()),
        ("precision", (said & (gold == 1)).sum(), said.sum()),
        ("fpr", (said & (gold == 0)).sum(), (gold == 0).sum()),
    ]:
        entry = result["metrics"][name]
        expected = binomtest(int(hits), int(trials)).proportion_ci(method="wilson")
        assert (entry["low"], entry["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert (entry["interval"], entry["trials"], entry["n"]) == ("wilson", trials, 400)


def test_clusters_make_every_interval_a_bootstrap_of_clusters(tmp_path):
    gold, score = rare()
    clusters = [f"post {row // 4}" for row in range(400)]
    result = evaluate_run(write_two(tmp_path, gold, score, cluster=clusters), settings(metrics=["recall", "roc_auc"]))
    assert {entry["interval"] for entry in result["metrics"].values()} == {"bootstrap"}
    assert result["clusters"] == 100


def test_another_class_can_be_asked_for_by_name(tmp_path):
    gold, score = rare()
    run = write_two(tmp_path, gold, score)
    result = evaluate_run(run, settings(metrics=["f1.no", "f1"]))
    assert values(result)["f1.no"] == pytest.approx(sk.f1_score(gold, score >= 0.5, pos_label=0))
    with pytest.raises(InputError, match="did you mean 'yes'"):
        evaluate_run(run, settings(metrics=["f1.yess"]))


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        ({"metrics": ["rouge1"]}, "a classification by a head writes none"),
        ({"metrics": ["f1_marco"]}, "did you mean 'f1_macro'"),
        ({"metrics": ["f1"], "task": {"kind": "causal"}}, "the task causal predicts none"),
        ({"baselines": ["prompt_copied"]}, "unknown baseline 'prompt_copied'"),
        ({"baselines": ["majority_clas"]}, "did you mean 'majority_class'"),
        ({"baselines": ["runs/none"]}, "evaluate.baselines names a run that is not there"),
        ({"threshold": {"recal": ">= 0.9"}}, "did you mean 'recall'"),
        ({"require": ["f2 >= 0.5"]}, "asks for a metric that is not measured"),
    ],
)
def test_mistakes_of_the_user_are_told(tmp_path, evaluate, message):
    gold, score = rare(50)
    with pytest.raises(InputError, match=re.escape(message)):
        evaluate_run(write_two(tmp_path, gold, score), settings(**evaluate))
    assert not (tmp_path / "metrics.json").exists()


def test_a_best_metric_across_groups_needs_groups():
    from lossmith.config.schema import Config
    from lossmith.evaluate.asked import check_asked

    given = {
        "task": {"kind": "classification"},
        "evaluate": {"metrics": ["f1"]},
        "train": {"metric_for_best_model": "worst_group_f1"},
    }
    with pytest.raises(ConfigError, match=r"data\.group"):
        check_asked(Config.model_validate(given))
    check_asked(Config.model_validate({**given, "data": {"group": "target"}}))


def test_damaged_files_are_told(tmp_path):
    gold, score = rare(40)
    other = Classes(("no", "maybe"), positive="maybe")
    run = write_run(tmp_path / "one", TWO, gold.tolist(), np.stack([1 - score, score], axis=1))
    import pyarrow.parquet as pq

    path = run / "predictions" / "test.parquet"
    table = pq.read_table(path)
    facts = json.dumps({"classes": other.as_json()}).encode()
    pq.write_table(table.replace_schema_metadata({b"lossmith": facts}), path)
    with pytest.raises(InputError, match=r"no column 'score\.maybe'"):
        evaluate_run(run, settings())
    renamed = table.rename_columns([name.replace("score.yes", "score.maybe") for name in table.column_names])
    pq.write_table(renamed.replace_schema_metadata({b"lossmith": facts}), path)
    with pytest.raises(DataError, match="none of its classes"):
        evaluate_run(run, settings())


def test_the_csv_files_hold_every_figure_of_the_model_and_its_baselines(tmp_path):
    gold, score = rare(300)
    groups = ["a", "b", "c"] * 100
    prepared = write_prepared(tmp_path / "data", "train", ["x y"] * 90 + ["z"] * 10, ["no"] * 90 + ["yes"] * 10)
    run = write_two(tmp_path / "run", gold, score, group=groups)
    asked = settings(metrics=["f1", "recall"], baselines=["majority_class", "always_positive"])
    result = evaluate_run(run, asked, prepared=prepared)
    with (run / "performance_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == {"model", "majority_class", "always_positive"}
    own = next(row for row in rows if (row["model"], row["metric"]) == ("model", "f1"))
    assert float(own["value"]) == result["metrics"]["f1"]["value"] and int(own["n"]) == 300
    with (run / "group_metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["model", "group", "metric", "value", "low", "high", "n", "reason"]
    all_positive = next(row for row in rows if tuple(row.values())[:3] == ("always_positive", "b", "fpr"))
    assert float(all_positive["value"]) == 1.0
    undefined = next(row for row in rows if tuple(row.values())[:3] == ("majority_class", "b", "fnr"))
    assert float(undefined["value"]) == 1.0


def test_the_same_files_give_the_same_bytes(tmp_path):
    gold, score = rare(150)
    run = write_two(tmp_path, gold, score, group=["a", "b", "c"] * 50)
    evaluate_run(run, settings(metrics=EVERY))
    first = (run / "metrics.json").read_bytes()
    evaluate_run(run, settings(metrics=EVERY))
    assert (run / "metrics.json").read_bytes() == first


def test_figures_by_criterion_where_records_name_one(tmp_path):
    gold, score = rare(200)
    run = write_two(tmp_path, gold, score, criterion=["dose", "age"] * 100)
    found = evaluate_run(run, settings(metrics=["f1", "roc_auc"]))["criteria"]
    assert found["dose"]["f1"]["value"] == pytest.approx(sk.f1_score(gold[::2], score[::2] >= 0.5))
    assert found["age"]["roc_auc"]["n"] == 100
