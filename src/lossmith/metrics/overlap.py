"""Shared n-grams of prediction and target: BLEU and chrF by sacrebleu, ROUGE by rouge-score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from lossmith.metrics.answers import Prediction, Target, failed, paired
from lossmith.metrics.scores import Scores, mean_of


def bleu(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """BLEU of the corpus as sacrebleu computes it (Papineni 2002, Post 2018); 0 to 100, up.

    One record's statistics are the lengths of prediction and reference, then correct and total 1- to 4-grams.
    A corpus without a single 4-gram has BLEU 0. Undefined where no target holds a word.

    >>> round(bleu(["add the salt and stir well"], ["add the salt and stir it"]).value(), 2)
    75.98
    """
    from sacrebleu.metrics import BLEU

    return _by_sacrebleu(BLEU(), _bleu_of_sums, predictions, targets)


def chrf(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """chrF2 of the corpus as sacrebleu computes it: character 1- to 6-grams, recall twice as heavy (Popovic
    2015).

    0 to 100, up. Undefined where no target holds a character.

    >>> round(chrf(["two eggs"], ["three eggs"]).value(), 2)
    24.3
    """
    from sacrebleu.metrics import CHRF

    return _by_sacrebleu(CHRF(), _chrf_of_sums, predictions, targets)


def rouge1(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Mean ROUGE-1 F-measure of the records (Lin 2004), without stemming; 0 to 1, up.

    rouge-score lower-cases and keeps a-z and 0-9 alone, so that accented letters split words. The best of
    several references counts.

    >>> round(rouge1(["boil two eggs"], ["boil three eggs"]).value(), 4)
    0.6667
    """
    return _rouge("rouge1", predictions, targets)


def rouge2(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    """Mean ROUGE-2 F-measure: word pairs; otherwise as `rouge1`.

    >>> rouge2(["boil two fresh eggs"], ["boil two eggs"]).value()
    0.4
    """
    return _rouge("rouge2", predictions, targets)


def rougeL(predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:  # noqa: N802
    """Mean ROUGE-L F-measure: longest common subsequence of words of the whole text; otherwise as `rouge1`.

    >>> round(rougeL(["boil two eggs"], ["two eggs boil"]).value(), 4)
    0.6667
    """
    from rapidfuzz.distance import LCSseq
    from rouge_score.scoring import fmeasure
    from rouge_score.tokenizers import DefaultTokenizer

    words = DefaultTokenizer(use_stemmer=False).tokenize

    # rouge-score fills its table of subsequences in Python; the length of the longest one is all it needs.
    def value(prediction: str, text: str) -> float:
        said, expected = words(prediction), words(text)
        common = LCSseq.similarity(said, expected)
        return float(fmeasure(common / len(said), common / len(expected))) if common else 0.0

    return _mean_of_best("rougeL", value, predictions, targets)


def _rouge(kind: str, predictions: Sequence[Prediction], targets: Sequence[Target]) -> Scores:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], use_stemmer=False)
    return _mean_of_best(
        kind, lambda prediction, text: scorer.score(text, prediction)[kind].fmeasure, predictions, targets
    )


def _mean_of_best(
    kind: str,
    value: Callable[[str, str], float],
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
) -> Scores:
    values = [
        0.0 if failed(prediction) else max(value(prediction, text) for text in texts)
        for prediction, texts in paired(predictions, targets)
    ]
    return mean_of(values, signature=f"{kind}|measure:f|stemmer:no|rouge-score:{version('rouge-score')}")


def _by_sacrebleu(
    metric: Any,
    reduce: Callable[[np.ndarray], np.ndarray],
    predictions: Sequence[Prediction],
    targets: Sequence[Target],
) -> Scores:
    pairs = paired(predictions, targets)
    if not pairs:
        return Scores(np.zeros((0, 18)), reduce)
    most = max(len(texts) for _, texts in pairs)
    # sacrebleu reads one stream per reference number, with None where a record has fewer.
    streams = [[texts[n] if n < len(texts) else None for _, texts in pairs] for n in range(most)]
    # What sacrebleu's own significance tests resample; it has no public name.
    stats = metric._extract_corpus_statistics([prediction for prediction, _ in pairs], streams)
    return Scores(np.asarray(stats, dtype=np.float64), reduce, signature=str(metric.get_signature()))


def _bleu_of_sums(sums: np.ndarray) -> np.ndarray:
    said, expected = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2:6], sums[..., 6:10]
    none = correct == 0
    some = np.maximum(total, 1.0)
    # Exponential smoothing: the k-th order without a match counts as 1/2^k matches.
    precision = np.where(none, 0.5 ** np.cumsum(none, axis=-1), correct) / some
    brevity = np.exp(np.minimum(0.0, 1.0 - expected / np.maximum(said, 1.0)))
    score = 100.0 * brevity * np.exp(np.log(precision).mean(axis=-1))
    scored = correct.any(axis=-1) & (total > 0).all(axis=-1)
    return np.where(expected > 0, np.where(scored, score, 0.0), np.nan)


def _chrf_of_sums(sums: np.ndarray) -> np.ndarray:
    orders = sums.reshape(*sums.shape[:-1], -1, 3)
    said, expected, matched = orders[..., 0], orders[..., 1], orders[..., 2]
    used = (said > 0) & (expected > 0)
    count = np.maximum(used.sum(axis=-1), 1)
    precision = np.where(used, matched / np.maximum(said, 1.0), 0.0).sum(axis=-1) / count
    recall = np.where(used, matched / np.maximum(expected, 1.0), 0.0).sum(axis=-1) / count
    bottom = 4.0 * precision + recall
    score = np.where(bottom > 0, 500.0 * precision * recall / np.where(bottom > 0, bottom, 1.0), 0.0)
    return np.where(expected.any(axis=-1), score, np.nan)
