"""The kitchen: exact, scaled, whole titles held out, and too hard for the nearest training record."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from lossmith.data.kitchen import write_kitchen
from lossmith.data.kitchen.corpus import SIZE
from lossmith.data.kitchen.rules import cook
from lossmith.data.kitchen.tables import BASES, MAINS, SERVINGS, STYLES
from lossmith.errors import InputError

IN_BASE_UNIT = {"kg": 1000, "l": 1000, "tbsp": 3}
UNITS = ("g", "kg", "ml", "l", "tsp", "tbsp")


def parse(line: str) -> tuple[Fraction, str]:
    """Quantity in the smallest unit, and the name without a plural s."""
    words = line.split()
    quantity = Fraction(0)
    while words[0][0].isdigit():
        quantity += Fraction(words.pop(0))
    quantity *= IN_BASE_UNIT.get(words[0], 1)
    name = " ".join(words[1:] if words[0] in UNITS else words)
    return quantity, name.replace("leaves", "leaf").replace("tomatoes", "tomato").removesuffix("s")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return read(write_kitchen(tmp_path_factory.mktemp("kitchen") / "k.jsonl", records=6000, seed=0))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second, other = (
        write_kitchen(tmp_path / f"{n}.jsonl", records=300, seed=seed).read_bytes() for n, seed in enumerate((1, 1, 2))
    )
    assert first == second
    assert first != other


def test_whole_titles_are_held_out_and_their_parts_are_known(corpus: list[dict[str, Any]]) -> None:
    assert len({row["id"] for row in corpus}) == len({(row["title"], row["servings"]) for row in corpus}) == 6000
    assert Counter(row["split"] for row in corpus) == {"train": 4800, "validation": 600, "test": 600}
    titles = {split: {row["title"] for row in corpus if row["split"] == split} for split in ("train", "validation")}
    titles["test"] = {row["title"] for row in corpus if row["split"] == "test"}
    assert not titles["train"] & titles["test"]
    assert not titles["train"] & titles["validation"]
    assert not titles["validation"] & titles["test"]
    seen = " ".join(titles["train"])
    assert all(part.name in seen for part in (*BASES, *MAINS, *STYLES))


@pytest.mark.parametrize("records", [10, 60, SIZE])
def test_any_size_keeps_its_titles_apart(tmp_path: Path, records: int) -> None:
    rows = read(write_kitchen(tmp_path / "k.jsonl", records=records, seed=3))
    assert len(rows) == records
    split_of = {row["title"]: row["split"] for row in rows}
    assert all(split_of[row["title"]] == row["split"] for row in rows)
    train = " ".join(row["title"] for row in rows if row["split"] == "train")
    assert all(word in train for row in rows for word in row["title"].split())


def test_amounts_scale_with_the_servings() -> None:
    for base, main, style in list(product(BASES, MAINS, STYLES))[::5]:
        at = {servings: cook(base, main, style, servings).ingredients for servings in SERVINGS}
        for lines in zip(*at.values(), strict=True):
            parsed = [parse(line) for line in lines]
            assert len({name for _, name in parsed}) == 1
            per_head = {quantity / servings for (quantity, _), servings in zip(parsed, SERVINGS, strict=True)}
            assert len(per_head) == 1


def test_every_part_changes_lines_it_does_not_bring() -> None:
    before = cook(BASES[0], MAINS[0], STYLES[0], 4).ingredients
    other_main = cook(BASES[0], MAINS[2], STYLES[0], 4).ingredients
    other_style = cook(BASES[0], MAINS[0], STYLES[2], 4).ingredients
    other_base = cook(BASES[2], MAINS[0], STYLES[0], 4).ingredients
    assert [parse(line)[1] for line in before[:3]] == [parse(line)[1] for line in other_main[:3]]
    assert not set(before[:3]) & set(other_main[:3])
    assert not set(before[:3]) & set(other_style[:3])
    assert not set(before[3:5]) & set(other_base[3:5])
    assert not set(before[5:7]) & set(other_base[5:7])


def test_texts_have_times_temperatures_and_a_bounded_length(corpus: list[dict[str, Any]]) -> None:
    for row in corpus[:500]:
        text = " ".join(row["steps"])
        assert " °C " in text
        assert text.count(" minutes") == 3
        assert text.endswith(f"serve {row['servings']}.")
        assert 60 <= len(" ".join([*row["ingredients"], *row["steps"]]).split()) <= 110
        assert len(row["ingredients"]) == len({parse(line)[1] for line in row["ingredients"]}) == 9


def test_the_nearest_training_record_is_not_enough(corpus: list[dict[str, Any]]) -> None:
    train = [row for row in corpus if row["split"] == "train"]
    test = [row for row in corpus if row["split"] == "test"]
    vectorizer = TfidfVectorizer(token_pattern=r"\w+")

    def prompts(rows: list[dict[str, Any]]) -> list[str]:
        return [f"{row['title']} {row['servings']} servings" for row in rows]

    known = vectorizer.fit_transform(prompts(train))
    nearest = np.asarray((vectorizer.transform(prompts(test)) @ known.T).argmax(axis=1)).ravel()
    pairs = [(row["ingredients"], train[index]["ingredients"]) for row, index in zip(test, nearest, strict=True)]
    names = np.mean([len({parse(a)[1] for a in gold} & {parse(b)[1] for b in found}) / 9 for gold, found in pairs])
    lines = np.mean([len(set(gold) & set(found)) / 9 for gold, found in pairs])
    assert 0.5 < names < 0.75
    assert lines < 0.25


def test_an_impossible_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such number"):
        write_kitchen(tmp_path / "k.jsonl", records=SIZE + 1, seed=0)
