"""Records that are found, wherever they went, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossmith.doctor.inspect import inspect_record
from lossmith.errors import DataError, InputError

TEMPLATE = {"prompt": "Cook {{ dish }}: ", "answer": "{{ items | join(', ') }}"}


@pytest.fixture
def rows(write: Callable[..., Path]) -> Path:
    good = [{"key": f"dish-{n}", "dish": "soup", "items": ["salt", str(n)]} for n in range(12)]
    forged = {"key": "forged", "dish": "soup <|im_end|>", "items": ["x"]}
    empty = {"key": "empty", "dish": "soup", "items": []}
    long = {"key": "long", "dish": "soup", "items": ["salt"] * 90}
    lacking = {"key": "lacking", "items": ["x"]}
    return write([*good, "{broken", forged, empty, long, lacking, {**good[3], "dish": "stew"}])


@pytest.fixture
def config(configure: Callable[..., Path], rows: Path) -> Path:
    fields = {"dish": "dish", "items": "items"}
    data = {"files": str(rows), "id": "key", "fields": fields, "max_rejected": 1, "max_length": 80}
    return configure(data={**data, "template": TEMPLATE})


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("forged", "special token"),
        ("empty", "the answer is empty"),
        ("lacking", "missing column"),
        ("rows.jsonl:13", "line 13"),
        ("rows.jsonl:18", "duplicate id"),
    ],
)
def test_a_rejected_record_is_found_with_its_reason(config: Path, key: str, reason: str) -> None:
    found = inspect_record(config, id=key)
    assert found.status == "rejected" and reason in str(found.reason) and not found.tokens
    assert found.as_json()["round_trip"] is None


def test_a_dropped_record_is_shown_as_it_would_have_been(config: Path) -> None:
    found = inspect_record(config, id="long")
    assert found.status == "dropped" and "data.max_length=80" in str(found.reason) and found.split == "train"
    assert len(found.tokens) > 80 and found.answer is not None and found.answer.ok and not found.disagreements


def test_dropped_pairs_are_told_of_the_split_that_their_source_went_to(
    configure: Callable[..., Path], write: Callable[..., Path]
) -> None:
    """Pairs of one source go together without a cluster being named; training alone drops what is too long."""
    long = [(source, source % 2) for source in range(7)]
    rows = [
        {"id": f"{s}-{copy}", "dish": f"soup {s}", "items": ["salt"] * (60 if (s, copy) in long else 1)}
        for s in range(7)
        for copy in range(2)
    ]
    data = {"files": str(write(rows)), "id": "id", "template": TEMPLATE, "max_length": 80}
    config = configure(task={"kind": "seq2seq"}, data={**data, "split": {"validation": 0.3, "test": 0.3}})
    found = [inspect_record(config, id=f"{source}-{copy}") for source, copy in long]
    dropped = [one for one in found if one.status == "dropped"]
    assert 0 < len(dropped) < len(found)
    assert {one.split for one in dropped} == {"train"}


def test_a_record_is_known_by_its_place_too(config: Path) -> None:
    found = inspect_record(config, id="rows.jsonl:4")
    assert found.record == "dish-3" and found.status == "prepared" and found.answer.got.startswith("salt, 3")


def test_an_unknown_id_is_answered_with_the_nearest(config: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'lacking'") as caught:
        inspect_record(config, id="laking")
    assert caught.value.exit_code == 2


def test_what_a_limit_leaves_out(config: Path) -> None:
    found = [inspect_record(config, ["data.limit=6"], id=f"dish-{n}") for n in range(12)]
    left = [one for one in found if one.status == "left_out"]
    assert 6 <= len(left) < 12 and all("data.limit=6" in str(one.reason) and one.split is None for one in left)
    assert all(one.answer is not None and one.answer.ok for one in found)


def test_weights_repeat_and_leave_out(configure: Callable[..., Path], write: Callable[..., Path]) -> None:
    rows = [{"dish": "soup", "items": [str(n)]} for n in range(8)]
    files = [{"path": str(write(rows, "a.jsonl")), "weight": 2}, {"path": str(write(rows, "b.jsonl")), "weight": 0.5}]
    config = configure(data={"files": files, "template": TEMPLATE})
    assert inspect_record(config, id="a.jsonl:2").copies == 2
    statuses = [inspect_record(config, id=f"b.jsonl:{n}").status for n in range(1, 9)]
    assert sorted(statuses) == ["left_out"] * 4 + ["prepared"] * 4


def test_splits(configure: Callable[..., Path], dishes: Path) -> None:
    data: dict[str, Any] = {"files": str(dishes), "id": "key", "template": TEMPLATE}
    config = configure(data={**data, "split": {"validation": 0.25, "test": 0}})
    held = inspect_record(config, split="validation")
    assert held.split == "validation" and held.answer is not None and held.answer.ok
    assert inspect_record(config, id=held.record).split == "validation"
    with pytest.raises(InputError, match="--split validation, where it is"):
        inspect_record(config, id=held.record, split="train")
    with pytest.raises(DataError, match="no record in the test split"):
        inspect_record(config, split="test")
    with pytest.raises(InputError, match="did you mean 'validation'"):
        inspect_record(config, split="validaton")


def test_a_row_that_has_an_error_in_place_of_tokens(config: Path, change_row: Callable[..., None]) -> None:
    folder = Path(inspect_record(config).folder)
    change_row(folder, "error", lambda _: "nothing of the prompt fits into data.max_length")
    found = inspect_record(config, id="dish-1")
    assert found.status == "failed" and "nothing of the prompt fits" in str(found.reason) and not found.tokens
