"""The session of `lossmith chat` in a terminal: lines with history, answers as they are written."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
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
        _say(carry_out(session, f"{SIGN}show"))
        for answerer in session.opened:
            for note in answerer.notes:
                _say(f"note: {note}")
        _say(f"Enter asks, Alt-Enter begins a new line, {SIGN}help tells the rest.")
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
            _say(f"error: {error}")
        except Exception as error:
            # What was said would be lost with the session, whatever one answer met.
            _say(f"error: {type(error).__name__}: {error}")


def _question(session: Session, lines: PromptSession[str]) -> dict[str, Any] | None:
    """The values that are typed, one for each field; None where a command was given, or nothing."""
    names = session.fields
    if len(names) < 2:
        text = _line(session, lines, f"{names[0]}> " if names and names != ("text",) else "> ")
        return None if text is None or not text.strip() else dict.fromkeys(names, text)
    fields: dict[str, Any] = {}
    for name in names:
        if name == CRITERION and session.criteria:
            _say("\n".join(f"  {key}: {shown(text)}" for key, text in session.criteria.items()))
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
        _say(carry_out(session, text))
        return None
    return text


def _answer(session: Session, fields: Mapping[str, Any], *, quiet: bool) -> None:
    several = len(session.voices) > 1
    headed: list[str] = []
    begun: set[str] = set()
    waiting = _Waiting()

    def head(voice: Voice) -> None:
        if several and voice.name not in headed:
            _say(f"{shown(voice.name)}:")
        headed.append(voice.name)

    def tell(voice: Voice, piece: str, tokens: int) -> None:
        head(voice)
        if piece:
            waiting.end()
            begun.add(voice.name)
            sys.stdout.write(shown(piece))
            sys.stdout.flush()
        elif voice.name not in begun:
            waiting.show(f"{tokens} tokens")

    for voice, reply in session.replies(fields, tell=tell):
        waiting.end()
        head(voice)
        if reply.text is not None:
            typer.echo("")
        _beside(reply, quiet=quiet)


class _Waiting:
    """A line that says how far an answer is which cannot be shown yet, and goes when there is something to show."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, text: str) -> None:
        sys.stdout.write("\r" + text.ljust(len(self._shown)))
        sys.stdout.flush()
        self._shown = text

    def end(self) -> None:
        if self._shown:
            # Blanks, not a sign of the terminal: a dumb one has none that erases.
            sys.stdout.write("\r" + " " * len(self._shown) + "\r")
            self._shown = ""


def _beside(reply: Reply, *, quiet: bool) -> None:
    for line in scored_lines(reply):
        _say(line)
    if reply.error is not None:
        _say(f"error: {shown(reply.error)}")
    if not quiet:
        for note in about(reply):
            _say(note)
        if reply.text is not None:
            _say(f"({reply.tokens} tokens)")


def _say(text: str) -> None:
    """Print what is no answer of a model, broken between words where the terminal ends."""
    columns = shutil.get_terminal_size().columns
    for line in text.split("\n"):
        indent = " " * (4 + len(line) - len(line.lstrip()))
        typer.echo("\n".join(wrap(line, columns, subsequent_indent=indent, break_on_hyphens=False)))


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
