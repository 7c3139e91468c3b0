"""Classifiers that need no model: constants, the training prior, and logistic regression on TF-IDF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.evaluate import EvaluateConfig
from lossmith.data.criteria import CRITERION_COLUMNS, criteria_of
from lossmith.evaluate.predictions import Predictions
from lossmith.evaluate.tfidf import ABSENT_LOGIT, Texts, tfidf_logits
from lossmith.labels import CRITERION, Classes
from lossmith.metrics.calibration import fit_temperature
from lossmith.metrics.outcomes import Outcomes

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


@dataclass(frozen=True)
class Decisions:
    """Outcomes of the baselines by name, why the others could not be given, and what must be said of them."""

    outcomes: dict[str, Outcomes] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Split:
    """What is read, classes (records, classes) as masks, and the criterion of each record, None for one without."""

    read: Texts
    gold: np.ndarray
    criteria: list[str | None]

    def __len__(self) -> int:
        return len(self.gold)


def class_decisions(
    wanted: Sequence[str], predictions: Predictions, prepared: Path | None, asked: EvaluateConfig, *, split: str
) -> Decisions:
    """What the baselines say of the records of `predictions`, which are of `split`.

    They know the training split of the folder `prepared`; thresholds with an aim and a temperature are found on its
    validation split, as the model's are.
    """
    found = Decisions()
    classes = predictions.outcomes.classes
    train = _read(prepared, "train", classes)
    validation = _read(prepared, "validation", classes)
    pairs, criteria = _pairs_of(predictions, prepared, split)
    tested = _Split(Texts(_texts(predictions.table), pairs), predictions.outcomes.gold, criteria)
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
        found.outcomes[name], told = _decided(predictions.outcomes, logits, validation, tested, asked)
        found.notes.extend(f"{name}: {sentence}" for sentence in told)
    return found


def _why_not(name: str, classes: Classes, train: _Split | None, tested: _Split) -> str | None:
    if train is None or not len(train):
        return "there is no prepared training split with labels"
    if name == "always_positive" and not classes.multi_label and classes.positive is None:
        return "there is no one positive class"
    if name == TFIDF and not (train.read.hold_words and tested.read.hold_words):
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
    named = np.array(train.criteria, dtype=object)
    shares = {one: train.gold[named == one].mean(axis=0) for one in Counter(train.criteria)}

    def logits(split: _Split) -> np.ndarray:
        found = np.array([shares.get(one, overall) for one in split.criteria]).reshape(len(split), len(overall))
        with np.errstate(divide="ignore"):
            own = np.log(found) - (np.log1p(-found) if classes.multi_label else 0.0)
        return np.clip(own, ABSENT_LOGIT, -ABSENT_LOGIT)

    return [None if split is None else logits(split) for split in asked]


def _tfidf(train: _Split, asked: Sequence[_Split | None], classes: Classes) -> list[np.ndarray | None]:
    given = [split.read for split in asked if split is not None]
    found = iter(tfidf_logits(train.read, train.gold, given, multi_label=classes.multi_label))
    return [None if split is None else next(found) for split in asked]


def _decided(
    outcomes: Outcomes,
    logits: Sequence[np.ndarray | None],
    validation: _Split | None,
    tested: _Split,
    asked: EvaluateConfig,
) -> tuple[Outcomes, list[str]]:
    """Decisions on test logits by threshold and temperature as asked, fitted on those of validation."""
    # Imports torch.
    from lossmith.tasks.aims import aim_at
    from lossmith.tasks.classified import DEFAULT_THRESHOLD, Decision

    classes = outcomes.classes
    known, found = logits
    assert found is not None
    aim = asked.threshold if isinstance(asked.threshold, dict) else None
    decision = Decision(DEFAULT_THRESHOLD if isinstance(asked.threshold, dict) else asked.threshold)
    notes: list[str] = []
    if asked.calibration == "temperature" and validation is not None and known is not None:
        labels = validation.gold if classes.multi_label else validation.gold.argmax(axis=1)
        decision = replace(decision, temperature=fit_temperature(known, labels, multi_label=classes.multi_label))
    if aim is not None and validation is not None and known is not None:
        truth = validation.gold, decision.scores(known, classes)
        aimed = aim_at(decision, aim, truth, classes=classes, criteria=validation.criteria)
        decision = aimed.decision
        notes = [
            f"{one.aim} is not reached for {name}: {one.reason}"
            for name, one in aimed.chosen.items()
            if not one.reached
        ]
    scores = decision.scores(found, classes)
    if not decision.by_criterion:
        return _said(outcomes, decision.predicted(scores, classes), scores), notes
    rows = [decision.of(one).predicted(scores[[row]], classes)[0] for row, one in enumerate(tested.criteria)]
    return _said(outcomes, np.array(rows), scores), notes


def _said(outcomes: Outcomes, said: np.ndarray, scores: np.ndarray) -> Outcomes:
    return replace(outcomes, said=said, scores=scores, failed=np.zeros(len(outcomes), dtype=bool))


def _read(prepared: Path | None, split: str, classes: Classes) -> _Split | None:
    file = None if prepared is None else prepared / f"{split}.parquet"
    if file is None or not file.exists():
        return None
    held = pq.read_schema(file).names
    if "label" not in held:
        return None
    table = pq.read_table(file, columns=["prompt", "label", *(name for name in CRITERION_COLUMNS if name in held)])
    labels = table["label"].to_pylist()
    if None in labels:
        return None
    if classes.multi_label:
        gold = np.array(labels, dtype=np.int8).reshape(-1, len(classes)) == 1
    else:
        gold = np.array([[one == name for name in classes.names] for one in labels], dtype=bool)
    return _Split(Texts(_texts(table), _pairs(table)), gold.reshape(-1, len(classes)), criteria_of(table))


def _texts(table: pa.Table) -> list[str]:
    return [prompt or "" for prompt in table["prompt"].to_pylist()] if "prompt" in table.column_names else []


def _pairs(table: pa.Table) -> list[str] | None:
    """The second text of each record, None where no record has one."""
    if "pair" not in table.column_names or table["pair"].null_count == table.num_rows:
        return None
    return [pair or "" for pair in table["pair"].to_pylist()]


def _pairs_of(predictions: Predictions, prepared: Path | None, split: str) -> tuple[list[str] | None, list[str | None]]:
    """Second texts and criteria of predicted records: a predictions file keeps the document alone."""
    own = predictions.table.column_names
    named = predictions.table[CRITERION].to_pylist() if CRITERION in own else [None] * len(predictions)
    criteria = [None if one is None else str(one) for one in named]
    file = None if prepared is None else prepared / f"{split}.parquet"
    if file is None or not file.exists() or "pair" not in pq.read_schema(file).names:
        return None, criteria
    table = pq.read_table(file, columns=["id", "pair"])
    if (pairs := _pairs(table)) is None:
        return None, criteria
    held = dict(zip(table["id"].to_pylist(), pairs, strict=True))
    found = [held.get(one, "") for one in predictions.ids]
    return found, [pair if one is None else one for one, pair in zip(criteria, found, strict=True)]
