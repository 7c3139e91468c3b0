"""Whoever carries out a run may watch its evaluations, and end it early by raising."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Watch = Callable[[Mapping[str, Any]], None]

_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Have `watch` see the history's line of each evaluation of the trainings inside, once it is written.

    What it raises ends the training: the run is then unfinished, with the checkpoints it has.
    """
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def seen(line: Mapping[str, Any]) -> None:
    """Show an evaluation's line to whoever watches.

    >>> lines = []
    >>> with watching(lines.append):
    ...     seen({"step": 1, "eval_loss": 2.0})
    >>> seen({"step": 2, "eval_loss": 1.0})
    >>> lines
    [{'step': 1, 'eval_loss': 2.0}]
    """
    if (watch := _WATCH.get()) is not None:
        watch(line)
