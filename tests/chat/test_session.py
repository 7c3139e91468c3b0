"""A session without its terminal: what is remembered, changed, interrupted and written down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lossmith.chat.asking import LeftError, Reply
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
    [(_, whole)] = session.replies({"text": "mint?"}, tell=lambda _, piece, tokens: pieces.append(piece))
    assert "".join(pieces) == whole.text and (len(pieces) > 1 or len(str(whole.text)) < 2)
    carry_out(session, "/new")
    carry_out(session, "/preset greedy beams")
    [(voice, stopped)] = session.replies({"text": "mint?"}, tell=stop_at(4, KeyboardInterrupt))
    assert (voice.preset, stopped.finished, stopped.stopped, stopped.tokens) == ("greedy", False, True, 4)
    assert str(whole.text).startswith(str(stopped.text))
    kept = session.said[-1].as_json()["replies"][0]
    assert kept["stopped"] is True and kept["settings"] == {"max_new_tokens": 40, "do_sample": False}


def stop_at(last: int, reason: type[BaseException]) -> Callable[[Voice, str, int], None]:
    def tell(_: Voice, piece: str, tokens: int) -> None:
        if tokens == last:
            raise reason

    return tell


def test_beams_tell_that_they_work_and_can_be_stopped(session: Session) -> None:
    carry_out(session, "/preset beams")
    told: list[tuple[str, int]] = []
    [(_, whole)] = session.replies({"text": "mint?"}, tell=lambda _, piece, tokens: told.append((piece, tokens)))
    assert [tokens for piece, tokens in told[:-1] if not piece] == list(range(len(told) - 1)) and len(told) > 2
    assert told[-1] == (whole.text, whole.tokens)
    [(_, stopped)] = session.replies({"text": "mint?"}, tell=stop_at(3, LeftError))
    assert stopped.stopped and stopped.tokens == 3 and not stopped.text


def test_models_are_switched_and_compared(session: Session, runs_of: Callable[[str], str]) -> None:
    opened = session.voices[0].answerer
    carry_out(session, f"/compare {runs_of('pairs')}")
    assert [voice.answerer.name for voice in session.voices] == [opened.name, runs_of("pairs")]
    assert session.voices[0].answerer is opened
    # Each reads one text, whatever its name there.
    assert session.fields == ("text",)
    assert [reply.error for _, reply in session.replies({"text": "mint?"})] == [None, None]
    carry_out(session, f"/compare {runs_of('fields')}")
    assert session.fields == ("text", "herb", "dish")
    carry_out(session, f"/model {runs_of('pairs')}")
    assert [voice.answerer.name for voice in session.voices] == [runs_of("pairs")]


def test_what_was_set_goes_with_another_model_and_only_in_part_with_another_preset(
    session: Session, runs_of: Callable[[str], str]
) -> None:
    carry_out(session, "/set temperature=0.5 max_new_tokens=7 top_p=0.9")
    carry_out(session, f"/model {runs_of('head')}")
    carry_out(session, f"/model {runs_of('pairs')}")
    [voice] = session.voices
    assert voice.how().settings() == {"max_new_tokens": 7, "do_sample": True, "temperature": 0.5, "top_p": 0.9}
    told = carry_out(session, "/preset greedy beams")
    assert "no longer set: do_sample=True, temperature=0.5, top_p=0.9" in told
    assert [voice.how().max_new_tokens for voice in session.voices] == [7, 7]
    carry_out(session, f"/model {runs_of('messages')}")
    assert [(voice.preset, voice.how().max_new_tokens) for voice in session.voices] == [("greedy", 7), ("beams", 7)]


def test_settings_that_another_model_has_no_place_for_are_told(
    session: Session, runs_of: Callable[[str], str], tmp_path: Path
) -> None:
    run = tmp_path / "beams"
    shutil.copytree(runs_of("pairs"), run)
    values = yaml.safe_load((run / "config.yaml").read_text())
    values["generate"] = {"num_beams": 2, "length_penalty": 1.1}
    (run / "config.yaml").write_text(yaml.safe_dump(values))
    carry_out(session, "/set num_beams=1")
    told = carry_out(session, f"/model {run}")
    assert "no longer set: do_sample=True, num_beams=1" in told and "there is one beam" in told
    assert session.voices[0].how().settings() == {
        "max_new_tokens": 6,
        "do_sample": False,
        "num_beams": 2,
        "length_penalty": 1.1,
    }
    carry_out(session, f"/model {runs_of('head')}")
    with pytest.raises(InputError, match="generates nothing"):
        carry_out(session, "/set temperature=0.5")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/presett beams", "did you mean '/preset'"),
        ("/preset beems", "did you mean 'beams'"),
        ("/set temperature", "sets nothing"),
        ("/set temperatur=1", "temperature"),
        ("/set temperature=[1", "cannot be read"),
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
    said.add("m", Reply("````\nx", finished=False, tokens=3, notes=("its end | was cut",)), settings={}, seconds=0.1)
    write_transcript(tmp_path / "t.md", [said], system="Be brief.")
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines[lines.index("# and a head 🌿") + 1] == "````"
    assert lines[lines.index("x") - 2 : lines.index("x") + 2] == ["`````text", "````", "x", "`````"]
    assert {"Cut after 3 tokens.", "Note: its end \\| was cut"} <= set(lines)
    write_transcript(tmp_path / "t.jsonl", [said])
    assert json.loads((tmp_path / "t.jsonl").read_text())["asked"] == said.asked


class Letters:
    """A tokenizer of bytes."""

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return bytes(ids).decode("utf-8", "replace")


def test_half_a_character_is_held_back() -> None:
    told: list[str] = []
    pieces = TextPieces(Letters(), lambda piece, _: told.append(piece))
    text = "é🌿!"

    def growing() -> Iterator[list[int]]:
        for end in range(1, len(text.encode()) + 1):
            yield list(text.encode()[:end])

    for ids in growing():
        pieces(ids)
    pieces.end(text, len(text.encode()))
    assert [piece for piece in told if piece] == ["é", "🌿", "!"]
