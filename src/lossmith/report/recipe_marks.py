"""A predicted recipe beside the true one, line by line: matched, quantity wrong, missing, invented."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.metrics.recipe_text import read_recipe
from lossmith.report.safe_text import clipped

SHOWN = 60  # lines of a recipe that are shown
LINE = 300  # characters of an ingredient line that are kept
State = Literal["matched", "near", "quantity", "missing", "invented"]
Matcher = Callable[[str, str | Sequence[str]], Mapping[str, Any]]

# Symbol and word say what the colour says.
STATES: Mapping[State, tuple[str, str]] = {
    "matched": ("✓", "matched"),
    "near": ("≈", "quantity near"),
    "quantity": ("Δ", "quantity wrong"),
    "missing": ("−", "missing"),
    "invented": ("+", "invented"),
}


@dataclass(frozen=True)
class Lines:
    """A recipe that could be read: its ingredients and steps."""

    ingredients: Sequence[str]
    steps: Sequence[str]


@dataclass(frozen=True)
class Mark:
    """One ingredient: its state, the predicted line, and the true line where it says something else."""

    state: State
    symbol: str
    word: str
    predicted: str
    gold: str


def ingredient_marks(prediction: str, target: str | Sequence[str], matcher: Matcher) -> list[Mark] | None:
    """The lines of both recipes, in the order of the true one, invented ones last.

    None where either text does not read as a recipe, so that the plain text is shown instead.
    """
    found = matcher(prediction, target)
    gold, predicted = found["gold"], found["predicted"]
    if not found["prediction_read"] or not gold:
        return None
    marks = []
    for line in gold:
        match = line["match"]
        if match is None:
            marks.append(_mark("missing", "", line["line"]))
            continue
        state: State = {"near": "near", "wrong": "quantity"}.get(line["quantity"], "matched")  # type: ignore[assignment]
        marks.append(_mark(state, predicted[match]["line"], line["line"]))
    marks.extend(_mark("invented", line["line"], "") for line in predicted if line["match"] is None)
    return marks


def recipe_lines(text: str | Sequence[str]) -> Lines | None:
    """Ingredients and steps of a text (the first of several), None where it reads as no recipe.

    >>> recipe_lines("Ingredients:\\n- 2 eggs\\n\\nSteps:\\n1. Boil them.")
    Lines(ingredients=['2 eggs'], steps=['Boil them.'])
    """
    found = read_recipe(text if isinstance(text, str) else text[0])
    if found is None or not found.ingredients:
        return None
    return Lines(
        *([clipped(line, LINE)[0] for line in lines[:SHOWN]] for lines in (found.ingredients, found.instructions))
    )


def tally(marks: Sequence[Mark]) -> str:
    """The marks in numbers.

    >>> tally([_mark("matched", "salt", "salt"), _mark("missing", "", "eggs"), _mark("missing", "", "milk")])
    '1 matched, 2 missing'
    """
    counts = {word: sum(mark.word == word for mark in marks) for _, word in STATES.values()}
    return ", ".join(f"{number} {word}" for word, number in counts.items() if number)


def _mark(state: State, predicted: str, gold: str) -> Mark:
    symbol, word = STATES[state]
    return Mark(state, symbol, word, clipped(predicted, LINE)[0], clipped(gold, LINE)[0])
