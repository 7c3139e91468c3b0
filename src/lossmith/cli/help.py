"""How help looks: verbs by what they are for, each with its whole first sentence, and examples that can be copied."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typer.core import TyperGroup


def help_of(verb: Callable[..., Any]) -> str:
    r"""The help of a verb: its docstring, with the example on a line that is never broken.

    >>> def cook() -> None:
    ...     '''Cook it.
    ...
    ...     Example: lossmith cook
    ...     '''
    >>> help_of(cook)
    'Cook it.\n\n\x08\nExample: lossmith cook'
    """
    # A paragraph after a backspace is not wrapped.
    return (inspect.getdoc(verb) or "").replace("\n\nExample: ", "\n\n\b\nExample: ")


def grouped(sections: Mapping[str, Sequence[tuple[str, Callable[..., Any]]]]) -> type[TyperGroup]:
    """The command of all verbs, whose help tells them by these sections."""

    class Verbs(TyperGroup):
        # Typer brings a click of its own, or takes the one that is installed: their classes cannot be named.
        def format_commands(self, ctx: Any, formatter: Any) -> None:
            for section, verbs in sections.items():
                with formatter.section(section):
                    formatter.write_dl([(name, help_of(verb).split("\n\n")[0]) for name, verb in verbs])

    return Verbs
