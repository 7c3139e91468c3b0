"""`lossmith chat`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Json, Quiet


def chat(  # noqa: PLR0913 (each option of a command is a parameter)
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Runs, model folders, adapters, hub names.")],
    once: Annotated[
        str | None,
        typer.Option("--once", help="Ask this and leave; a JSON object for a template of several fields."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="What is piped in holds a question in every line, not one altogether.")
    ] = False,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", help="Generation preset, by name or file; several answer side by side."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A single setting of generation, as temperature=0.8.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="What a conversation begins with.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the first answer, where answers are drawn.", min=0)] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the conversation here: .jsonl, or .md to read.")
    ] = None,
    allow_other_template: Annotated[
        bool, typer.Option("--allow-other-template", help="Ask although the template differs from the trained one.")
    ] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Ask a model, or several, in the terminal: /help there tells what can be changed while you talk.

    A run is asked through its own template; what is piped in is one question.

    Example: lossmith chat runs/dreams --preset long-form --once "I was flying over the sea"
    """
    from lossmith.chat.opening import open_answerer
    from lossmith.chat.session import open_session
    from lossmith.chat.transcript import check_transcript
    from lossmith.cli.chat_screen import ask_once, load_quietly
    from lossmith.cli.chat_terminal import talk

    if save is not None:
        check_transcript(save)
    asked = _asked(once, lines)
    load_quietly(quiet)
    session = open_session(
        models,
        preset or [],
        settings=set_ or [],
        system=system,
        seed=seed,
        opener=partial(open_answerer, device=device, allow_other_template=allow_other_template),
    )
    failed = False if asked is None else ask_once(session, asked, as_json=json_, quiet=quiet)
    if asked is None:
        talk(session, quiet=quiet)
    if save is not None:
        session.save(save)
    if failed:
        raise typer.Exit(1)


def _asked(once: str | None, lines: bool) -> list[str] | None:
    """The questions that are given, by --once or by a pipe; None where they are to be typed."""
    from lossmith.errors import InputError

    typed = sys.stdin.isatty()
    if lines and (once is not None or typed):
        raise InputError(
            "--lines reads what is piped in",
            got="--once" if once is not None else "a terminal",
            expected="a pipe",
            fix="lossmith chat MODEL --lines < questions.txt",
        )
    if once is not None:
        return [once]
    return None if typed else _piped(lines)


def _piped(by_line: bool) -> list[str]:
    """The questions that are piped in: one for every line that is not blank, or all of it as one."""
    from lossmith.errors import InputError

    try:
        text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(
            "what is piped in is no UTF-8", got=f"byte {error.object[error.start]:#x}", expected="text"
        ) from None
    # Only a line break ends a line: a question may hold the other signs at which str.splitlines cuts.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    asked = [line for line in lines if line.strip()] if by_line else [text.removesuffix("\n")]
    if not any(question.strip() for question in asked):
        raise InputError(
            "nothing was piped in", got="an empty input", expected="a question", fix="--once TEXT asks one"
        )
    return asked
