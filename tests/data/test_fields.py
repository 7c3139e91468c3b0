"""Columns to records."""

from __future__ import annotations

from typing import Any

import pytest

from lossmith.config.data import DataConfig
from lossmith.data.columns import MISSING, lookup, parse_cell, replace
from lossmith.data.fields import check_mapping, to_record
from lossmith.data.normalize import STEPS, normalize, steps_of
from lossmith.data.records import Record, Row
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError, InputError


def record(values: dict[str, Any], **data: Any) -> Record:
    return to_record(Row(7, values), DataConfig(**data), file="a.jsonl", split="train")


def test_dotted_paths_reach_into_objects_and_lists() -> None:
    values = {"a": {"b": [{"c": 1}, {"c": None}]}, "a.b": "literal", "x.y": {"z": 2}}
    assert lookup(values, "a.b") == "literal"
    assert lookup(values, "a.b.0.c") == 1
    assert lookup(values, "a.b.1.c") is None
    assert lookup(values, "x.y.z") == 2
    for path in ("a.b.2.c", "a.b.-1", "a.c", "b", "a.b.0.c.d", ""):
        assert lookup(values, path) is MISSING


def test_replacing_changes_nothing_in_place() -> None:
    values = {"a": {"b": ["1", "2"]}, "c": 3}
    assert replace(values, "a.b.1", "new") == {"a": {"b": ["1", "new"]}, "c": 3}
    assert values == {"a": {"b": ["1", "2"]}, "c": 3}


@pytest.mark.parametrize(
    ("text", "how", "expected"),
    [
        ('["a", 1]', "json", ["a", 1]),
        ("['a', 1]", "literal", ["a", 1]),
        ("  [1]", "literal", [1]),
        ("['a']", "list", ["a"]),
        ('["a"]', "list", ["a"]),
        ("a\n\n b ", "list", ["a", "b"]),
        ("1 egg (large, fresh), salt; pepper", "list", ["1 egg (large, fresh)", "salt", "pepper"]),
        ("", "list", []),
    ],
)
def test_cells_that_hold_lists(text: str, how: str, expected: list[Any]) -> None:
    assert parse_cell(text, how) == expected


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("[1", "json"),
        ("__import__('os')", "literal"),
        ("[" * 5000 + "]" * 5000, "literal"),
        ("1" * (1 << 21), "literal"),
        ("", "literal"),
        ("['a", "list"),
        ("[1 2]", "list"),
    ],
)
def test_cells_that_cannot_be_read_reject_their_record(text: str, how: str) -> None:
    with pytest.raises(RecordError, match="cell is n"):
        parse_cell(text, how)


def test_parse_reads_before_the_paths_and_says_the_column() -> None:
    found = record({"meta": '{"tags": ["a", "b"]}'}, parse={"meta": "json"}, fields={"tag": "meta.tags.1"})
    assert found.fields == {"tag": "b"}
    with pytest.raises(RecordError, match=r"cell is not JSON: .*\(column 'meta'\)"):
        record({"meta": "{"}, parse={"meta": "json"})


def test_without_fields_every_column_is_one() -> None:
    found = record({"title": "Soup", "n": 3})
    assert found.fields == {"title": "Soup", "n": 3}
    assert (found.id, found.file, found.line) == ("a.jsonl:7", "a.jsonl", 7)


def test_group_cluster_task_keep_and_label() -> None:
    values = {"g": "x", "h": 3.0, "c": "", "t": True, "k": [1], "y": 0, "z": 1, "id": 12.0}
    found = record(values, id="id", group=["g", "h"], cluster="c", task="t", keep=["k", "none"], label=["y", "z"])
    assert (found.id, found.group, found.cluster, found.task) == ("12", "x & 3", None, "true")
    assert found.keep == {"k": [1], "none": None}
    assert found.label == [0, 1]
    assert record({"g": ["b", "a"]}, group="g").group == "a & b"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"fields": {"title": "titel"}}, "missing column: 'titel'"),
        ({"id": "empty"}, "empty id: column 'empty'"),
        ({"label": "none"}, "missing column: 'none'"),
        ({"messages": "none"}, "missing column: 'none'"),
        ({"spans": {"s": {"field": "n", "offsets": "o"}}}, "the field 'n' is no text"),
        ({"spans": {"s": {"field": "title", "offsets": "far"}}}, r"\[2, 9\) in 4 characters"),
        ({"spans": {"s": {"field": "title", "offsets": "n"}}}, "no character offsets"),
        ({"spans": {"s": {"field": "title", "offsets": "title"}}}, "write data.parse.title=literal"),
    ],
)
def test_a_record_that_cannot_be_mapped_says_why(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        record({"title": "Soup", "empty": " ", "n": 3, "o": [], "far": [[2, 9]]}, **data)


def test_spans_are_half_open_intervals_of_a_field() -> None:
    data = {"fields": {"t": "text"}, "spans": {"s": {"field": "t", "offsets": "o"}}}
    assert record({"text": "abcdef", "o": [0, 1, 4]}, **data).spans == {"s": ("t", ((0, 2), (4, 5)))}
    assert record({"text": "abcdef", "o": [[4, 6], [2, 2]]}, **data).spans == {"s": ("t", ((4, 6),))}
    assert record({"text": "abcdef", "o": []}, **data).spans == {"s": ("t", ())}


def test_normalize_reaches_every_text() -> None:
    found = record(
        {"a": " e\u0301  x ", "b": ["A ", {"c": "D "}], "m": [{"role": "user", "content": " Q "}]},
        normalize=["nfc", "collapse_whitespace", "lower"],
        fields={"a": "a", "b": "b"},
        messages="m",
    )
    assert found.fields == {"a": "é x", "b": ["a", {"c": "d"}]}
    assert found.messages == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("nfc", "e\u0301", "é"),
        ("nfkc", "½ ﬁ", "1⁄2 fi"),
        ("strip", " a\n", "a"),
        ("collapse_whitespace", "a \n\tb", "a b"),
        ("collapse_spaces", "a \t b\n\n\n\nc", "a b\n\nc"),
        ("lower", "AÉ", "aé"),
        ("unescape_html", "a &amp; b", "a & b"),
        ("straight_quotes", "“a” ‘b’", "\"a\" 'b'"),
        ("remove_control", "a\x07b\tc\n", "ab\tc\n"),
        ("mask_urls", "see https://a.b/c?d now", "see <url> now"),
        ("mask_users", "hi @user_1, me@host", "hi <user>, me@host"),
        ("uk_spelling", "Color of a theater", "Colour of a theatre"),
    ],
)
def test_text_steps(step: str, text: str, expected: str) -> None:
    assert normalize(text, steps_of([step])) == expected


def test_every_text_step_is_tested_and_stable() -> None:
    marks = [mark for mark in test_text_steps.pytestmark if mark.name == "parametrize"]
    assert {case[0] for case in marks[0].args[1]} == set(STEPS)


def test_a_mapping_that_no_record_could_follow_is_refused_first() -> None:
    with pytest.raises(InputError, match="did you mean 'nfkc'"):
        check_mapping(DataConfig(normalize=["nfkcc"]))
    spans = {"s": {"field": "t", "offsets": "o"}}
    with pytest.raises(ConfigError, match=r"offsets of data.spans.s"):
        check_mapping(DataConfig(normalize=["lower"], spans=spans))
    with pytest.raises(ConfigError, match="names no field"):
        check_mapping(DataConfig(fields={"text": "text"}, spans=spans))
