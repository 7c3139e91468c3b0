"""The session as it is driven by hand, in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chat.terminal import Terminal

UP, ALT_ENTER, CTRL_D = "\x1b[A", "\x1b\r", "\x04"


def test_a_session_from_the_first_question_to_the_transcript(
    runs_of: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "lossmith.cli", "chat", runs_of("pairs"), "--device", "cpu"]
    with Terminal(command, folder=tmp_path) as terminal:
        assert "seq2seq" in terminal.wait("Enter asks")

        def type_at(sign: str, keys: str, shows: str) -> str:
            # Before the sign is there the terminal would take the keys itself.
            terminal.wait(sign)
            terminal.type(keys)
            return terminal.wait(shows)

        type_at("herb>", "/set max_new_tokens=6\r", "seed of the next answer: 0")
        type_at("herb>", f"basil{ALT_ENTER}and thyme\r", "tokens)")
        type_at("herb>", "/presett beams\r", "did you mean '/preset'")
        type_at("herb>", "/set top_p=0.5\r", "nothing is sampled")
        type_at("herb>", "/preset greedy sampling\r", "(sampling)")
        type_at("herb>", f"{UP * 4}\r", "and thyme")
        terminal.wait("(greedy):")
        terminal.wait("(sampling):")
        terminal.wait("tokens)")
        type_at("herb>", f"/model {runs_of('head')}\r", "now: ")
        type_at("use>", "Use mint\r", "predicted: ")
        type_at("use>", "/save talk.jsonl\r", "3 questions")
        type_at("use>", "/save talk.md\r", "3 questions")
        terminal.wait("use>")
        terminal.type(CTRL_D)
        assert terminal.leaves() == 0
    said = [json.loads(line) for line in (tmp_path / "talk.jsonl").read_text().splitlines()]
    assert [one["asked"] for one in said] == [{"herb": "basil\nand thyme"}] * 2 + [{"use": "Use mint"}]
    assert [len(one["replies"]) for one in said] == [1, 2, 1]
    assert said[0]["replies"][0]["tokens"] <= 6
    assert "basil\nand thyme" in (tmp_path / "talk.md").read_text()
    history = tmp_path / "cache" / "chat_history"
    assert "and thyme" in history.read_text() and history.stat().st_mode & 0o077 == 0
