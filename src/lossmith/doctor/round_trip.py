"""Ids back to text: do the supervised tokens spell the answer, and all tokens the rendered text?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossmith.data.describe import Described, TokenView
from lossmith.data.tokenizer_facts import tokenizer_facts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_AROUND = 16
_SHOWN = 32
_HALF = "\ufffd"  # what decoding writes for the bytes of a character that is not whole


@dataclass(frozen=True, slots=True)
class Comparison:
    """Decoded text beside the text that it should be.

    With `cut`, tokens were cut from an end of it, so a character there may be half.

    >>> Comparison("2 eggs<|end|>", "12 eggs<|end|>").difference
    "character 0: decoded '2 eggs<|end|>', expected '12 eggs<|end|>'"
    """

    got: str
    expected: str
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether the two are the same text."""
        if self.got == self.expected:
            return True
        bare = self.got.strip(_HALF)
        return self.cut and bool(bare) and bare in self.expected and len(self.expected) - len(bare) <= 2

    @property
    def difference(self) -> str | None:
        """The first place where they part, with what stands there on both sides; None where they are the same."""
        if self.ok:
            return None
        pairs = zip(self.got, self.expected, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(self.got), len(self.expected)))
        window = slice(max(0, at - _AROUND), at + _SHOWN)
        return f"character {at}: decoded {self.got[window]!r}, expected {self.expected[window]!r}"


def decode(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of some ids, special tokens and blanks as they are."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def decode_inside(ids: Sequence[int], start: int, end: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that ids[start:end] add to the text before them: alone, many tokenizers would drop a first blank."""
    before, through = decode(ids[:start], tokenizer), decode(ids[:end], tokenizer)
    return through[len(before) :] if through.startswith(before) else decode(ids[start:end], tokenizer)


def compare_answer(
    row: Mapping[str, Any],
    supervised: Sequence[int],
    fresh: Described | None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    end_ids: Sequence[int],
) -> Comparison:
    """The tokens that are labels, decoded, against the answer and its end of turn.

    `supervised` are their indices. Against the record rendered again where there is one; else against the stored
    target, which tells of the last answer alone.
    """
    ids = row["input_ids"]
    pieces = [decode_inside(ids, start, end, tokenizer) for start, end in runs(supervised)]
    first = supervised[0] if supervised else 0
    begins = set(ids[:first]) <= set(tokenizer.all_special_ids)
    if fresh is None:
        return against_target(pieces, str(row["target"]), [decode([number], tokenizer) for number in end_ids])
    rendered, encoded = fresh.rendered, fresh.encoded
    if encoded.prompt_is_cut or encoded.answer_is_cut:
        cut, expected = True, "".join(view.text for a, b in encoded.supervised for view in fresh.tokens[a:b])
    else:
        cut, expected = False, "".join(rendered.text[start:end] for start, end in rendered.supervised)
        expected += str(tokenizer.eos_token) if rendered.append_eos else ""
    got = "".join(pieces)
    return Comparison(without_own_blanks(got, expected, tokenizer, places=int(begins)), expected, cut=cut)


def against_target(pieces: Sequence[str], target: str, ends: Sequence[str]) -> Comparison:
    """The last answer against the stored target, which lacks what a template writes before it and blanks after it."""
    *earlier, last = pieces or [""]
    end = next((end for end in ends if last.endswith(end)), None)
    whole = end is not None and last.removesuffix(end).rstrip().endswith(target.rstrip())
    expected = last if whole else target + (end or ends[0])
    return Comparison("".join(pieces), "".join([*earlier, expected]))


def compare_text(ids: Sequence[int], fresh: Described, tokenizer: PreTrainedTokenizerBase) -> Comparison:
    """All ids, decoded, against the rendered text between the tokens that the encoder adds around it."""
    cut = fresh.encoded.prompt_is_cut or fresh.encoded.answer_is_cut
    expected = "".join(spelled(fresh.tokens, None if cut else fresh.rendered.text, tokenizer))
    return Comparison(without_own_blanks(decode(ids, tokenizer), expected, tokenizer), expected, cut=cut)


def spelled(views: Sequence[TokenView], text: str | None, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str, str]:
    """What the tokens of a text should decode to: the tokens added before it, `text`, and those added after it.

    Without `text` the characters that each token says it stands for, for a text of which tokens were cut.
    """
    special = set(tokenizer.all_special_ids)

    def added(view: TokenView) -> bool:
        return view.start == view.end and view.id in special

    first = next((i for i, view in enumerate(views) if not added(view)), len(views))
    last = next((i for i in range(len(views), first, -1) if not added(views[i - 1])), first)
    middle = "".join(view.text for view in views[first:last]) if text is None else text
    before, after = ("".join(decode([view.id], tokenizer) for view in part) for part in (views[:first], views[last:]))
    return before, middle, after


def without_own_blanks(
    got: str, expected: str, tokenizer: PreTrainedTokenizerBase, *, places: int | None = None
) -> str:
    """`got` without the blanks that some tokenizers put before a text and after a special token.

    `places` is at how many of those places, from the left, the tokenizer may have done so; None for all.
    """
    facts = tokenizer_facts(tokenizer)
    if not facts.leads[0]:
        return got
    parts = re.compile(f"({facts.special.pattern})")
    ours, theirs = parts.split(got), parts.split(expected)
    if len(ours) != len(theirs):
        return got
    for place, (a, b) in list(enumerate(zip(ours, theirs, strict=True)))[:places]:
        if len(a) - len(a.lstrip(" ")) == len(b) - len(b.lstrip(" ")) + 1:
            ours[place] = a[1:]
    return "".join(ours)


def runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending indices as half-open intervals.

    >>> runs([3, 4, 5, 9])
    [(3, 6), (9, 10)]
    """
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found
