"""How rare each class is in each split, and the weights that were counted from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lossmith.report.figures import count, number, percent
from lossmith.report.run_files import Run

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Share:
    """How many records of a split have a class, and their share; empty where the split was not counted."""

    count: str
    share: str


@dataclass(frozen=True)
class Balance:
    """A row for each class over the splits, and a line for each rule whose weights were counted.

    `splits` are (name, records).
    """

    splits: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Sequence[Share]]]
    positive: str
    weights: Sequence[tuple[str, Sequence[tuple[str, str]]]]


def balance(run: Run) -> Balance:
    """What the manifest says of the classes; without rows where it says nothing."""
    classes = run.manifest.get("classes")
    classes = classes if isinstance(classes, Mapping) else {}
    counts: Mapping[str, Sequence[int]] = classes.get("counts") or {}
    splits = sorted(counts, key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
    sizes = {name: (classes.get("examples") or {}).get(name, sum(counts[name])) for name in splits}
    names = [str(name) for name in classes.get("names") or ()]
    rows = [
        (name, [_share(counts[split], place, sizes[split]) for split in splits]) for place, name in enumerate(names)
    ]
    return Balance(
        [(split, count(sizes[split], "record")) for split in splits],
        rows if splits else [],
        str(classes.get("positive") or ""),
        _weights(run, names),
    )


def _share(counts: Sequence[int], place: int, of: int) -> Share:
    if place >= len(counts):
        return Share("", "")
    return Share(f"{counts[place]:,}", percent(counts[place] / of) if of else "")


def _weights(run: Run, names: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Term, parameter and rule in words, with the weight of each class."""
    found = []
    for term in run.manifest.get("objective") or ():
        for facts in (term.get("counted") or ()) if isinstance(term, Mapping) else ():
            examples = f", counted on {count(facts['examples'], 'training record')}" if facts.get("examples") else ""
            title = f"{term.get('name')}, {facts.get('parameter')}: {facts.get('rule')}{examples}"
            held = facts.get("weights") or {}
            found.append(
                (title, [(name, number(held[name])) for name in dict.fromkeys([*names, *held]) if name in held])
            )
    return found
