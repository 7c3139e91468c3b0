"""How rare each class is in each split, and the weights that were counted from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lossmith.labels import Classes
from lossmith.report.figures import count, number, percent
from lossmith.report.run_files import Run

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Share:
    """How many records of a split have a class, and their share; empty where the split was not counted."""

    count: str
    share: str


@dataclass(frozen=True)
class Weights:
    """A term, its parameter and the rule in words, and the weight of each class, empty where the rule gives none."""

    told: str
    weights: Mapping[str, str]


@dataclass(frozen=True)
class Balance:
    """A row for each class over the splits, and what each rule made of the counts of training.

    `splits` are (name, records).
    """

    splits: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Sequence[Share]]]
    positive: str
    weights: Sequence[Weights]


def balance(run: Run, classes: Classes | None) -> Balance:
    """What is known of the classes; without rows where they were not counted."""
    counts = classes.counts if classes is not None else {}
    splits = sorted(counts, key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
    sizes = {name: classes.examples.get(name, sum(counts[name])) for name in splits} if classes is not None else {}
    names = classes.names if classes is not None else ()
    rows = [
        (name, [_share(counts[split], place, sizes[split]) for split in splits]) for place, name in enumerate(names)
    ]
    return Balance(
        [(split, count(sizes[split], "record")) for split in splits],
        rows if splits else [],
        (classes.positive or "") if classes is not None else "",
        _weights(run, names),
    )


def _share(counts: Sequence[int], place: int, of: int) -> Share:
    if place >= len(counts):
        return Share("", "")
    return Share(f"{counts[place]:,}", percent(counts[place] / of) if of else "")


def _weights(run: Run, names: Sequence[str]) -> list[Weights]:
    found = []
    for term in run.manifest.get("objective") or ():
        for facts in (term.get("counted") or ()) if isinstance(term, Mapping) else ():
            held = facts.get("weights") or {}
            told = f"{term.get('name')}, {facts.get('parameter')}: {facts.get('rule')}"
            found.append(Weights(told, {name: number(held[name]) if name in held else "" for name in names}))
    return found
