"""The session of `lossmith chat` in a terminal: lines with history, answers as they are written."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from lossmith.chat.asking import Reply
from lossmith.chat.commands import COMMANDS, SIGN, carry_out
from lossmith.chat.session import Session, Voice
from lossmith.cli.chat_screen import about, scored_lines, shown
from lossmith.data.cache import cache_folder
from lossmith.errors import LossmithError
from lossmith.labels import CRITERION

HISTORY = "chat_history"


def talk(session: Session, *, quiet: bool) -> None:
    """Ask and answer until Ctrl-D or /quit. Ctrl-C stops an answer, or clears what was typed."""
    lines: PromptSession[str] = PromptSession(
        history=FileHistory(str(_private(cache_folder() / HISTORY))),
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation="... ",
        completer=WordCompleter([SIGN + name for name in COMMANDS], sentence=True),
        complete_while_typing=False,
    )
    if not quiet:
        typer.echo(carry_out(session, f"{SIGN}show"))
        for voice in session.voices:
            for note in voice.answerer.notes:
                typer.echo(f"note: {note}")
        typer.echo(f"Enter asks, Alt-Enter begins a new line, {SIGN}help tells the rest.")
    while True:
        try:
            fields = _question(session, lines)
            if fields is not None:
                _answer(session, fields, quiet=quiet)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        except LossmithError as error:
            typer.echo(f"error: {error}")


def _question(session: Session, lines: PromptSession[str]) -> dict[str, Any] | None:
    """The values that are typed, one for each field; None where a command was given, or nothing."""
    names = session.fields
    if len(names) < 2:
        text = _line(session, lines, f"{names[0]}> " if names and names != ("text",) else "> ")
        return None if text is None or not text.strip() else dict.fromkeys(names, text)
    fields: dict[str, Any] = {}
    for name in names:
        if name == CRITERION and session.criteria:
            typer.echo("\n".join(f"  {key}: {shown(text)}" for key, text in session.criteria.items()))
        text = _line(session, lines, f"{name}> ")
        if text is None:
            return None
        fields[name] = text
    return fields if any(value.strip() for value in fields.values()) else None


def _line(session: Session, lines: PromptSession[str], sign: str) -> str | None:
    """What is typed; a command is carried out at once, and is no text."""
    text = lines.prompt(sign)
    if text.startswith(2 * SIGN):
        return text[len(SIGN) :]
    if text.startswith(SIGN):
        typer.echo(carry_out(session, text))
        return None
    return text


def _answer(session: Session, fields: Mapping[str, Any], *, quiet: bool) -> None:
    several = len(session.voices) > 1
    headed: list[str] = []

    def head(voice: Voice) -> None:
        if several and voice.name not in headed:
            typer.echo(f"{shown(voice.name)}:")
        headed.append(voice.name)

    def tell(voice: Voice, piece: str) -> None:
        head(voice)
        sys.stdout.write(shown(piece))
        sys.stdout.flush()

    for voice, reply in session.replies(fields, tell=tell):
        head(voice)
        if reply.text is not None:
            typer.echo("")
        _beside(reply, quiet=quiet)


def _beside(reply: Reply, *, quiet: bool) -> None:
    for line in scored_lines(reply):
        typer.echo(line)
    if reply.error is not None:
        typer.echo(f"error: {shown(reply.error)}")
    if not quiet:
        for note in about(reply):
            typer.echo(note)
        if reply.text is not None:
            typer.echo(f"({reply.tokens} tokens)")


def _keys() -> KeyBindings:
    """Enter asks; Alt-Enter, or Escape and then Enter, begins a new line. What is pasted keeps its lines."""
    keys = KeyBindings()

    @keys.add("enter")
    def _ask(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _go_on(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _private(file: Path) -> Path:
    """The file of what was typed, which nobody else may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    return file
