"""Every kind of model, asked one question."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.command_line import Command, in_this_process


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_this_process(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("kind", "asked", "told"),
    [
        ("chat", "mint", "text"),
        ("fields", '{"herb": "mint", "dish": "tea"}', "text"),
        ("plain", "Use", "text"),
        ("pairs", "mint", "text"),
        ("head", "Use mint", "scores"),
        ("words", "Use mint", "scores"),
        ("documents", "Use mint fresh from the pot, number 3. And then more.", "evidence"),
    ],
)
def test_a_run_is_asked_through_its_template(
    call: Command, runs_of: Callable[[str], str], kind: str, asked: str, told: str
) -> None:
    done = call("chat", runs_of(kind), "--once", asked, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    [reply] = found["replies"]
    assert told in reply and "error" not in reply
