"""What was true and what was said of each record: all that a classification metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lossmith.labels import Classes

FEW_POSITIVES = 10


@dataclass(frozen=True)
class Groups:
    """Names of groups, which records are in each (records, groups), and under how many records one is too small."""

    names: tuple[str, ...] = ()
    members: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))
    smallest: int = 10

    def take(self, rows: np.ndarray) -> Groups:
        """The same groups of some records."""
        return replace(self, members=self.members[rows])

    @property
    def sizes(self) -> np.ndarray:
        """Records of each group, (groups,)."""
        return np.asarray(self.members.sum(axis=0))


@dataclass(frozen=True)
class Binary:
    """One class against the rest: three columns (records,).

    `gold` and `said` are true for the class; `scores` are nan where a record has none. A failed record is `said` to be
    what it is not.
    """

    name: str
    gold: np.ndarray
    said: np.ndarray
    scores: np.ndarray
    groups: Groups | None = None

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, rows: np.ndarray) -> Binary:
        """Some of the records, by index or mask."""
        groups = None if self.groups is None else self.groups.take(rows)
        return Binary(self.name, self.gold[rows], self.said[rows], self.scores[rows], groups)

    def few(self) -> tuple[str, ...]:
        """A sentence where fewer than 10 records are of the class."""
        return _few(int(self.gold.sum()), self.name)

    def few_negatives(self) -> tuple[str, ...]:
        """A sentence where fewer than 10 records are of other classes."""
        return _few(int((~self.gold).sum()), f"not {self.name}")


@dataclass(frozen=True)
class Outcomes:
    """Truth and decision of each record as masks (records, classes), and scores of the same shape.

    Of classes that exclude each other a row of `gold` holds one True. A `failed` row is wrong: of two classes `said`
    holds the other one, of labels that don't exclude each other the opposite of each, of more classes none, which is
    a column of the confusion table outside all classes. Scores are nan where a record has none.

    >>> two = Classes(("no", "yes"), positive="yes")
    >>> found = outcomes(two, gold=[1, 0, 1], said=[1, None, 0])
    >>> found.said.tolist(), found.failed.tolist()
    ([[False, True], [False, True], [True, False]], [False, True, False])
    """

    classes: Classes
    gold: np.ndarray
    said: np.ndarray
    failed: np.ndarray
    scores: np.ndarray
    groups: Groups | None = None

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, rows: np.ndarray) -> Outcomes:
        """Some of the records, by index or mask."""
        return replace(
            self,
            gold=self.gold[rows],
            said=self.said[rows],
            failed=self.failed[rows],
            scores=self.scores[rows],
            groups=None if self.groups is None else self.groups.take(rows),
        )

    def against_rest(self, name: str) -> Binary:
        """One class or label against the rest."""
        place = self.classes.index(name)
        return Binary(name, self.gold[:, place], self.said[:, place], self.scores[:, place], self.groups)

    @property
    def scored(self) -> np.ndarray:
        """Mask (records,) of those with a score for every class."""
        return ~np.isnan(self.scores).any(axis=1)

    def few(self) -> tuple[str, ...]:
        """A sentence where the positive class, or without one any class, has fewer than 10 records."""
        positive = self.classes.positive
        counts = dict(zip(self.classes.names, self.gold.sum(axis=0).tolist(), strict=True))
        if positive is not None:
            return _few(counts[positive], positive)
        rare = ", ".join(f"{name} ({count})" for name, count in counts.items() if count < FEW_POSITIVES)
        return (f"fewer than {FEW_POSITIVES} records are of {rare}, so the figure is unsure",) if rare else ()


def _few(count: int, name: str) -> tuple[str, ...]:
    if count >= FEW_POSITIVES:
        return ()
    told = "record is" if count == 1 else "records are"
    return (f"only {count} {told} {name}: fewer than {FEW_POSITIVES}, so the figure is unsure",)


def outcomes(
    classes: Classes,
    *,
    gold: Sequence[int] | np.ndarray,
    said: Sequence[int | None] | np.ndarray,
    scores: np.ndarray | None = None,
    groups: Groups | None = None,
) -> Outcomes:
    """Outcomes of class numbers; None in `said` is a failed record, a missing `scores` no score at all.

    For labels that don't exclude each other `gold` and `said` are (records, labels) of 0 and 1, a failed row nan.
    """
    if classes.multi_label:
        given = np.asarray(said, dtype=np.float64).reshape(-1, len(classes))
        failed = np.asarray(np.isnan(given).any(axis=1))
        true, chosen = np.equal(np.asarray(gold).reshape(-1, len(classes)), 1), np.equal(given, 1)
    else:
        failed = np.array([one is None for one in said], dtype=bool)
        numbers = np.array([-1 if one is None else one for one in said], dtype=np.int64)
        places = np.arange(len(classes))
        true, chosen = np.equal.outer(np.asarray(gold, dtype=np.int64), places), np.equal.outer(numbers, places)
    if classes.multi_label or len(classes) == 2:
        chosen = np.where(failed[:, None], np.logical_not(true), chosen)
    if scores is None:
        scores = np.full(true.shape, np.nan)
    return Outcomes(classes, true, chosen, failed, np.asarray(scores, dtype=np.float64), groups)
