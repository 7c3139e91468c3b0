"""Exceptions that say what was got, what was expected and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LossmithError(Exception):
    """Work that failed.

    The command line prints the four parts as one block and leaves with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, *, got: object = None, expected: object = None, fix: str | None = None) -> None:
        self.message = message
        self.got = None if got is None else str(got)
        self.expected = None if expected is None else str(expected)
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.message]
        for word, text in (("got", self.got), ("expected", self.expected), ("fix", self.fix)):
            if text is not None:
                parts.append(f"  {word}: {text}")
        return "\n".join(parts)


class InputError(LossmithError, ValueError):
    """What the user gave is wrong: an argument, a configuration, a file."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration that cannot be carried out as written."""


class DataError(InputError):
    """A source, record or template that cannot be read as the configuration says."""


class GateMissedError(LossmithError):
    """A requirement of `evaluate.require` was not met and `--enforce` was given."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The member of `known` that `name` most likely meant, or None.

    >>> nearest("generalised_dice", ["focal", "generalized_dice"])
    'generalized_dice'
    >>> nearest("qqq", ["focal"]) is None
    True
    """
    names = list(known)
    if found := get_close_matches(name, names, n=1, cutoff=0.6):
        return found[0]
    folded = {n.lower().replace("-", "_"): n for n in names}
    found = get_close_matches(name.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> InputError:
    """An error for a misspelt name, carrying the nearest valid one."""
    names = sorted(known)
    near = nearest(name, names)
    fix = f"did you mean '{near}'?" if near else "choose one of the expected names"
    place = f" at {where}" if where else ""
    return InputError(f"unknown {kind} '{name}'{place}", got=name, expected=", ".join(names), fix=fix)
