"""Thresholds for an aim, found on the scores of validation records: of all, and of each criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossmith.labels import Classes
from lossmith.metrics.thresholds import Threshold, choose_by_criterion, choose_thresholds
from lossmith.tasks.classified import Decision


@dataclass(frozen=True)
class Aimed:
    """A decision by thresholds that were chosen, by name of the class or label, and by criterion."""

    decision: Decision
    chosen: Mapping[str, Threshold]
    by_criterion: Mapping[str, Threshold] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """What the manifest keeps: for what each was chosen, and whether validation could give it."""
        told = {"aim": _told(self.chosen)}
        return told | ({"aim_by_criterion": _told(self.by_criterion)} if self.by_criterion else {})

    def doubts(self) -> list[str]:
        """A sentence for each class or label whose aim was not reached."""
        return [
            f"the threshold of '{name}' is {one.value:g}: {one.aim} was not reached ({one.reason})"
            for name, one in self.chosen.items()
            if not one.reached
        ]


def aim_at(
    decision: Decision,
    aim: Mapping[str, str],
    truth: tuple[np.ndarray, np.ndarray],
    *,
    classes: Classes,
    criteria: Sequence[str | None],
) -> Aimed:
    """The decision with thresholds chosen for an aim; `truth` are masks and scores (records, classes) of validation.

    A criterion (of each record, None where it names none) that cannot have a threshold of its own is judged by that of
    all. Raises ConfigError where the classes have no threshold.
    """
    gold, scores = truth
    chosen = choose_thresholds(aim, gold, scores, classes)
    values = {name: one.value for name, one in chosen.items()}
    if classes.multi_label:
        return Aimed(replace(decision, threshold=values), chosen)
    positive = classes.index(str(classes.positive))
    named = [(row, criterion) for row, criterion in enumerate(criteria) if criterion is not None]
    rows = np.array([row for row, _ in named], dtype=np.int64)
    truth_of_named = gold[rows, positive], scores[rows, positive]
    own = choose_by_criterion(aim, *truth_of_named, [criterion for _, criterion in named])
    reached = {criterion: one.value for criterion, one in own.items() if one.reached}
    return Aimed(replace(decision, threshold=values[str(classes.positive)], by_criterion=reached), chosen, own)


def _told(chosen: Mapping[str, Threshold]) -> dict[str, Any]:
    return {name: {"aim": one.aim, "reached": one.reached, "reason": one.reason} for name, one in chosen.items()}
