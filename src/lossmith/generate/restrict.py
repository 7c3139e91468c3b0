"""Restrictions on what an answer may hold: tokens that would break one cannot be taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor


class Restriction(Protocol):
    """What may come next in an answer, by all that it holds so far.

    `start` is the state of an empty answer and `after` that of an answer that goes on by a token; states are never
    changed, since beams share them. `open` marks, (vocab,) bool, the tokens that may come next, where `last` says that
    no other follows; `may_end` is whether the answer may end here.
    """

    def start(self) -> Any:
        """The state of an empty answer."""
        ...

    def after(self, state: Any, token: int) -> Any:
        """The state of an answer that goes on by a token."""
        ...

    def open(self, state: Any, *, last: bool) -> np.ndarray:
        """Mask (vocab,) of the tokens that may come next, end tokens aside."""
        ...

    def may_end(self, state: Any) -> bool:
        """Whether the answer may end here."""
        ...


@dataclass(frozen=True)
class Place:
    """Where answers stand in the ids of a batch: after `width` columns, for `steps` tokens, ending by `end_ids`.

    Of a first token that its family forces the restrictions know nothing: it stands before them.
    """

    width: int
    steps: int
    end_ids: tuple[int, ...]


class Restricted(LogitsProcessor):
    """Restrictions on every row of a batch, whichever rows beams go on with."""

    def __init__(self, restrictions: Sequence[Restriction], place: Place) -> None:
        self._restrictions = restrictions
        self._place = place
        self._begun = tuple(one.start() for one in restrictions)
        self._states: dict[tuple[int, ...], tuple[Any, ...] | None] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens) ids and (rows, vocab) scores to scores of -inf where a restriction forbids."""
        if input_ids.shape[1] < self._place.width:
            return scores
        answers = [tuple(row) for row in input_ids[:, self._place.width :].tolist()]
        # Rows go on by one token a call: the states of the call before are all that is needed.
        self._states = {answer: self._state(answer) for answer in answers}
        allowed = np.stack([self._allowed(answer, scores.shape[1]) for answer in answers])
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)

    def _state(self, answer: tuple[int, ...]) -> tuple[Any, ...] | None:
        """What the restrictions know of an answer, None where it has ended."""
        known = len(answer)
        while known and answer[:known] not in self._states:
            known -= 1
        state = self._states[answer[:known]] if known else self._begun
        for token in answer[known:]:
            if state is None or token in self._place.end_ids:
                return None
            state = tuple(one.after(own, token) for one, own in zip(self._restrictions, state, strict=True))
        return state

    def _allowed(self, answer: tuple[int, ...], width: int) -> np.ndarray:
        """(width,) mask of what may follow an answer; everything may follow one that has ended."""
        state = self._states[answer]
        if state is None:
            return np.ones(width, dtype=bool)
        last = len(answer) + 1 >= self._place.steps
        each = list(zip(self._restrictions, state, strict=True))
        found = np.logical_and.reduce([one.open(own, last=last) for one, own in each])[:width]
        allowed = np.zeros(width, dtype=bool)
        allowed[: len(found)] = found
        may_end = all(one.may_end(own) for one, own in each)
        # Where nothing may follow, ending is the lesser evil: a row without any token left could not be decoded.
        allowed[list(self._place.end_ids)] = may_end or not allowed.any()
        return allowed


def restricted(restrictions: Sequence[Restriction], place: Place) -> list[LogitsProcessor]:
    """One processor for all of them, none where there are none."""
    return [Restricted(restrictions, place)] if restrictions else []
