"""What a tokenizer does around a text: tokens it adds, strings it takes as one token, the blank it puts first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lossmith.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True)
class TokenizerFacts:
    """Found by trying, once for each tokenizer.

    `first_ids` stand before a text when the tokenizer adds its own special tokens (BOS). `special` finds special
    tokens in a text, `added` the other tokens that were added to the vocabulary.
    `leads` are texts that can stand before a piece so that the piece is tokenised as the middle of a text; "" where
    the tokenizer puts no blank of its own before a text.
    """

    first_ids: tuple[int, ...]
    special: re.Pattern[str]
    added: re.Pattern[str]
    leads: tuple[str, ...]


_FACTS: WeakKeyDictionary[Any, tuple[tuple[object, ...], TokenizerFacts]] = WeakKeyDictionary()


def tokenizer_facts(tokenizer: PreTrainedTokenizerBase) -> TokenizerFacts:
    """The facts of this tokenizer, found anew when tokens have been added to it.

    Raises ConfigError for a tokenizer without offsets: spans are read through them.
    """
    stamp = (len(tokenizer), *tokenizer.all_special_tokens)
    known = _FACTS.get(tokenizer)
    if known is None or known[0] != stamp:
        known = (stamp, _find_facts(tokenizer))
        _FACTS[tokenizer] = known
    return known[1]


def end_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of EOS; raises ConfigError where the tokenizer has none."""
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "the tokenizer has no end token, so a model could not learn where an answer ends",
            got=f"{type(tokenizer).__name__} with eos_token None",
            expected="a tokenizer with eos_token",
            fix="set eos_token in the tokenizer's configuration",
        )
    return int(tokenizer.eos_token_id)


def _find_facts(tokenizer: PreTrainedTokenizerBase) -> TokenizerFacts:
    if not tokenizer.is_fast:
        raise ConfigError(
            "the tokenizer reports no character offsets, which spans and masks are read through",
            got=f"{type(tokenizer).__name__} (slow)",
            expected="a fast tokenizer, with a tokenizer.json",
            fix="install tokenizers and load it with AutoTokenizer, or choose a base that ships tokenizer.json",
        )
    added = list(tokenizer.added_tokens_decoder.values())
    special = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
    others = {token.content for token in added if token.content.strip()} - special
    return TokenizerFacts(
        first_ids=_first_ids(tokenizer),
        special=_any_of(special),
        added=_any_of(others),
        leads=_leads(tokenizer),
    )


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    choices = sorted((re.escape(text) for text in texts if text), key=len, reverse=True)
    return re.compile("|".join(choices)) if choices else _NEVER


def _plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _first_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    plain, full = _plain_ids(tokenizer, "a"), list(tokenizer("a")["input_ids"])
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return tuple(full[:start])
    return ()


def _leads(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The leads after which a text decodes without a blank of the tokenizer's own."""
    head = _plain_ids(tokenizer, "a")

    def joined(ids: list[int]) -> bool:
        return str(tokenizer.decode(head + ids, clean_up_tokenization_spaces=False)).strip() == "aa"

    if joined(head):
        return ("",)
    good = []
    for lead in (tokenizer.eos_token, "\n", "\t", "."):
        if lead:
            encoded = tokenizer(lead + "a", add_special_tokens=False, return_offsets_mapping=True)
            pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
            if joined([token for token, (start, _) in pairs if start >= len(lead)]):
                good.append(lead)
    return tuple(good) or ("",)
