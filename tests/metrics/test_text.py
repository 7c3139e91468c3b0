from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from lossmith.metrics.overlap import bleu, chrf, rouge1, rouge2, rougeL
from lossmith.metrics.text import edit_distance, exact_match, length_ratio, word_edit_distance
from lossmith.metrics.variety import distinct_1, distinct_2, repetition

TEXT = "stir the soup with salt and two eggs, then boil it well for ten minutes ."
WORDS = TEXT.split()


def corpus(size: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Targets, and predictions with words dropped, exchanged and repeated."""
    chance = random.Random(seed)
    targets = [" ".join(chance.choices(WORDS, k=chance.randint(4, 30))) for _ in range(size)]
    predictions = []
    for target in targets:
        words = [word for word in target.split() if chance.random() > 0.2]
        words = [chance.choice(WORDS) if chance.random() < 0.2 else word for word in words]
        predictions.append(" ".join(words))
    predictions[1] = ""
    return predictions, targets


@pytest.mark.parametrize(("function", "library"), [(bleu, BLEU), (chrf, CHRF)])
def test_corpus_value_and_signature_are_those_of_sacrebleu(function, library):
    predictions, targets = corpus(40)
    metric = library()
    expected = metric.corpus_score(predictions, [targets])
    scores = function(predictions, targets)
    assert scores.value() == pytest.approx(expected.score, abs=1e-9)
    assert scores.signature == str(metric.get_signature())


@pytest.mark.parametrize(("function", "library"), [(bleu, BLEU), (chrf, CHRF)])
def test_any_drawn_sums_have_sacrebleus_value(function, library):
    predictions, targets = corpus(12, seed=3)
    scores = function(predictions, targets)
    generator = np.random.default_rng(0)
    for _ in range(20):
        drawn = generator.integers(12, size=5)
        expected = library().corpus_score([predictions[one] for one in drawn], [[targets[one] for one in drawn]])
        assert scores.reduce(scores.stats[drawn].sum(axis=0)) == pytest.approx(expected.score, abs=1e-9)


@pytest.mark.parametrize(("function", "library"), [(bleu, BLEU), (chrf, CHRF)])
def test_several_references_of_different_number(function, library):
    predictions, targets = corpus(10, seed=1)
    others = [target[::-1] if place % 2 else None for place, target in enumerate(targets)]
    several = [[target, other] if other else target for target, other in zip(targets, others, strict=True)]
    expected = library().corpus_score(predictions, [targets, others])
    assert function(predictions, several).value() == pytest.approx(expected.score, abs=1e-9)


@given(
    st.lists(st.tuples(st.text("ab c", max_size=8), st.text("ab c", min_size=1, max_size=8)), min_size=1, max_size=4)
)
def test_short_and_odd_texts_agree_with_sacrebleu_too(pairs):
    predictions, targets = map(list, zip(*pairs, strict=True))
    for function, library in ((bleu, BLEU), (chrf, CHRF)):
        value = function(predictions, targets).value()
        expected = library().corpus_score(predictions, [targets]).score
        assert value is None or value == pytest.approx(expected, abs=1e-9)
        assert value is not None or not any(target.strip() for target in targets)


@pytest.mark.parametrize("function", [rouge1, rouge2, rougeL])
def test_rouge_is_the_mean_of_rouge_score(function):
    predictions, targets = corpus(20, seed=2)
    name = function.__name__
    scorer = RougeScorer([name], use_stemmer=False)
    pairs = zip(targets, predictions, strict=True)
    expected = [scorer.score(target, prediction)[name].fmeasure for target, prediction in pairs]
    scores = function(predictions, targets)
    assert scores.value() == pytest.approx(np.mean(expected))
    assert scores.signature.startswith(f"{name}|")


def test_the_best_of_several_references_counts():
    several = [["boil them", "fry two eggs"]]
    assert exact_match(["fry two eggs"], several).value() == 1.0
    assert rouge1(["fry two eggs"], several).value() == 1.0
    assert edit_distance(["fry two eggs"], several).value() == 0.0
    assert word_edit_distance(["boil it"], several).value() == 0.5
    assert length_ratio(["one two three four"], several).value() == pytest.approx(4 / 3)


def test_a_record_that_failed_is_wrong_in_every_metric():
    for failed in (None, "", "  \n"):
        assert exact_match([failed], [""]).value() == 0.0
        assert edit_distance([failed], [""]).value() == 1.0
        assert rougeL([failed], ["salt"]).value() == 0.0
        assert bleu([failed], ["add the salt"]).value() == 0.0
        assert chrf([failed], ["add the salt"]).value() == 0.0
        assert length_ratio([failed], ["add salt"]).value() == 0.0
        assert repetition([failed]).value() == 1.0
        assert distinct_1([failed, "salt"]).value() == 0.5


@given(st.text(max_size=30).filter(str.strip), st.text(max_size=30).filter(str.strip))
def test_edit_distance_is_symmetric_and_zero_only_for_equal_texts(one, other):
    there, back = (edit_distance([left], [right]).value() for left, right in ((one, other), (other, one)))
    assert there == back
    assert (there == 0.0) == (one.strip() == other.strip())


def test_exact_match_collapses_white_space_and_keeps_case():
    assert exact_match([" two\n eggs "], ["two eggs"]).value() == 1.0
    assert exact_match(["Two eggs"], ["two eggs"]).value() == 0.0


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=2, max_size=9).map(" ".join), min_size=1, max_size=6))
def test_distinct_is_the_number_of_different_words_over_words(texts):
    words = [word for text in texts for word in text.split()]
    assert distinct_1(texts).value() == pytest.approx(len(set(words)) / len(words))
    pairs = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
    assert distinct_2(texts).value() == pytest.approx(len(set(pairs)) / len(pairs))


def test_repetition_by_hand():
    assert repetition(["a b c d e f g"]).value() == 0.0
    assert repetition(["a b c d a b c d"]).value() == pytest.approx(1 / 5)
    assert repetition(["a " * 13]).value() == pytest.approx(9 / 10)


def test_no_records_and_no_words_are_undefined():
    for function in (exact_match, bleu, chrf, rouge1, edit_distance, length_ratio):
        assert function([], []).value() is None
    assert bleu(["salt"], [""]).value() is None
    assert length_ratio(["salt"], [""]).value() is None


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 predictions for 1"):
        exact_match(["a", "b"], ["a"])
