"""Faults that are planted, and must be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossmith.config.load import load_config
from lossmith.data.prepare import Prepared
from lossmith.doctor.agreement import against_batch
from lossmith.doctor.inspect import inspect_record
from lossmith.doctor.inspection import Batch, Position
from lossmith.doctor.round_trip import Comparison
from lossmith.tasks.prepare import prepare_config

TEMPLATE = {"prompt": "Cook {{ dish }}: ", "answer": '{% span "item" %}{{ items[0] }}{% endspan %} and salt'}
Intervals = list[dict[str, Any]]


@pytest.fixture
def config(configure: Callable[..., Path], dishes: Path) -> Path:
    return configure(data={"files": str(dishes), "template": TEMPLATE})


@pytest.fixture
def prepared(config: Path) -> Prepared:
    return prepare_config(load_config(config))


def moved(start: int, end: int) -> Callable[[Intervals], Intervals]:
    return lambda held: [{**one, "start": one["start"] + start, "end": one["end"] + end} for one in held]


@pytest.mark.parametrize(
    ("start", "end", "role"), [(1, 1, "answer"), (-1, -1, "end"), (0, -1, "end"), (1, 0, "answer"), (-1, 0, "prompt")]
)
def test_supervision_off_by_one_is_seen(
    config: Path, prepared: Prepared, change_row: Callable[..., None], start: int, end: int, role: str
) -> None:
    assert inspect_record(config).answer.ok
    change_row(prepared.folder, "supervised", moved(start, end))
    found = inspect_record(config)
    assert found.answer is not None and not found.answer.ok and found.answer.difference
    assert found.text is not None and found.text.ok
    assert any("supervised tokens" in sentence for sentence in found.disagreements)
    # Roles follow from the text, so the token that is wrongly taken or left shows by itself.
    wrong = {token.role for token in found.tokens if token.supervised != (token.role in ("answer", "end"))}
    assert role in wrong


def test_a_span_off_by_one_is_seen(config: Path, prepared: Prepared, change_row: Callable[..., None]) -> None:
    change_row(prepared.folder, "spans", moved(1, 1))
    found = inspect_record(config)
    assert found.answer is not None and found.answer.ok
    assert [sentence.split(":")[0] for sentence in found.disagreements] == ["the spans"]


def test_other_ids_are_seen_in_both_halves(config: Path, prepared: Prepared, change_row: Callable[..., None]) -> None:
    change_row(prepared.folder, "input_ids", lambda ids: [*ids[:-2], ids[-2] + 1, ids[-1]])
    found = inspect_record(config)
    assert found.answer is not None and not found.answer.ok and found.text is not None and not found.text.ok
    assert any("token ids part" in sentence for sentence in found.disagreements)


def batch_of(ids: list[int], tokens: list[int], labels: list[int], **of_a_pair: tuple[int, ...]) -> Batch:
    first = len(ids) if of_a_pair else 1
    positions = [
        Position(n, t - first, t, label, 0, ()) for n, (t, label) in enumerate(zip(tokens, labels, strict=False))
    ]
    return Batch({}, tuple(ids), (1,) * len(ids), (True,) * len(ids), tuple(positions), **of_a_pair)


def test_a_batch_that_is_not_the_row_shifted_by_one_is_told() -> None:
    ids = [7, 8, 9, 5, 6]
    row = {"input_ids": ids, "prompt_length": 2, "supervised": [{"start": 2, "end": 5}]}
    assert against_batch(row, batch_of(ids, [2, 3, 4], [9, 5, 6]), supervise_prompt=False) == []
    assert against_batch(row, batch_of(ids, [1, 2, 3, 4], [8, 9, 5, 6]), supervise_prompt=True) == []
    for tokens, labels in (([3, 4], [5, 6]), ([2, 3, 4], [8, 9, 5]), ([1, 2, 3], [8, 9, 5]), ([2, 3], [9, 5])):
        assert against_batch(row, batch_of(ids, tokens, labels), supervise_prompt=False)


def test_a_pair_that_is_collated_wrongly_is_told() -> None:
    row = {"input_ids": [7, 8, 9, 5, 6], "prompt_length": 2, "supervised": [{"start": 2, "end": 5}]}

    def told(source: list[int], tokens: list[int], labels: list[int], targets: tuple[int, ...], fed: tuple[int, ...]):
        batch = batch_of(source, tokens, labels, targets=targets, decoder_input_ids=fed)
        return against_batch(row, batch, supervise_prompt=False, decoder_of_its_own=True)

    right: tuple[Any, ...] = ([7, 8], [2, 3, 4], [9, 5, 6], (9, 5, 6), (0, 9, 5))
    assert told(*right) == []
    wrong: dict[int, tuple[Any, str]] = {
        0: ([7, 1], "token ids part at token 1"),
        1: ([1, 2, 3], "supervises the tokens"),
        2: ([9, 5, 0], "the label of position 2 is 0"),
        3: ((9, 5, 0), "token ids part at token 4"),
        4: ((9, 5, 6), "the decoder is fed 5 at place 1"),  # not shifted
    }
    for place, (value, sentence) in wrong.items():
        given = [value if n == place else one for n, one in enumerate(right)]
        assert any(sentence in each for each in told(*given)), place


def test_a_cut_end_forgives_half_a_character_and_nothing_more() -> None:
    assert Comparison("\ufffd\ufffd salt", "é salt", cut=True).ok
    assert not Comparison("\ufffd\ufffd salt", "é salt").ok
    assert not Comparison("alt", "the salt", cut=True).ok
    assert not Comparison("", "salt", cut=True).ok
