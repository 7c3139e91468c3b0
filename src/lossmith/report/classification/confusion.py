"""What was said for each class: the confusion table, or counts by label where labels do not exclude each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossmith.report.classification.outcomes import Outcomes
from lossmith.report.figures import count, percent

SHOWN = 20  # classes of a table; of more the confusions are listed
LISTED = 30


@dataclass(frozen=True)
class Cell:
    """A count, its share of the row, and how strongly it is tinted (0 to 100); `right` on the diagonal."""

    count: int
    share: str
    tint: int
    right: bool


@dataclass(frozen=True)
class Confusion:
    """The table: a row for each true class, a column for each said one, the last for failed answers where there are."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[Cell, ...]], ...]
    listed: tuple[tuple[str, str, int], ...]
    note: str


@dataclass(frozen=True)
class LabelCounts:
    """One label that does not exclude others, and how often it was found, missed, wrongly said and rightly not."""

    name: str
    found: int
    missed: int
    false: int
    clear: int


def confusion(outcomes: Outcomes) -> Confusion | None:
    """The table of exclusive classes, None for others; above 20 classes the most frequent confusions in its place."""
    if outcomes.classes.multi_label:
        return None
    names = outcomes.classes.names
    counts = np.array(
        [(outcomes.truth[:, place, None] & outcomes.predicted).sum(axis=0) for place in range(len(names))]
    )
    failed = np.array([(outcomes.truth[:, place] & outcomes.failed).sum() for place in range(len(names))])
    if len(names) > SHOWN:
        return Confusion((), (), tuple(_listed(names, counts)), _note(outcomes))
    told = (*names, "failed") if failed.any() else names
    table = np.column_stack([counts, failed]) if failed.any() else counts
    rows = []
    for place, name in enumerate(names):
        of = int(table[place].sum())
        rows.append(
            (name, of, tuple(_cell(int(held), of, column == place) for column, held in enumerate(table[place])))
        )
    return Confusion(tuple(told), tuple(rows), (), _note(outcomes))


def label_counts(outcomes: Outcomes) -> list[LabelCounts]:
    """A row for each label that does not exclude others; empty for exclusive classes."""
    if not outcomes.classes.multi_label:
        return []
    truth, said = outcomes.truth, outcomes.predicted
    return [
        LabelCounts(
            name,
            int((truth[:, place] & said[:, place]).sum()),
            int((truth[:, place] & ~said[:, place]).sum()),
            int((~truth[:, place] & said[:, place]).sum()),
            int((~truth[:, place] & ~said[:, place]).sum()),
        )
        for place, name in enumerate(outcomes.classes.names)
    ]


def _cell(held: int, of: int, right: bool) -> Cell:
    return Cell(held, percent(held / of) if of else "", round(100 * held / of) if of else 0, right)


def _listed(names: tuple[str, ...], counts: np.ndarray) -> list[tuple[str, str, int]]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    places = (divmod(int(one), len(names)) for one in order)
    return [(names[true], names[said], int(wrong[true, said])) for true, said in places if wrong[true, said]]


def _note(outcomes: Outcomes) -> str:
    failed = int(outcomes.failed.sum())
    if not failed:
        return ""
    told = f"{count(failed, 'record')} failed and has no class" if failed == 1 else f"{failed:,} records failed"
    counted = (
        "; in every figure each counts as the other class than its own"
        if len(outcomes.classes) == 2
        else "; each counts as wrong"
    )
    return told + counted
