"""Structure of answers: what reads, what keeps to the schema, which fields are right."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.metrics.structure import field_f1, json_valid, schema_valid

SCHEMA = {
    "type": "object",
    "properties": {"dish": {"type": "string"}, "eggs": {"type": "integer"}},
    "required": ["dish"],
    "additionalProperties": False,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab ", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "reads", "keeps"),
    [
        ('{"dish": "soup", "eggs": 2}', 1, 1),
        (' {"dish": "soup"}\n', 1, 1),
        ('{"eggs": 2}', 1, 0),
        ('{"dish": "soup", "eggs": 2.5}', 1, 0),
        ('{"dish": "soup", "salt": 1}', 1, 0),
        ("[]", 1, 0),
        ('{"dish": "soup"', 0, 0),
        ('{"dish": "soup"} and more', 0, 0),
        ('```json\n{"dish": "soup"}\n```', 0, 0),
        ('{"dish": "a", "dish": "b"}', 0, 0),
        ('{"dish": NaN}', 0, 0),
        ("[" * 100_000, 0, 0),
        ("", 0, 0),
        (None, 0, 0),
    ],
)
def test_what_reads_and_what_keeps_to_the_schema(text, reads, keeps):
    assert json_valid([text]).value() == reads
    assert schema_valid([text], [SCHEMA]).value() == keeps


def test_what_breaks_a_schema_most_is_told_without_the_text():
    made = schema_valid(['{"dish": "secret", "eggs": "many"}', None, '{"eggs": 1}', '{"eggs": 2}'], [SCHEMA] * 4)
    assert made.notes == (
        "2 of 4 break the schema: the key 'dish' is missing",
        "1 of 4 break the schema: 'eggs' is a text, no whole number",
        "1 of 4 break the schema: there is no answer",
    )


@pytest.mark.parametrize(
    ("said", "gold", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, 1.0),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 0.5),
        ({"a": 1}, {"a": 1, "b": 3}, 2 / 3),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, 1.0),
        ({"a": ["x", "x"]}, {"a": ["x"]}, 2 / 3),
        ({"a": " two  eggs "}, {"a": "two eggs"}, 1.0),
        ({"a": True}, {"a": 1}, 0.0),
        ({"a": "1"}, {"a": 1}, 0.0),
        ({"a": None}, {"a": "None"}, 0.0),
        ({"a": []}, {"a": []}, 1.0),
        ({"a": []}, {"a": {}}, 0.0),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, 0.0),
    ],
)
def test_fields_are_paths_and_values(said, gold, expected):
    assert field_f1([json.dumps(said)], [json.dumps(gold)]).value() == pytest.approx(expected)


def test_failures_have_no_field_and_the_nearest_reference_counts():
    gold = '{"a": 1}'
    assert field_f1([None, "", "no JSON", gold], [gold] * 4).value() == 0.25
    assert field_f1(['{"a": 2}'], [[gold, '{"a": 2}']]).value() == 1.0
    some = field_f1([gold, gold], [gold, "a text"])
    assert (some.value(), some.n) == (1.0, 1)
    assert field_f1([gold], ["a text"]).value() is None


@given(VALUES, VALUES)
def test_f1_of_fields_is_even_between_the_sides_and_whole_for_equals(one, other):
    first, second = json.dumps(one), json.dumps(other)
    assert field_f1([first], [second]).value() == pytest.approx(field_f1([second], [first]).value())
    assert field_f1([first], [first]).value() == 1.0
