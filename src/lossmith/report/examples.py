"""Which records are shown, and what is shown of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmith.evaluate.measures import find_measure
from lossmith.evaluate.predictions import Predictions
from lossmith.metrics.scores import Scores
from lossmith.report.figures import count, number
from lossmith.report.measured import direction_of, metric_decimals
from lossmith.report.recipe_marks import Lines, Mark, Matcher, ingredient_marks, recipe_lines, tally
from lossmith.report.safe_text import clipped

RANKED = 1000  # records scored one by one to find the best and worst
EACH = 3
TEXT = 6000  # characters of one text that are kept on the page
FOLD = 420
_NO_FACTS = ("id", "prompt", "target", "prediction", "error", "score.", "label.", "predicted.")


@dataclass(frozen=True)
class Passage:
    """A text, cut to a bounded length; `folded` texts are shown on demand."""

    text: str
    left_out: int
    folded: bool


@dataclass(frozen=True)
class Answer:
    """One run's prediction for a record."""

    run: int
    label: str
    score: str
    passage: Passage | None
    error: str
    marks: Sequence[Mark] | None
    marks_told: str
    unread: bool
    steps: Sequence[str]


@dataclass(frozen=True)
class Example:
    """One record: its prompt, the true answer and the predictions."""

    id: str
    facts: Sequence[tuple[str, str]]
    prompt: Passage | None
    target: Passage | None
    recipe: Lines | None
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Group:
    """Examples chosen in one way."""

    title: str
    examples: Sequence[Example]


@dataclass(frozen=True)
class Chosen:
    """The examples of a report and how they were chosen."""

    groups: Sequence[Group] = ()
    how: str = ""
    metric: str | None = None


@dataclass(frozen=True)
class _Shared:
    """Predictions of all runs for the same records, and each record's score in each run."""

    labels: Sequence[str]
    tables: Sequence[Predictions]
    scores: np.ndarray  # (runs, records); nan where a record has none
    goodness: np.ndarray  # the same, turned so that more is better
    metric: str | None
    matcher: Matcher | None

    @property
    def ranked(self) -> list[int]:
        """The records that no run failed on and that have a score in every run."""
        sound = ~np.any([table.failed for table in self.tables], axis=0) & ~np.isnan(self.goodness).any(axis=0)
        return [int(row) for row in np.flatnonzero(sound)]

    @property
    def alike(self) -> bool:
        """Whether no record is better than another in any run."""
        held = self.goodness[:, self.ranked]
        return not held.size or not np.ptp(held, axis=1).any()


def choose(
    tables: Mapping[str, Predictions], metrics: Sequence[str], *, seed: int = 0, matcher: Matcher | None = None
) -> Chosen:
    """Pick records to show: best, worst and at random for one run; where two runs differ most for several.

    `tables` holds the predictions by run label. Records are ranked by the first of `metrics` that can be computed for
    one record; of a large file a sample is ranked, and the page says so.
    """
    labels = list(tables)
    if not labels:
        return Chosen()
    common, lost = _same_records(list(tables.values()))
    total = len(common[0])
    if not total:
        return Chosen(how="The runs share no record, so their answers cannot be laid side by side.")
    rng = random.Random(seed)
    if total > RANKED:
        rows = np.array(sorted(rng.sample(range(total), RANKED)))
        common = [table.take(rows) for table in common]
    metric, scores = _scores(common, metrics)
    goodness = _goodness(scores, metric)
    shared = _Shared(labels, common, scores, goodness, metric, matcher)
    groups = [Group(title, [_example(shared, row) for row in rows]) for title, rows in _groups(shared, rng) if rows]
    return Chosen(groups, _how(shared, total, lost), metric)


def _same_records(tables: Sequence[Predictions]) -> tuple[list[Predictions], int]:
    """The tables cut to the records that all hold, in one order, and how many others there are."""
    if len(tables) == 1:
        return list(tables), 0
    places = [{one: row for row, one in enumerate(table.ids)} for table in tables]
    ids = [one for one in tables[0].ids if all(one in place for place in places)]
    every = set().union(*(place.keys() for place in places))
    taken = [
        table.take(np.array([place[one] for one in ids], dtype=np.int64))
        for table, place in zip(tables, places, strict=True)
    ]
    return taken, len(every) - len(ids)


def _scores(tables: Sequence[Predictions], metrics: Sequence[str]) -> tuple[str | None, np.ndarray]:
    """The first metric that has a value for single records, and those values (runs, records)."""
    for name in metrics:
        measure = find_measure(name)
        scores = [measure.score(table) for table in tables]
        summed = [one for one in scores if isinstance(one, Scores) and one.parts == "sums"]
        if len(summed) == len(scores):
            return name, np.stack([np.asarray(one.reduce(one.stats), dtype=np.float64) for one in summed])
    return None, np.full((len(tables), len(tables[0])), np.nan)


def _goodness(scores: np.ndarray, metric: str | None) -> np.ndarray:
    direction = direction_of(metric, {}) if metric else "up"
    return {"up": scores, "down": -scores}.get(direction, -np.abs(scores - 1))


def _groups(shared: _Shared, rng: random.Random) -> list[tuple[str, list[int]]]:
    ranked = shared.ranked
    mean = shared.goodness.mean(axis=0)
    chosen: list[tuple[str, list[int]]] = []
    taken: set[int] = set()

    def add(title: str, order: list[int]) -> None:
        rows = [row for row in order if row not in taken][:EACH]
        taken.update(rows)
        chosen.append((title, rows))

    if len(shared.labels) == 2:
        second = shared.labels[1]
        gain = shared.goodness[1] - shared.goodness[0]
        add(f"{second} does better by most", sorted((r for r in ranked if gain[r] > 0), key=lambda r: -gain[r]))
        add(f"{second} does worse by most", sorted((r for r in ranked if gain[r] < 0), key=lambda r: gain[r]))
    elif len(shared.labels) > 2:
        spread = np.ptp(shared.goodness, axis=0)
        add("The answers differ most", sorted((r for r in ranked if spread[r] > 0), key=lambda r: -spread[r]))
    on_average = " on average" if len(shared.labels) > 1 else ""
    # Best and worst say nothing where all records score alike.
    if len(shared.labels) != 2 and not shared.alike:
        add(f"Best{on_average}", sorted(ranked, key=lambda r: -mean[r]))
        add(f"Worst{on_average}", sorted(ranked, key=lambda r: mean[r]))
    everything = list(range(len(shared.tables[0])))
    rng.shuffle(everything)
    add("Drawn at random", everything)
    return chosen


def _example(shared: _Shared, row: int) -> Example:
    table = shared.tables[0].table
    names = table.column_names
    values = ((name, table[name][row].as_py()) for name in names if not name.startswith(_NO_FACTS))
    facts = [(name, clipped(str(value), 80)[0]) for name, value in values if value is not None][:6]
    target = table["target"][row].as_py() if "target" in names else None
    prompt = table["prompt"][row].as_py() if "prompt" in names else None
    recipe = recipe_lines(target) if shared.matcher is not None and target else None
    return Example(
        id=str(table["id"][row].as_py()),
        facts=facts,
        prompt=passage(prompt, folded=True) if prompt else None,
        target=passage(_texts(target), folded=recipe is not None) if target else None,
        recipe=recipe,
        answers=[
            _answer(shared, run, row, target=target, target_read=recipe is not None)
            for run in range(len(shared.labels))
        ],
    )


def _answer(shared: _Shared, run: int, row: int, *, target: Any, target_read: bool) -> Answer:
    table = shared.tables[run].table
    prediction = table["prediction"][row].as_py()
    error = table["error"][row].as_py() if "error" in table.column_names else None
    marks = None
    if shared.matcher is not None and prediction and not error and target:
        marks = ingredient_marks(prediction, target, shared.matcher)
    read = recipe_lines(prediction) if marks is not None else None
    score = shared.scores[run, row]
    return Answer(
        run=run,
        label=shared.labels[run],
        score="undefined" if np.isnan(score) else number(float(score), decimals=metric_decimals(shared.metric or "")),
        passage=passage(prediction, folded=marks is not None) if prediction else None,
        error=str(error) if error else "" if prediction and prediction.strip() else "the answer is empty",
        marks=marks,
        marks_told=tally(marks) if marks is not None else "",
        unread=marks is None and target_read and bool(prediction) and not error,
        steps=read.steps if read is not None else (),
    )


def passage(text: str, *, folded: bool = False) -> Passage:
    """A text cut to what a page can bear.

    >>> passage("short").folded, passage("x" * 10_000).left_out
    (False, 4000)
    """
    kept, left_out = clipped(text, TEXT)
    return Passage(kept, left_out, folded or len(kept) > FOLD)


def _texts(target: Any) -> str:
    return target if isinstance(target, str) else "\n— or —\n".join(str(text) for text in target)


def _how(shared: _Shared, total: int, lost: int) -> str:
    ranked = len(shared.tables[0])
    parts = []
    if shared.metric is None:
        parts.append("No metric asked for has a value for a single record, so records are drawn at random alone.")
    else:
        parts.append(f"Records are ranked by their own {shared.metric}.")
        if shared.alike:
            parts.append("All score alike, so none is best or worst." if shared.ranked else "None has a value.")
    if ranked < total:
        parts.append(f"Of {count(total, 'record')} a sample of {ranked:,} is ranked.")
    if lost:
        parts.append(f"{count(lost, 'record')} not predicted by every run are left out here.")
    return " ".join(parts)
