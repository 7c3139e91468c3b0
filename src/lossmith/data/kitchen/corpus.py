"""The corpus as a file: which dishes, and which whole titles no training record has."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

from lossmith.data.kitchen.rules import cook
from lossmith.data.kitchen.tables import BASES, MAINS, SERVINGS, STYLES, Base, Main, Style
from lossmith.data.splits import hash_text
from lossmith.errors import InputError
from lossmith.runs import write_text

HELD_OUT = {"test": 0.1, "validation": 0.1}
SIZE = len(BASES) * len(MAINS) * len(STYLES) * len(SERVINGS)

Dish = tuple[Base, Main, Style]


class _Entry(NamedTuple):
    dish: Dish
    servings: int


def write_kitchen(path: str | Path, *, records: int, seed: int) -> Path:
    """Write `records` different recipes as JSON Lines: id, title, servings, ingredients, steps, split.

    A tenth of the records is validation and a tenth test, by whole titles (base, main and style together) that no
    training record has, while each of their three parts is in training. The same `records` and `seed` give the same
    bytes.

    Raises InputError for more records than the kitchen has, or too few to hold any out.
    """
    entries = _choose(records, seed)
    splits = _hold_out(entries, seed)
    lines = []
    for dish, servings in entries:
        recipe = cook(*dish, servings)
        row = {
            "id": f"{recipe.title.lower().replace(' ', '-')}-{servings}",
            "title": recipe.title,
            "servings": servings,
            "ingredients": recipe.ingredients,
            "steps": recipe.steps,
            "split": splits.get(dish, "train"),
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    path = Path(path)
    write_text(path, "".join(lines))
    return path


def _choose(records: int, seed: int) -> list[_Entry]:
    if not 10 <= records <= SIZE:
        raise InputError("the kitchen has no such number of recipes", got=records, expected=f"10 to {SIZE} records")
    dishes = product(product(BASES, MAINS, STYLES), SERVINGS)
    entries = [_Entry(dish, servings) for dish, servings in dishes]
    return sorted(entries, key=lambda entry: _order(entry.dish, entry.servings, seed))[:records]


def _hold_out(entries: list[_Entry], seed: int) -> dict[Dish, str]:
    """Splits of the titles that are held out, in the order of their hash, until each split has its share."""
    sizes = Counter(entry.dish for entry in entries)
    in_training = Counter(part.name for entry in entries for part in entry.dish)
    held: dict[Dish, str] = {}
    left = {split: round(share * len(entries)) for split, share in HELD_OUT.items()}
    for dish in sorted(sizes, key=lambda dish: _order(dish, 0, seed)):
        size = sizes[dish]
        if any(in_training[part.name] <= size for part in dish):
            continue
        split = next((split for split, wanted in left.items() if wanted >= size), None)
        if split is not None:
            held[dish] = split
            left[split] -= size
            in_training.subtract({part.name: size for part in dish})
    return held


def _order(dish: Dish, servings: int, seed: int) -> int:
    return hash_text(f"{seed} {servings} {' '.join(part.name for part in dish)}")
