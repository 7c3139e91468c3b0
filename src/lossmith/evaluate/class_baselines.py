"""Classifiers that need no model: constants, the training prior, and logistic regression on TF-IDF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.evaluate import EvaluateConfig
from lossmith.evaluate.predictions import Predictions
from lossmith.labels import Classes
from lossmith.metrics.calibration import fit_temperature
from lossmith.metrics.outcomes import Outcomes
from lossmith.metrics.thresholds import choose_thresholds

CONSTANTS: Mapping[str, str] = {
    "majority_class": "the most frequent class of the training split for every record",
    "always_positive": "the positive class, or every label, for every record",
    "training_prior": "the shares of the training split as scores (by criterion where records name one)",
}
TFIDF = "tfidf_logistic_regression"
CLASS_BASELINES: Mapping[str, str] = {
    **CONSTANTS,
    TFIDF: "logistic regression on TF-IDF of words and word pairs, classes weighted alike",
}
CRITERION = "criterion"
_ABSENT_LOGIT = -1e4  # of a class without a training record


@dataclass(frozen=True)
class Decisions:
    """Outcomes of the baselines by name, why the others could not be given, and what must be said of them."""

    outcomes: dict[str, Outcomes] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Split:
    """Texts, classes (records, classes) as masks, and criteria of a prepared split; None where records name none."""

    texts: list[str]
    gold: np.ndarray
    criteria: list[str] | None

    def __len__(self) -> int:
        return len(self.gold)


def class_decisions(
    wanted: Sequence[str], predictions: Predictions, prepared: Path | None, asked: EvaluateConfig
) -> Decisions:
    """What the baselines say of the records of `predictions`.

    They know the training split of the folder `prepared`; thresholds with an aim and a temperature are found on its
    validation split, as the model's are.
    """
    found = Decisions()
    classes = predictions.outcomes.classes
    train = _read(prepared, "train", classes)
    validation = _read(prepared, "validation", classes)
    tested = _Split(_texts(predictions.table), predictions.outcomes.gold, _criteria(predictions.table, CRITERION))
    for name in wanted:
        reason = _why_not(name, classes, train, tested)
        if reason:
            found.absent[name] = reason
            continue
        assert train is not None
        if name in ("majority_class", "always_positive"):
            said = _majority(train, classes) if name == "majority_class" else _positives(classes)
            rows = np.broadcast_to(said, tested.gold.shape)
            found.outcomes[name] = _said(predictions.outcomes, rows, rows.astype(np.float64))
            continue
        made = _tfidf if name == TFIDF else _prior
        logits = made(train, [validation, tested], classes)
        found.outcomes[name], told = _decided(predictions.outcomes, logits, validation, asked)
        found.notes.extend(f"{name}: {sentence}" for sentence in told)
    return found


def _why_not(name: str, classes: Classes, train: _Split | None, tested: _Split) -> str | None:
    if train is None or not len(train):
        return "there is no prepared training split with labels"
    if name == "always_positive" and not classes.multi_label and classes.positive is None:
        return "there is no one positive class"
    if name == TFIDF and not (any(train.texts) and any(tested.texts)):
        return "the records have no text"
    return None


def _majority(train: _Split, classes: Classes) -> np.ndarray:
    counts = train.gold.sum(axis=0)
    if classes.multi_label:
        return np.asarray(counts > len(train) / 2)
    return np.asarray(np.arange(len(classes)) == counts.argmax())


def _positives(classes: Classes) -> np.ndarray:
    return np.array([classes.multi_label or name == classes.positive for name in classes.names])


def _prior(train: _Split, asked: Sequence[_Split | None], classes: Classes) -> list[np.ndarray | None]:
    """Logits whose probabilities are the shares of the training split, of each criterion where records name one."""
    overall = train.gold.mean(axis=0)
    shares: dict[str, np.ndarray] = {}
    if train.criteria is not None:
        named = np.array(train.criteria)
        shares = {one: train.gold[named == one].mean(axis=0) for one in Counter(train.criteria)}

    def logits(split: _Split) -> np.ndarray:
        named = [""] * len(split) if split.criteria is None else split.criteria
        found = np.array([shares.get(one, overall) for one in named]).reshape(len(split), len(overall))
        with np.errstate(divide="ignore"):
            own = np.log(found) - (np.log1p(-found) if classes.multi_label else 0.0)
        return np.clip(own, _ABSENT_LOGIT, -_ABSENT_LOGIT)

    return [None if split is None else logits(split) for split in asked]


def _tfidf(train: _Split, asked: Sequence[_Split | None], classes: Classes) -> list[np.ndarray | None]:
    """Logits of logistic regression on TF-IDF of the training texts, examples of each class weighing alike."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    known = vectorizer.fit_transform(train.texts)
    if classes.multi_label:
        fitted = [_fit(known, train.gold[:, place].astype(int)) for place in range(len(classes))]
    else:
        fitted = [_fit(known, train.gold.argmax(axis=1))]

    def logits(split: _Split) -> np.ndarray:
        if not len(split):
            return np.zeros((0, len(classes)))
        rows = vectorizer.transform(split.texts)
        if classes.multi_label:
            return np.stack([one(rows, 2)[:, 1] for one in fitted], axis=1)
        return fitted[0](rows, len(classes))

    return [None if split is None else logits(split) for split in asked]


def _fit(known: Any, places: np.ndarray) -> Callable[[Any, int], np.ndarray]:
    """A function from rows and the number of classes to logits (rows, classes)."""
    from sklearn.linear_model import LogisticRegression

    held = np.unique(places)
    if len(held) == 1:
        return lambda rows, width: (
            np.where(np.arange(width) == held[0], 0.0, _ABSENT_LOGIT) * np.ones((rows.shape[0], 1))
        )
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(known, places)

    def logits(rows: Any, width: int) -> np.ndarray:
        found = np.asarray(model.decision_function(rows))
        own = np.full((len(found), width), _ABSENT_LOGIT)
        own[:, model.classes_] = np.stack([np.zeros_like(found), found], axis=1) if found.ndim == 1 else found
        return own

    return logits


def _decided(
    outcomes: Outcomes, logits: Sequence[np.ndarray | None], validation: _Split | None, asked: EvaluateConfig
) -> tuple[Outcomes, list[str]]:
    """Decisions on test logits by threshold and temperature as asked, fitted on those of validation."""
    # Imports torch.
    from lossmith.tasks.classified import DEFAULT_THRESHOLD, Decision

    classes = outcomes.classes
    known, tested = logits
    assert tested is not None
    aim = asked.threshold if isinstance(asked.threshold, dict) else None
    decision = Decision(DEFAULT_THRESHOLD if isinstance(asked.threshold, dict) else asked.threshold)
    notes: list[str] = []
    if asked.calibration == "temperature" and validation is not None and known is not None:
        labels = validation.gold if classes.multi_label else validation.gold.argmax(axis=1)
        decision = replace(decision, temperature=fit_temperature(known, labels, multi_label=classes.multi_label))
    if aim is not None and validation is not None and known is not None:
        chosen = choose_thresholds(aim, validation.gold, decision.scores(known, classes), classes)
        own = {name: one.value for name, one in chosen.items()}
        decision = replace(decision, threshold=own if classes.multi_label else own[str(classes.positive)])
        notes = [
            f"{one.aim} is not reached for {name}: {one.reason}" for name, one in chosen.items() if not one.reached
        ]
    scores = decision.scores(tested, classes)
    return _said(outcomes, decision.predicted(scores, classes), scores), notes


def _said(outcomes: Outcomes, said: np.ndarray, scores: np.ndarray) -> Outcomes:
    return replace(outcomes, said=said, scores=scores, failed=np.zeros(len(outcomes), dtype=bool))


def _read(prepared: Path | None, split: str, classes: Classes) -> _Split | None:
    file = None if prepared is None else prepared / f"{split}.parquet"
    if file is None or not file.exists():
        return None
    named = f"keep.{CRITERION}"
    held = pq.read_schema(file).names
    if "label" not in held:
        return None
    table = pq.read_table(file, columns=["prompt", "label", *([named] if named in held else [])])
    labels = table["label"].to_pylist()
    if None in labels:
        return None
    if classes.multi_label:
        gold = np.array(labels, dtype=np.int8).reshape(-1, len(classes)) == 1
    else:
        gold = np.array([[one == name for name in classes.names] for one in labels], dtype=bool)
    return _Split(_texts(table), gold.reshape(-1, len(classes)), _criteria(table, named))


def _texts(table: pa.Table) -> list[str]:
    return [prompt or "" for prompt in table["prompt"].to_pylist()] if "prompt" in table.column_names else []


def _criteria(table: pa.Table, column: str) -> list[str] | None:
    return [str(one) for one in table[column].to_pylist()] if column in table.column_names else None
