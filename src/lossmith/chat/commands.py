"""What can be changed in a session while it goes on: one row for each command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.chat.session import OWN, Session, read_settings, require_writer
from lossmith.config.compose import group_names
from lossmith.config.generate import ABOUT_THE_ANSWER
from lossmith.config.generation_presets import GROUP
from lossmith.errors import ConfigError, InputError, unknown_name

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
    require_writer(session.opened, f"the preset {words[0]}")
    # A preset is a whole way of decoding: what was changed of another one would make it none.
    kept, dropped = _about_the_answer(session.changes)
    session.arrange(session.opened, [None if word == OWN else word for word in words], kept)
    return "\n".join([*dropped, f"now: {_names(session)}"])


def _set(session: Session, words: Sequence[str]) -> str:
    if not words:
        raise InputError("nothing is set", got="no setting", expected="temperature=0.8, top_p=0.9 and the like")
    require_writer(session.opened, words[0])
    session.arrange(session.opened, session.presets, {**session.changes, **read_settings(words)})
    return _show(session, ())


def _model(session: Session, words: Sequence[str]) -> str:
    if not words:
        return f"now: {_names(session)}"
    there = {answerer.name: answerer for answerer in session.opened}
    opened = [there[name] if name in there else session.open(name) for name in dict.fromkeys(words)]
    told = [f"note: {note}" for answerer in opened for note in answerer.notes]
    try:
        session.arrange(opened, session.presets, session.changes)
    except ConfigError as error:
        # What another model's own settings have no place for.
        kept, dropped = _about_the_answer(session.changes)
        session.arrange(opened, session.presets, kept)
        told += [*dropped, f"note: {error.message}"]
    return "\n".join([*told, f"now: {_names(session)}"])


def _compare(session: Session, words: Sequence[str]) -> str:
    if not words:
        raise InputError("no model is named to compare with", got=f"{SIGN}compare", expected=f"{SIGN}compare MODEL")
    return _model(session, [*(answerer.name for answerer in session.opened), *words])


def _about_the_answer(changes: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Of changed settings those that go with every way of decoding, and what is said of the others."""
    kept = {key: value for key, value in changes.items() if key in ABOUT_THE_ANSWER}
    dropped = [f"{key}={value}" for key, value in changes.items() if key not in kept]
    return kept, [f"note: no longer set: {', '.join(dropped)} ({SIGN}set sets them again)"] if dropped else []


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
    return f"{len(session.said)} question{'' if len(session.said) == 1 else 's'} written to {path}"


def _quit(_session: Session, _words: Sequence[str]) -> str:
    raise EOFError


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
