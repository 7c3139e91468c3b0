from __future__ import annotations

import datetime
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.data.environment import compile_part, json_text, to_json
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError
from lossmith.spans.markers import Markers


def _write(text: str, **fields: object) -> str:
    return compile_part(text, "prompt").render(fields)


def test_values_are_written_as_people_write_them() -> None:
    assert _write("{{ a }}|{{ b }}|{{ c }}|{{ d }}|{{ e }}", a=None, b=True, c=145.0, d=0.1, e=float("nan")) == (
        "|true|145|0.1|"
    )
    assert _write("{{ a }}", a=["é", {"b": False}]) == '["é", {"b": false}]'
    assert _write("{{ a }} {{ b }}", a=np.float64(2.5), b=1e300) == "2.5 1e+300"


def test_line_breaks_of_a_template_stay() -> None:
    assert _write('{% span "a" %}{{ x }}{% endspan %}\n\n', x="y") == "y\n\n"


def test_a_missing_field_names_itself_the_template_and_the_nearest() -> None:
    with pytest.raises(RecordError) as error:
        _write("{{ ingredient }}", ingredients=["salt"], title="Soup")
    assert "template 'prompt' reads field 'ingredient'" in error.value.message
    assert error.value.fix == "did you mean 'ingredients'?"


@pytest.mark.parametrize(
    "text", ["{{ x | tojson }}", "{{ x | json_text }}", "{% for y in x %}{% endfor %}", "{{ 'a' ~ x }}", "{{ x.y }}"]
)
def test_a_missing_field_is_never_written_as_nothing(text: str) -> None:
    with pytest.raises(RecordError, match="field 'x'"):
        _write(text)


def test_a_missing_key_is_told_from_a_missing_field() -> None:
    with pytest.raises(RecordError, match="key 'colour'") as error:
        _write("{{ dish.colour }}", dish={"color": "red"})
    assert error.value.fix == "did you mean 'color'?"


def test_an_optional_field_is_asked_for() -> None:
    assert _write("{% if x is defined %}{{ x }}{% endif %}") == ""


@pytest.mark.parametrize("text", ["{{ 1 / 0 }}", "{{ x | join }}", "{{ ().__class__.__base__ }}", "{{ range(10**9) }}"])
def test_what_a_record_cannot_be_written_with_rejects_it(text: str) -> None:
    with pytest.raises(RecordError, match="template 'prompt' cannot be written for this record"):
        _write(text, x=3)


@pytest.mark.parametrize("text", ["{{ now() }}", "{{ x | random }}", "{{ lipsum() }}"])
def test_nothing_random_can_be_written(text: str) -> None:
    with pytest.raises((RecordError, ConfigError)):
        _write(text, x=[1, 2])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n{{ x ", "line 2"),
        ("{% span %}a{% endspan %}", "in quotes|unexpected|Expected"),
        ("{% span name %}a{% endspan %}", "the name in quotes"),
        ('{% span "answer" %}a{% endspan %}', "is taken"),
        ('{% span "-x" %}a{% endspan %}', "no term could name"),
        ('{% span "a" %}a', "endspan"),
        ("{{ x | nofilter }}", "nofilter"),
    ],
)
def test_a_broken_template_says_where(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compile_part(text, "prompt")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="template 'answer' is no text"):
        compile_part(3, "answer")


def test_json_keeps_order_and_unicode_and_writes_dates() -> None:
    value = {"z": "½ é 🍳", "a": [datetime.date(2026, 1, 2), Decimal("1.5"), np.int64(3)]}
    assert to_json(value) == '{"z": "½ é 🍳", "a": ["2026-01-02", 1.5, 3]}'


@given(st.text())
def test_json_text_is_the_inside_of_the_quotes(text: str) -> None:
    assert json.loads(f'"{json_text(text)}"') == text


def test_json_text_of_a_list_is_refused() -> None:
    with pytest.raises(RecordError, match="needs tojson"):
        _write("{{ x | json_text }}", x=["a"])


def test_marks_survive_inside_json_values_and_filters() -> None:
    text = (
        '{% set line %}{% span "item" %}{{ x }}{% endspan %}{% endset %}{{ {"b": [line], "a": line | upper} | tojson }}'
    )
    part = compile_part(text, "answer")
    plain = part.render({"x": 'sa"lt'})
    markers = Markers([plain])
    found = markers.read(part.render({"x": 'sa"lt'}, markers), plain, where="answer")
    assert plain == '{"b": ["sa\\"lt"], "a": "SA\\"LT"}'
    assert [plain[m.start : m.end] for m in found] == ['sa\\"lt', 'SA\\"LT']


def test_span_sees_loop_and_outer_variables() -> None:
    part = compile_part(
        '{% set sep = ", " %}{% for x in xs %}{% span "a" %}{{ loop.index }}{{ sep }}{{ x }}{% endspan %}{% endfor %}',
        "p",
    )
    assert part.render({"xs": ["b", "c"]}) == "1, b2, c"
    assert part.spans == {"a"}
    assert part.variables == {"xs"}
