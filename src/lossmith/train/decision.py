"""How scores become classes: threshold and temperature, given or fitted on the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossmith.config.evaluate import EvaluateConfig
from lossmith.data.criteria import criteria_of
from lossmith.errors import DataError
from lossmith.labels import Classes
from lossmith.metrics.calibration import fit_temperature
from lossmith.metrics.thresholds import check_has_threshold
from lossmith.models.load import Loaded
from lossmith.tasks.aims import aim_at
from lossmith.tasks.classified import DEFAULT_THRESHOLD, Decision, Scored
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Task


@dataclass(frozen=True)
class Decided:
    """A decision, what it was asked for, and what the manifest keeps of how it was found."""

    decision: Decision
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the manifest and the model's facts."""
        return {**self.decision.as_json(), **self.facts}


def decision_while_training(given: Given) -> Decision | None:
    """What evaluations in the middle of training decide by: nothing is fitted yet, so an aim stands at .5."""
    if given.prepared.classes is None:
        return None
    asked = given.config.evaluate.threshold
    return Decision(DEFAULT_THRESHOLD if isinstance(asked, Mapping) else asked)


def decide(task: Task, loaded: Loaded, given: Given) -> Decided | None:
    """The decision that predictions are made by; None for a task without classes.

    Where `evaluate.threshold` is an aim or `evaluate.calibration` is temperature, the validation split is scored and
    both are fitted on it, an aim also for each criterion that records name. Raises ConfigError for an aim with more
    than two classes that exclude each other, DataError without a validation split.
    """
    classes, asked = given.prepared.classes, given.config.evaluate
    if classes is None:
        return None
    aim = asked.threshold if isinstance(asked.threshold, Mapping) else None
    if aim is not None:
        check_has_threshold(aim, classes)
    if aim is None and asked.calibration == "none":
        return Decided(_fixed(asked))
    file = given.prepared.split_file("validation")
    if file is None:
        raise DataError(
            "there is no validation split to fit threshold and temperature on",
            got=_told(asked),
            expected="validation records",
            fix="raise data.split.validation, or set evaluate.threshold to a number and evaluate.calibration=none",
        )
    rows = Rows(file, columns=None)
    found = list(task.answers(loaded, rows, given, None))
    truth = _truth(rows, classes)
    decision = Decision(_fixed(asked).threshold)
    if asked.calibration == "temperature":
        decision = replace(decision, temperature=_temperature(found, truth, classes))
    facts: dict[str, Any] = {"fitted_on": {"split": "validation", "records": len(rows)}}
    if aim is None:
        return Decided(decision, facts)
    known = _masks(truth, classes), _scores(found, decision, classes)
    aimed = aim_at(decision, aim, known, classes=classes, criteria=criteria_of(rows.table))
    return Decided(aimed.decision, {**facts, **aimed.facts()}, tuple(aimed.doubts()))


def _fixed(asked: EvaluateConfig) -> Decision:
    return Decision(DEFAULT_THRESHOLD if isinstance(asked.threshold, Mapping) else asked.threshold)


def _told(asked: EvaluateConfig) -> str:
    return f"evaluate.threshold={asked.threshold}, evaluate.calibration={asked.calibration}"


def _truth(rows: Rows, classes: Classes) -> np.ndarray:
    """(rows,) places of classes, or (rows, labels) of 0 and 1."""
    labels = rows.table.column("label").to_pylist()
    return np.asarray(labels if classes.multi_label else [classes.index(label) for label in labels])


def _masks(truth: np.ndarray, classes: Classes) -> np.ndarray:
    """(rows, classes) masks of such labels."""
    return np.asarray(truth == 1 if classes.multi_label else truth[:, None] == np.arange(len(classes)))


def _temperature(found: list[Scored], truth: np.ndarray, classes: Classes) -> float:
    with_scores = [one for one in found if one.error is None and one.logits is not None]
    if not with_scores:
        raise DataError(
            "no validation record has scores to fit a temperature on",
            got=f"{len(found)} records without scores",
            expected="a way of asking that gives scores: task.method=head or label_words",
            fix="evaluate.calibration=none",
        )
    logits = np.stack([one.logits for one in with_scores if one.logits is not None])
    return float(fit_temperature(logits, truth[[one.row for one in with_scores]], multi_label=classes.multi_label))


def _scores(found: list[Scored], decision: Decision, classes: Classes) -> np.ndarray:
    """(rows, classes), nan where a record failed."""
    scores = np.full((len(found), len(classes)), np.nan)
    for one in found:
        if one.error is None and one.logits is not None:
            scores[one.row] = decision.scores(one.logits[None], classes)[0]
    return scores
