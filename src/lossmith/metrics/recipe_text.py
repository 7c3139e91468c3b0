"""A recipe read from text: a JSON object, or a plain layout with headings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lossmith.metrics.ingredients import is_heading
from lossmith.metrics.lines import unbulleted

_STEP_NAMES = ("instructions", "directions", "steps", "method", "preparation")
_HEADING = re.compile(
    rf"\s*(?:#+\s*)?[*_]*(?P<name>ingredients|{'|'.join(_STEP_NAMES)})[*_]*\s*(?::[*_]*\s*(?P<rest>.*)|)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The lines of a recipe; either part may be empty."""

    ingredients: tuple[str, ...]
    instructions: tuple[str, ...]


def read_recipe(text: str) -> Recipe | None:
    """The recipe that the whole text is, or None.

    JSON: one object with `ingredients` and `instructions` (or directions, steps, method, preparation), each a
    list of strings or one string of lines; anything before or after the object, a code fence too, makes it
    unreadable. Plain: the headings "Ingredients" and "Instructions" (or the others) on lines of their own,
    list lines below them.

    >>> read_recipe('{"ingredients": ["2 eggs"], "directions": ["Boil them."]}')
    Recipe(ingredients=('2 eggs',), instructions=('Boil them.',))
    >>> read_recipe("Ingredients:\\n- 2 eggs\\n\\nSteps:\\n1. Boil them.")
    Recipe(ingredients=('2 eggs',), instructions=('Boil them.',))
    >>> read_recipe("Take two eggs.") is None
    True
    """
    stripped = text.strip()
    if stripped.startswith(("{", "[")):
        return _from_json(stripped)
    return _from_layout(stripped)


def _from_json(text: str) -> Recipe | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    fields = {key.lower(): entry for key, entry in value.items()}
    steps: Any = next((fields[name] for name in _STEP_NAMES if name in fields), [])
    if "ingredients" not in fields and not any(name in fields for name in _STEP_NAMES):
        return None
    ingredients, instructions = _lines(fields.get("ingredients", [])), _lines(steps)
    if ingredients is None or instructions is None:
        return None
    return Recipe(_without_headings(ingredients), tuple(instructions))


def _from_layout(text: str) -> Recipe | None:
    parts: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            name = "ingredients" if heading["name"].lower() == "ingredients" else "instructions"
            current = parts.setdefault(name, [])
            line = heading["rest"] or ""  # noqa: PLW2901
        if current is not None and (entry := unbulleted(line)):
            current.append(entry)
    if not parts:
        return None
    return Recipe(_without_headings(parts.get("ingredients", [])), tuple(parts.get("instructions", [])))


def _lines(value: Any) -> list[str] | None:
    """The lines of a JSON entry; None where it is no text."""
    if isinstance(value, str):
        value = value.splitlines()
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        return None
    return [line.strip() for line in value if line.strip()]


def _without_headings(lines: list[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if not is_heading(line))
