"""A session without its terminal: what is remembered, changed, interrupted and written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lossmith.chat.commands import COMMANDS, carry_out
from lossmith.chat.session import Session, Voice, open_session
from lossmith.chat.streaming import TextPieces
from lossmith.chat.transcript import Said, write_transcript
from lossmith.errors import InputError


@pytest.fixture
def session(runs_of: Callable[[str], str]) -> Session:
    made = open_session([runs_of("messages")], [])
    carry_out(made, "/set max_new_tokens=6 do_sample=true")
    return made


def said_to(session: Session, text: str) -> str:
    [(_, reply)] = session.replies({"text": text})
    assert reply.error is None
    return str(reply.text)


def test_a_conversation_is_remembered_until_a_new_one(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    template = type(session.voices[0].answerer.stored.template)
    plain = template.render_messages
    monkeypatch.setattr(
        template,
        "render_messages",
        lambda self, messages, tokenizer: read.append(list(messages)) or plain(self, messages, tokenizer),
    )
    carry_out(session, "/system Speak of herbs.")
    first = said_to(session, "mint?")
    said_to(session, "and basil?")
    begun = [{"role": "system", "content": "Speak of herbs."}, {"role": "user", "content": "mint?"}]
    assert read[0] == begun
    assert read[1] == [*begun, {"role": "assistant", "content": first}, {"role": "user", "content": "and basil?"}]
    carry_out(session, "/new")
    said_to(session, "thyme?")
    assert read[2] == [begun[0], {"role": "user", "content": "thyme?"}]


def test_the_same_seed_gives_the_same_conversation(session: Session) -> None:
    first = [said_to(session, "mint?"), said_to(session, "mint?")]
    carry_out(session, "/new")
    carry_out(session, "/seed 0")
    assert [said_to(session, "mint?"), said_to(session, "mint?")] == first
    assert [one.seed for one in session.said] == [0, 1, 0, 1]


def test_pieces_make_the_answer_and_an_interrupt_keeps_what_there_is(session: Session) -> None:
    carry_out(session, "/set max_new_tokens=40 do_sample=false")
    pieces: list[str] = []
    [(_, whole)] = session.replies({"text": "mint?"}, tell=lambda _, piece: pieces.append(piece))
    assert "".join(pieces) == whole.text and (len(pieces) > 1 or len(str(whole.text)) < 2)

    def interrupt(_: Voice, piece: str) -> None:
        raise KeyboardInterrupt

    carry_out(session, "/new")
    carry_out(session, "/preset greedy beams")
    [(voice, stopped)] = session.replies({"text": "mint?"}, tell=interrupt)
    assert voice.preset == "greedy" and stopped.notes == ("stopped",)
    assert str(whole.text).startswith(str(stopped.text))


def test_models_are_switched_and_compared(session: Session, runs_of: Callable[[str], str]) -> None:
    opened = session.voices[0].answerer
    carry_out(session, f"/compare {runs_of('pairs')}")
    assert [voice.answerer.name for voice in session.voices] == [opened.name, runs_of("pairs")]
    assert session.voices[0].answerer is opened
    assert session.fields == ("text", "herb")
    carry_out(session, f"/model {runs_of('pairs')}")
    assert [voice.answerer.name for voice in session.voices] == [runs_of("pairs")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/presett beams", "did you mean '/preset'"),
        ("/preset beems", "did you mean 'beams'"),
        ("/set temperature", "sets nothing"),
        ("/set temperatur=1", "temperature"),
        ("/seed many", "whole number"),
        ("/save", "no file"),
        ("/save talk.txt", "no format"),
        ("/model nowhere/at/all", "not found"),
        ('/model "open', "cannot be read"),
    ],
)
def test_a_command_that_cannot_be_leaves_all_as_it_was(session: Session, line: str, says: str) -> None:
    before = list(session.voices)
    with pytest.raises(InputError, match=says):
        carry_out(session, line)
    assert session.voices == before


def test_help_tells_every_command(session: Session) -> None:
    told = carry_out(session, "/help")
    assert len(COMMANDS) == 11 and all(f"/{name}" in told for name in COMMANDS)


def test_a_transcript_holds_what_was_said_whatever_is_in_it(tmp_path: Path) -> None:
    said = Said({"text": "a ``` fence\n# and a head 🌿"}, seed=0)
    said.replies.append({"voice": "m", "text": "````\nx", "seconds": 0.1})
    write_transcript(tmp_path / "t.md", [said], system="Be brief.")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines[lines.index("# and a head 🌿") + 1] == "````"
    assert lines[lines.index("x") - 2 : lines.index("x") + 2] == ["`````text", "````", "x", "`````"]
    write_transcript(tmp_path / "t.jsonl", [said])
    assert json.loads((tmp_path / "t.jsonl").read_text())["asked"] == said.asked


class Letters:
    """A tokenizer of bytes."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return bytes(ids).decode("utf-8", "replace")


def test_half_a_character_is_held_back() -> None:
    told: list[str] = []
    pieces = TextPieces(Letters(), told.append)
    text = "é🌿!"

    def growing() -> Iterator[list[int]]:
        for end in range(1, len(text.encode()) + 1):
            yield list(text.encode()[:end])

    for ids in growing():
        pieces(ids)
    pieces.end(text)
    assert told == ["é", "🌿", "!"]
