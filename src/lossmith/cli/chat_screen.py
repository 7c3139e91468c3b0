"""How answers look in a terminal and in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import typer

from lossmith.chat.asking import Reply
from lossmith.chat.session import Session, typed
from lossmith.cli.visible_text import visible
from lossmith.errors import InputError

_EVIDENCE = 5


def load_quietly(quiet: bool) -> None:
    """Show no bars of loaded weights where nobody looks at them."""
    if quiet or not sys.stderr.isatty():
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()


def ask_once(session: Session, questions: Sequence[str], *, as_json: bool, quiet: bool) -> bool:
    """Ask each question and print what is said: text alone where one voice answers; true where a reply failed.

    What is printed to a pipe is the answer as it is; in a terminal signs that would move the cursor are shown.
    """
    if not quiet:
        for voice in session.voices:
            for note in voice.answerer.notes:
                typer.echo(f"note: {note}", err=True)
    failed = False
    for question in questions:
        try:
            fields = typed(question, session.fields)
        except InputError as error:
            if len(questions) == 1:
                raise
            # One line of many: the answers to the others are worth having.
            failed = True
            _tell_unread(question, error, as_json=as_json)
            continue
        several = len(session.voices) > 1
        for voice, reply in session.replies(fields):
            failed |= reply.error is not None
            if as_json:
                continue
            if several:
                typer.echo(f"== {shown(voice.name)} ==")
            _print(reply, quiet=quiet)
        if as_json:
            typer.echo(json.dumps(session.said[-1].as_json(), ensure_ascii=False, allow_nan=False))
    return failed


def _tell_unread(question: str, error: InputError, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"asked": question, "error": str(error)}, ensure_ascii=False))
    else:
        typer.echo(f"error: {shown(str(error))}", err=True)


def _print(reply: Reply, *, quiet: bool) -> None:
    plain = not sys.stdout.isatty()
    if reply.text is not None:
        typer.echo(reply.text if plain else shown(reply.text))
    for line in scored_lines(reply):
        typer.echo(line)
    if reply.error is not None:
        typer.echo(f"error: {shown(reply.error)}", err=True)
    if not quiet:
        for note in about(reply):
            typer.echo(note, err=True)


def scored_lines(reply: Reply) -> list[str]:
    """Classes by their scores, the likeliest first, and what a prediction rests on."""
    if not reply.scores:
        return []
    # An answer that could not be read predicts nothing; an empty one says that no label holds.
    lines = [] if reply.predicted is None else [f"predicted: {shown(reply.predicted) or 'no label'}"]
    width = max(len(name) for name in reply.scores)
    for name, score in sorted(reply.scores.items(), key=lambda pair: -pair[1]):
        lines.append(f"  {shown(name):<{width}}  {score:.4f}")
    if reply.evidence:
        lines.append("evidence, by importance (fall of the log-odds without it):")
    shown_first = reply.evidence[:_EVIDENCE]
    return lines + [f"  {one['importance']:+.4f}  {visible(' '.join(one['text'].split()))}" for one in shown_first]


def about(reply: Reply) -> list[str]:
    """What is to be said of a reply beside it."""
    ended = ["stopped"] if reply.stopped else [f"cut after {reply.tokens} tokens (max_new_tokens)"]
    return [f"note: {each}" for each in (*reply.notes, *([] if reply.finished else ended))]


def shown(text: str) -> str:
    r"""Text of a model with its line breaks, in which nothing else moves the cursor.

    >>> shown("a\tb\n\x1b[2Jc")
    'a    b\n\\x1b[2Jc'
    """
    return "\n".join(visible(line) for line in text.replace("\t", "    ").split("\n"))
