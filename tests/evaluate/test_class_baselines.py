from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from lossmith.cli.screen import print_metrics
from lossmith.config.evaluate import EvaluateConfig
from lossmith.evaluate.class_baselines import TFIDF, class_decisions
from lossmith.evaluate.compare import compare_runs
from lossmith.evaluate.predictions import read_predictions
from lossmith.evaluate.run import evaluate_run

from .classified_files import LABELS, THREE, settings, two_scores, write_prepared, write_run, write_two

GOOD, BAD = ["kind", "warm", "help", "gift", "thanks"], ["vile", "awful", "hurt", "threat", "shout"]
PLAIN = ["the", "a", "post", "says", "that", "people", "here", "talk", "about", "food", "and", "games"]


def posts(size: int, share: float, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts whose words mostly tell which are bad."""
    chance = random.Random(seed)
    gold = np.array([int(chance.random() < share) for _ in range(size)])
    texts = []
    for bad in gold:
        words = chance.choices(PLAIN, k=8) + chance.choices(BAD if bad else GOOD, k=2)
        words += chance.choices(BAD + GOOD, k=2)
        chance.shuffle(words)
        texts.append(" ".join(words))
    return texts, gold


def named(gold) -> list[str]:
    return [("no", "yes")[one] for one in gold]


@pytest.fixture
def prepared(tmp_path):
    for seed, (split, size) in enumerate((("train", 300), ("validation", 120))):
        texts, gold = posts(size, 0.2, seed)
        write_prepared(tmp_path / "data", split, texts, named(gold))
    return tmp_path / "data"


def two_run(folder, *, useless: bool = False, size: int = 200):
    texts, gold = posts(size, 0.2, 7)
    score = np.random.default_rng(0).random(size).round(2) if useless else two_scores(gold, spread=0.15)
    return write_two(folder, gold, score, prompt=texts), texts, gold


def test_constants_are_scored_by_the_same_code(tmp_path, prepared):
    run, _, gold = two_run(tmp_path / "run")
    found = evaluate_run(
        run, settings(metrics=["f1", "accuracy", "roc_auc", "log_loss"], baselines="auto"), prepared=prepared
    )
    assert set(found["baselines"]) == {
        "majority_class",
        "always_positive",
        "training_prior",
        "tfidf_logistic_regression",
    }
    always = found["baselines"]["always_positive"]
    assert always["f1"]["value"] == pytest.approx(sk.f1_score(gold, np.ones_like(gold)))
    assert always["accuracy"]["value"] == pytest.approx(gold.mean())
    majority = found["baselines"]["majority_class"]
    assert (majority["f1"]["value"], majority["roc_auc"]["value"]) == (0.0, 0.5)
    prior = found["baselines"]["training_prior"]
    share = posts(300, 0.2, 0)[1].mean()
    assert prior["log_loss"]["value"] == pytest.approx(sk.log_loss(gold, np.full(len(gold), share)))
    assert always["f1"]["low"] < always["f1"]["value"] < always["f1"]["high"] and always["f1"]["n"] == 200


def test_logistic_regression_on_tfidf_is_what_scikit_learn_fits(tmp_path, prepared):
    run, texts, gold = two_run(tmp_path / "run")
    found = evaluate_run(
        run, settings(metrics=["roc_auc", "f1"], baselines=["tfidf_logistic_regression"]), prepared=prepared
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    known, labels = posts(300, 0.2, 0)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(vectorizer.fit_transform(known), labels)
    p = model.predict_proba(vectorizer.transform(texts))[:, 1]
    own = found["baselines"]["tfidf_logistic_regression"]
    assert own["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(gold, p))
    assert own["f1"]["value"] == pytest.approx(sk.f1_score(gold, p >= 0.5))


def test_a_threshold_with_an_aim_is_chosen_for_the_baselines_on_validation(tmp_path, prepared):
    run, _, _ = two_run(tmp_path / "run")
    asked = settings(metrics=["recall"], baselines="auto", threshold={"recall": ">= 0.95"}, calibration="temperature")
    found = evaluate_run(run, asked, prepared=prepared)
    assert found["baselines"]["tfidf_logistic_regression"]["recall"]["value"] > 0.8
    # The prior has one score, so that reaching a recall takes every record.
    assert found["baselines"]["training_prior"]["recall"]["value"] == 1.0
    low = settings(metrics=["recall"], baselines=["training_prior"], threshold={"fpr": "<= 0.1"})
    told = evaluate_run(run, low, prepared=prepared)
    assert told["baselines"]["training_prior"]["recall"]["value"] == 0.0
    assert any("training_prior: fpr: <= 0.1 is not reached" in note for note in told["notes"])


def test_a_model_that_beats_constants_is_said_to(tmp_path, prepared):
    run, _, _ = two_run(tmp_path / "run")
    found = evaluate_run(run, settings(metrics=["f1", "accuracy"], baselines="auto"), prepared=prepared)
    assert found["beats_constant"] is True
    assert found["against_baselines"]["always_positive"]["low"] > 0
    assert not any("does not beat the positive" in note for note in found["notes"])


@pytest.mark.parametrize("metric", ["f1", "accuracy", "log_loss"])
def test_a_useless_model_is_said_not_to_beat_the_best_constant_in_one_line(tmp_path, prepared, metric, capsys):
    run, _, _ = two_run(tmp_path / "run", useless=True)
    found = evaluate_run(run, settings(metrics=[metric], baselines="auto"), prepared=prepared)
    assert found["beats_constant"] is False
    constants = [note for note in found["notes"] if "does not beat the " in note]
    best = {"f1": "the positive class", "accuracy": "the most frequent class", "log_loss": "the shares"}[metric]
    assert len(constants) == 1 and best in found["notes"][0]
    assert any("does not beat logistic regression" in note for note in found["notes"])
    print_metrics(found)
    shown = capsys.readouterr().out
    assert shown.startswith(found["notes"][0]) and shown.count("does not beat the ") == 1


def test_a_metric_that_no_constant_has_leaves_it_open_and_says_so(tmp_path, prepared):
    run, _, _ = two_run(tmp_path / "run")
    found = evaluate_run(run, settings(metrics=["mcc"], baselines="auto"), prepared=prepared)
    assert found["beats_constant"] is None
    assert found["notes"][0].startswith("Whether the model beats a constant is not known: mcc")
    without = evaluate_run(run, settings(metrics=["f1"], baselines="none"), prepared=prepared)
    assert without["beats_constant"] is None and without["baselines"] == {}


def test_more_classes_have_a_majority_and_a_prior_and_no_positive(tmp_path):
    gold = np.array([0] * 50 + [1] * 30 + [2] * 20)
    texts = [f"word{one} filler" for one in gold]
    # One class has no training record at all.
    data = write_prepared(tmp_path / "data", "train", texts[:80], [THREE.names[one] for one in gold[:80]])
    run = write_run(tmp_path / "run", THREE, gold.tolist(), np.eye(3)[gold], prompt=texts)
    found = evaluate_run(run, settings(metrics=["f1_macro", "log_loss"], baselines="auto"), prepared=data)
    assert found["baselines_absent"]["always_positive"] == "there is no one positive class"
    majority = found["baselines"]["majority_class"]["f1_macro"]["value"]
    assert majority == pytest.approx(sk.f1_score(gold, np.zeros(100), average="macro"))
    tfidf = found["baselines"]["tfidf_logistic_regression"]["f1_macro"]["value"]
    assert tfidf == pytest.approx(2 / 3, abs=0.15)
    assert found["beats_constant"] is True


def test_labels_have_baselines_for_each(tmp_path):
    chance = np.random.default_rng(1)
    gold = (chance.random((120, 2)) < (0.7, 0.2)).astype(int)
    texts = [" ".join([f"one{a}", f"two{b}", "post"]) for a, b in gold]
    data = write_prepared(tmp_path / "data", "train", texts, gold.tolist())
    scores = np.clip(gold * 0.6 + 0.2, 0, 1)
    run = write_run(tmp_path / "run", LABELS, gold.tolist(), scores, prompt=texts)
    found = evaluate_run(run, settings(metrics=["f1_micro", "recall"], baselines="auto"), prepared=data)
    assert found["baselines"]["majority_class"]["recall.rude"]["value"] == 1.0
    assert found["baselines"]["majority_class"]["recall.wrong"]["value"] == 0.0
    assert found["baselines"]["always_positive"]["recall.wrong"]["value"] == 1.0
    assert found["baselines"]["tfidf_logistic_regression"]["f1_micro"]["value"] > 0.95


def test_a_prior_is_that_of_the_criterion_where_records_name_one(tmp_path):
    gold = np.array([0, 1] * 60)
    criteria = ["age", "dose"] * 60
    data = write_prepared(tmp_path / "data", "train", ["x"] * 120, named(gold), criterion=criteria)
    run = write_two(tmp_path / "run", gold, two_scores(gold), criterion=criteria)
    found = evaluate_run(run, settings(metrics=["f1", "log_loss"], baselines=["training_prior"]), prepared=data)
    assert found["baselines"]["training_prior"]["f1"]["value"] == 1.0
    assert found["baselines"]["training_prior"]["log_loss"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert set(found["criteria"]) == {"age", "dose"}


def pairs(size: int, seed: int) -> tuple[list[str], list[str], np.ndarray]:
    """Documents and the words of a criterion, which most documents meet that hold its first word."""
    chance = random.Random(seed)
    asked = [chance.choice(["refund is promised", "refusal is possible"]) for _ in range(size)]
    texts = [" ".join(chance.choices(PLAIN, k=6) + chance.choices(["refund", "refusal", "x", "y"], k=1)) for _ in asked]
    gold = [int(one.split()[0] in text.split()) for one, text in zip(asked, texts, strict=True)]
    return texts, asked, np.array(gold)


def test_of_pairs_logistic_regression_reads_the_document_under_its_criterion(tmp_path):
    for seed, split in enumerate(("train", "test")):
        texts, asked, gold = pairs(200, seed)
        write_prepared(tmp_path / "data", split, texts, named(gold), pair=asked)
    run = write_two(tmp_path / "run", gold, two_scores(gold), prompt=texts)
    measured = settings(metrics=["roc_auc"], baselines=["tfidf_logistic_regression", "training_prior"])
    found = evaluate_run(run, measured, prepared=tmp_path / "data")["baselines"]
    # One count of both texts orders documents alike under every criterion, and reaches .84.
    assert found["tfidf_logistic_regression"]["roc_auc"]["value"] > 0.95
    assert found["training_prior"]["roc_auc"]["value"] < 0.65


def test_a_criterion_that_training_lacks_is_judged_by_the_words_of_all(tmp_path):
    texts, asked, gold = pairs(200, 0)
    write_prepared(tmp_path / "data", "train", texts, named(gold), pair=asked)
    write_prepared(tmp_path / "data", "test", ["a refund x"] * 20 + ["a food y"] * 20, ["yes"] * 40, pair=["new"] * 40)
    run = write_two(
        tmp_path / "run", np.repeat([1, 0], 20), np.full(40, 0.5), prompt=["a refund x"] * 20 + ["a food y"] * 20
    )
    measured = settings(metrics=["roc_auc"], baselines=["tfidf_logistic_regression"])
    found = evaluate_run(run, measured, prepared=tmp_path / "data")["baselines"]
    assert found["tfidf_logistic_regression"]["roc_auc"]["value"] == 1.0


@pytest.mark.parametrize("criteria", ["kept", "the pair alone"])
def test_a_prior_knows_the_share_of_each_criterion_of_pairs(tmp_path, criteria):
    gold, asked = np.array([0, 1] * 60), ["Is it old?", "Is it dear?"] * 60
    kept = {"criterion": ["age", "price"] * 60} if criteria == "kept" else {}
    for split in ("train", "test"):
        write_prepared(tmp_path / "data", split, ["x"] * 120, named(gold), pair=asked, **kept)
    run = write_two(tmp_path / "run", gold, two_scores(gold), **kept)
    found = evaluate_run(run, settings(metrics=["f1"], baselines="auto"), prepared=tmp_path / "data")
    assert found["baselines"]["training_prior"]["f1"]["value"] == 1.0
    assert found["baselines"]["majority_class"]["f1"]["value"] < 1.0


def test_texts_without_a_word_have_no_tfidf(tmp_path):
    gold = np.array([0, 1] * 30)
    data = write_prepared(tmp_path / "data", "train", ["...", ""] * 30, named(gold))
    run = write_two(tmp_path / "run", gold, two_scores(gold))
    found = evaluate_run(run, settings(metrics=["f1"], baselines="auto"), prepared=data)
    assert found["baselines_absent"]["tfidf_logistic_regression"] == "the records have no text"


def test_a_named_run_is_a_baseline_on_every_metric_and_group(tmp_path):
    run, texts, gold = two_run(tmp_path / "runs" / "tuned")
    groups = ["a", "b"] * 100
    write_two(tmp_path / "runs" / "tuned", gold, two_scores(gold, spread=0.15), prompt=texts, group=groups)
    write_two(tmp_path / "runs" / "base", gold, two_scores(gold, spread=0.8), prompt=texts, group=groups)
    found = evaluate_run(run, settings(metrics=["f1", "roc_auc"], baselines=["runs/base"]))
    assert set(found["baselines"]) == {"runs/base"}
    before = found["against_baselines"]["runs/base"]
    assert before["beats"] is True and before["differences"]["roc_auc"]["low"] > 0
    assert found["baseline_groups"]["runs/base"]["a"]["fpr"]["value"] > found["groups"]["a"]["fpr"]["value"]
    write_two(tmp_path / "runs" / "other", gold[:50], two_scores(gold[:50]))
    other = evaluate_run(run, settings(metrics=["f1"], baselines=["runs/other"]))
    assert "different records" in other["baselines_absent"]["runs/other"]


def test_runs_of_a_classification_are_compared_on_what_was_asked(tmp_path):
    _, gold = posts(200, 0.3, 7)
    for name, spread in (("one", 0.6), ("two", 0.15)):
        write_two(tmp_path / name, gold, two_scores(gold, spread=spread), group=["a", "b"] * 100)
        evaluate_run(tmp_path / name, settings(metrics=["f1", "roc_auc"]))
    found = compare_runs([tmp_path / "one", tmp_path / "two"], permutations=499)
    assert [one["metric"] for one in found["comparisons"]] == ["f1", "roc_auc"]
    assert all(one["p"] <= 0.01 and one["low"] > 0 for one in found["comparisons"])
    gap = compare_runs([tmp_path / "one", tmp_path / "two"], metrics=["fpr_gap", "wss95"], permutations=499)
    assert gap["comparisons"][0]["p"] is not None


def test_runs_with_other_labels_or_classes_are_not_compared(tmp_path):
    _, gold = posts(60, 0.3, 7)
    write_two(tmp_path / "one", gold, two_scores(gold))
    write_two(tmp_path / "two", 1 - gold, two_scores(gold))
    with pytest.raises(ValueError, match="different values of 'label' for 60 records"):
        compare_runs([tmp_path / "one", tmp_path / "two"], metrics=["f1"])
    write_run(tmp_path / "three", THREE, gold.tolist(), np.eye(3)[gold])
    with pytest.raises(ValueError, match="different classes"):
        compare_runs([tmp_path / "one", tmp_path / "three"], metrics=["f1_macro"])


def test_an_aim_of_a_baseline_is_met_for_each_criterion(tmp_path):
    # One in two documents is positive under one criterion, one in eight under the other, whose scores are lower.
    for seed, (split, size) in enumerate((("train", 400), ("validation", 400), ("test", 400))):
        texts, bad = posts(size, 0.5, seed)
        asked = np.array(["often", "rarely"])[np.arange(size) % 2]
        gold = bad * ((asked == "often") | (np.arange(size) % 8 < 2))
        write_prepared(tmp_path / "data", split, texts, named(gold), pair=asked, criterion=asked)
    run = write_two(tmp_path / "run", gold, two_scores(gold), prompt=texts, criterion=asked)
    predictions = read_predictions(run / "predictions" / "test.parquet")
    aimed = EvaluateConfig(threshold={"selection_rate": "<= 0.4"})
    said = class_decisions([TFIDF], predictions, tmp_path / "data", aimed, split="test").outcomes[TFIDF].said[:, 1]
    for criterion in ("often", "rarely"):
        assert said[asked == criterion].mean() == pytest.approx(0.4, abs=0.08)
