"""Records that are too long: which of their tokens stay, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lossmith.config.data import Truncation
from lossmith.data.layout import Layout
from lossmith.errors import DataError

Kept = NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """Most tokens of a record, or, with `answer_length`, of its prompt alone and of its answer alone.

    `keep_end`: an answer that is cut keeps its end token, as if the text ended there.
    """

    max_length: int
    answer_length: int | None = None
    keep_end: bool = False


def fit(layout: Layout, limits: Limits, *, truncation: Truncation, predicting: bool) -> tuple[Kept, str | None]:
    """Which tokens of a layout stay, (tokens,) of bool, and what was done.

    That is None, "cut_prompt", "cut_answer", "cut_both", "dropped" (all stay, to be measured), or "prompt_too_long"
    (none stays).

    When `predicting` a prompt is cut whatever the policy, and the answer too, at its own limit or at max_length: it is
    read for the loss of an evaluation alone. Raises DataError where `truncation` is error.
    """
    kept = np.ones(len(layout.ids), dtype=bool)
    if predicting:
        return _fit_asked(kept, layout, limits)
    over_prompt, over_answer = _excess(layout, limits)
    if over_prompt <= 0 and over_answer <= 0:
        return kept, None
    if truncation == "error":
        raise _too_long(layout, limits)
    done = truncation == "cut_prompt" and over_answer <= 0 and _cut_prompt(kept, layout, over_prompt)
    if truncation == "cut_answer" and (limits.answer_length is None or over_prompt <= 0):
        done = _cut_answer(kept, layout, limits)
    return (kept, str(truncation)) if done else (np.ones_like(kept), "dropped")


def _fit_asked(kept: Kept, layout: Layout, limits: Limits) -> tuple[Kept, str | None]:
    """A record that is predicted: it is never left out, and costs no more than its limits allow."""
    apart = replace(limits, answer_length=limits.answer_length or limits.max_length)
    over_prompt, over_answer = _excess(layout, apart)
    if over_prompt > 0 and not _cut_prompt(kept, layout, over_prompt):
        return np.zeros_like(kept), "prompt_too_long"
    if over_answer > 0:
        _cut_answer(kept, layout, apart)
        return kept, "cut_both" if over_prompt > 0 else "cut_answer"
    return kept, "cut_prompt" if over_prompt > 0 else None


def _excess(layout: Layout, limits: Limits) -> tuple[int, int]:
    """Tokens beyond the limits: of the prompt, and of the answer; a common limit counts for the prompt."""
    if limits.answer_length is None:
        return len(layout.ids) - limits.max_length, 0
    answer = len(layout.ids) - layout.prompt_length
    return layout.prompt_length - limits.max_length, answer - limits.answer_length


def _cut_prompt(kept: Kept, layout: Layout, over: int) -> bool:
    """Take `over` tokens of the prompt away, on its left, or of a source on its right; false where none would be left.

    What the tokenizer adds stays.
    """
    own = np.flatnonzero(~layout.added[: layout.prompt_length])
    if over >= len(own):
        return False
    kept[own[len(own) - over :] if layout.apart else own[:over]] = False
    return True


def _cut_answer(kept: Kept, layout: Layout, limits: Limits) -> bool:
    """Take tokens from the right of the answer away; false where nothing of it would be left."""
    start = layout.prompt_length
    end = limits.max_length if limits.answer_length is None else start + limits.answer_length
    if end <= start:
        return False
    kept[end:] = False
    if limits.keep_end and end > start + 1:
        kept[end - 1], kept[-1] = False, True
    return True


def _too_long(layout: Layout, limits: Limits) -> DataError:
    if limits.answer_length is None:
        return DataError(
            "a record is longer than data.max_length",
            got=f"{len(layout.ids)} tokens, the prompt {layout.prompt_length} of them",
            expected=f"at most {limits.max_length}",
            fix="raise data.max_length, or set data.truncation to drop, cut_prompt or cut_answer",
        )
    return DataError(
        "a record is longer than data.max_source_length or data.max_target_length",
        got=f"a source of {layout.prompt_length} tokens, a target of {len(layout.ids) - layout.prompt_length}",
        expected=f"at most {limits.max_length} and {limits.answer_length}",
        fix="raise the limit, or set data.truncation to drop, cut_prompt or cut_answer",
    )
