"""Ids back to text for sources and targets, each of which the tokenizer writes as a text of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossmith.data.describe import Described
from lossmith.doctor.round_trip import (
    Comparison,
    against_target,
    decode,
    decode_inside,
    runs,
    spelled,
    without_own_blanks,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def compare_target(
    row: Mapping[str, Any],
    supervised: Sequence[int],
    fresh: Described | None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    end_ids: Sequence[int],
) -> Comparison:
    """The tokens that are labels, decoded, against the target and what the tokenizer adds around it.

    `supervised` are their indices in the row. Against the record rendered again where there is one; else against the
    stored target.
    """
    edge = row["prompt_length"]
    ids = row["input_ids"][edge:]
    # What a fault supervises of the source is decoded beside it: the two are no one text.
    pieces = [
        decode(row["input_ids"][start:end], tokenizer) for start, end in runs([n for n in supervised if n < edge])
    ]
    pieces += [
        decode_inside(ids, start, end, tokenizer) for start, end in runs([n - edge for n in supervised if n >= edge])
    ]
    if fresh is None:
        return against_target(pieces, str(row["target"]), [decode([number], tokenizer) for number in end_ids])
    expected = _target(fresh, tokenizer)
    return Comparison(expected.found_in("".join(pieces), tokenizer), expected.text)


def compare_pair(row: Mapping[str, Any], fresh: Described, tokenizer: PreTrainedTokenizerBase) -> Comparison:
    """Source and target, each decoded, against the two rendered texts."""
    ids, edge = row["input_ids"], row["prompt_length"]
    source, target = _source(fresh, tokenizer), _target(fresh, tokenizer)
    got = [
        side.found_in(decode(part, tokenizer), tokenizer) for part, side in ((ids[:edge], source), (ids[edge:], target))
    ]
    return Comparison("".join(got), source.text + target.text)


@dataclass(frozen=True)
class _Side:
    """What a source or a target should decode to: its text between what the tokenizer adds before and after it."""

    parts: tuple[str, str, str]
    cut: bool

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def found_in(self, decoded: str, tokenizer: PreTrainedTokenizerBase) -> str:
        """The decoded text without the tokenizer's own blanks; half a character where it was cut is no difference."""
        got = without_own_blanks(decoded, self.text, tokenizer)
        before, middle, after = self.parts
        inside = got.removeprefix(before).removesuffix(after)
        return self.text if self.cut and Comparison(inside, middle, cut=True).ok else got


def _source(fresh: Described, tokenizer: PreTrainedTokenizerBase) -> _Side:
    cut = fresh.encoded.prompt_is_cut
    views = fresh.tokens[: fresh.encoded.prompt_length]
    return _Side(spelled(views, None if cut else fresh.rendered.prompt, tokenizer), cut)


def _target(fresh: Described, tokenizer: PreTrainedTokenizerBase) -> _Side:
    cut = fresh.encoded.answer_is_cut
    views = fresh.tokens[fresh.encoded.prompt_length :]
    return _Side(spelled(views, None if cut else fresh.rendered.text[len(fresh.rendered.prompt) :], tokenizer), cut)
