"""What can be changed in a session while it goes on: one row for each command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lossmith.chat.asking import Answerer
from lossmith.chat.session import OWN, Session, read_settings, voices_of, with_setting
from lossmith.config.compose import group_names
from lossmith.config.generation_presets import GROUP
from lossmith.errors import InputError, unknown_name

SIGN = "/"


@dataclass(frozen=True)
class CommandRow:
    """A command: what stands after its name, what it does in one line, and the function that does it.

    The function is given the words after the name, or all of them as one where `whole`; what it returns is shown.
    """

    name: str
    arguments: str
    told: str
    carry_out: Callable[[Session, Sequence[str]], str]
    whole: bool = False


def carry_out(session: Session, line: str) -> str:
    """Carry out a line that begins with the sign of commands; what is to be shown of it.

    Raises InputError, with the nearest name, for a command that there is none of, and what the command itself refuses.
    """
    name, _, rest = line.removeprefix(SIGN).strip().partition(" ")
    if name not in COMMANDS:
        raise unknown_name("command", SIGN + name, [SIGN + known for known in COMMANDS])
    row = COMMANDS[name]
    if row.whole:
        return row.carry_out(session, [rest.strip()] if rest.strip() else [])
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise InputError(f"{SIGN}{name} cannot be read: {error}", got=rest, expected=row.arguments) from None
    return row.carry_out(session, words)


def _help(_session: Session, _words: Sequence[str]) -> str:
    heads = {name: f"{SIGN}{name} {row.arguments}".rstrip() for name, row in COMMANDS.items()}
    width = max(map(len, heads.values()))
    rows = [f"{heads[name]:<{width}}  {row.told}" for name, row in COMMANDS.items()]
    return "\n".join([*rows, f"a question that begins with {SIGN} is written {SIGN}{SIGN}"])


def _show(session: Session, _words: Sequence[str]) -> str:
    lines = []
    for voice in session.voices:
        how = voice.how()
        told = ", ".join(f"{key}={value}" for key, value in how.settings().items()) if how else "scores"
        lines.append(f"{voice.name}: {voice.answerer.kind}, {told}")
    if session.system is not None:
        lines.append(f"system: {session.system}")
    return "\n".join([*lines, f"seed of the next answer: {session.next_seed}"])


def _preset(session: Session, words: Sequence[str]) -> str:
    if not words:
        return f"presets: {', '.join(group_names(GROUP))}, a YAML file, or '{OWN}'; now: {_names(session)}"
    wanted = [None if word == OWN else word for word in words]
    session.voices = voices_of(_opened(session), wanted)
    return f"now: {_names(session)}"


def _set(session: Session, words: Sequence[str]) -> str:
    if not words:
        raise InputError("nothing is set", got="no setting", expected="temperature=0.8, top_p=0.9 and the like")
    session.voices = with_setting(session.voices, read_settings(words))
    return _show(session, ())


def _model(session: Session, words: Sequence[str]) -> str:
    if not words:
        return f"now: {_names(session)}"
    there = {answerer.name: answerer for answerer in _opened(session)}
    opened = [there[name] if name in there else session.open(name) for name in dict.fromkeys(words)]
    return _with(session, opened)


def _compare(session: Session, words: Sequence[str]) -> str:
    if not words:
        raise InputError("no model is named to compare with", got=f"{SIGN}compare", expected=f"{SIGN}compare MODEL")
    return _model(session, [*(answerer.name for answerer in _opened(session)), *words])


def _with(session: Session, opened: Sequence[Answerer]) -> str:
    presets = list(dict.fromkeys(voice.preset for voice in session.voices if voice.answerer.own is not None))
    session.voices = voices_of(opened, presets if any(answerer.own is not None for answerer in opened) else [])
    notes = [f"note: {note}" for answerer in opened for note in answerer.notes]
    return "\n".join([*notes, f"now: {_names(session)}"])


def _new(session: Session, _words: Sequence[str]) -> str:
    session.forget()
    return "a new conversation"


def _system(session: Session, words: Sequence[str]) -> str:
    session.system = words[0] if words else None
    session.forget()
    return "a new conversation, " + ("with this system message" if words else "without a system message")


def _seed(session: Session, words: Sequence[str]) -> str:
    if len(words) != 1 or not words[0].isdecimal():
        raise InputError("a seed is a whole number", got=" ".join(words) or "nothing", expected=f"{SIGN}seed 7")
    session.next_seed = int(words[0])
    return f"seed of the next answer: {session.next_seed}"


def _save(session: Session, words: Sequence[str]) -> str:
    if not words:
        raise InputError("no file is named", got=f"{SIGN}save", expected=f"{SIGN}save chat.jsonl, or chat.md")
    path = Path(words[0]).expanduser()
    session.save(path)
    return f"{len(session.said)} questions: {path}"


def _quit(_session: Session, _words: Sequence[str]) -> str:
    raise EOFError


def _opened(session: Session) -> list[Answerer]:
    return list({id(voice.answerer): voice.answerer for voice in session.voices}.values())


def _names(session: Session) -> str:
    return ", ".join(voice.name for voice in session.voices)


COMMANDS = {
    row.name: row
    for row in (
        CommandRow("help", "", "these lines", _help),
        CommandRow("show", "", "who answers, and how", _show),
        CommandRow("preset", "[NAME...]", "answer by a generation preset; several answer side by side", _preset),
        CommandRow("set", "KEY=VALUE...", "change single settings, as temperature=0.8", _set),
        CommandRow("model", "NAME...", "ask another model; several answer side by side", _model),
        CommandRow("compare", "MODEL...", "ask these models beside those that answer now", _compare),
        CommandRow("new", "", "begin a new conversation", _new),
        CommandRow("system", "[TEXT]", "begin a new conversation with this system message", _system, whole=True),
        CommandRow("seed", "NUMBER", "draw the next answer by this seed", _seed),
        CommandRow("save", "FILE", "write what was said, to .jsonl or .md", _save, whole=True),
        CommandRow("quit", "", "leave; so does Ctrl-D", _quit),
    )
}
